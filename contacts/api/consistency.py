"""How new an answer has to be, if the service reads from a replica: see `contacts.db.replica`."""

from collections.abc import Callable
from functools import partial

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from contacts.db import replica
from tenants.answers import Answer

CONSISTENCY, POSITION, READ_FROM = "Qyvo-Consistency", "Qyvo-Position", "Qyvo-Read-From"
EVENTUAL, STRONG = "eventual", "strong"


def read(
    request: Request, default: str, handler: Callable[[Request], Answer], headers: dict[str, str]
) -> Answer:
    """The answer of `handler`, which reads from the replica or from the leader, as the headers of
    `request` say. `default`: `EVENTUAL` or `STRONG`. Adds to `headers` who was asked. Raises
    `ValidationError`."""
    consistency = request.META.get("HTTP_QYVO_CONSISTENCY", default)
    after = request.META.get("HTTP_QYVO_POSITION", "")
    if consistency not in (EVENTUAL, STRONG):
        raise ValidationError({CONSISTENCY: [f"Send {EVENTUAL} or {STRONG}."]})
    if after and not replica.POSITION.fullmatch(after):
        raise ValidationError({POSITION: ["Send the value that an answer had in this header."]})
    if consistency == STRONG or not replica.is_configured():
        return handler(request)
    answer, headers[READ_FROM] = replica.read(partial(handler, request), after)
    return answer
