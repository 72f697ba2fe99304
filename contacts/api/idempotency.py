"""Requests that are sent again: with the header `Idempotency-Key`, a change is made once.

The name and the meaning of the header come from the draft "The Idempotency-Key HTTP Header Field"
(IETF, draft-ietf-httpapi-idempotency-key-header). The answer is stored in the transaction of the
change, so both exist or neither. Errors roll the transaction back and are not stored.
"""

import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, HttpResponseBase
from django.urls import ResolverMatch
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from contacts.db import replica
from contacts.db.transactions import transactional
from contacts.models import StillRunning, StoredAnswer
from tenants.answers import JSON, Answer
from tenants.models import ApiToken
from tenants.views import TenantAPIView

from .consistency import POSITION

KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
SHAPE = re.compile("[!-~]{1,255}")
KEPT_HEADERS = ("Qyvo-", "Location", "Link")  # beginnings of names; others belong to one request
SECRET = "secret"  # noqa: S105 - a key of an answer whose value is shown once and not stored


class KeyInUse(APIException):
    status_code = HTTPStatus.CONFLICT
    contract_code = "conflict"
    default_detail = f"A request with this {KEY} is still running. Send it again in a second."


def takes_key(method: str, operation: Any) -> bool:
    """Whether a request with the HTTP method `method` to `operation` can be sent again with a key.
    `operation`: as in `changes_something`."""
    return method == "POST" and changes_something(operation)


def changes_something(operation: Any) -> bool:
    """Whether a POST to `operation`, a view or an entry of its `operations`, changes something.

    An operation for which the scope to read is enough changes nothing, unless it says `changes`.
    """
    only_reads = {*operation.scopes} == {ApiToken.Scope.READ}
    return getattr(operation, "changes", not only_reads)


class RepeatableView(TenantAPIView):
    """A view whose changes can be sent again with the same `Idempotency-Key`.

    The first request with a key is executed. Later requests by the same token get its answer for 24
    hours. Raises `ValidationError` if the key is malformed or was used for another request, and
    `KeyInUse`. Read-only operations ignore the header.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        if key is not None and takes_key(str(request.method), self.operations.get("POST", self)):
            if not SHAPE.fullmatch(key):
                refuse("Send 1 to 255 visible ASCII characters, without spaces.")
            # DRF calls the handler that the instance has.
            setattr(self, "post", partial(self.answer_once, key, cast("Any", self).post))  # noqa: B010

    def answer_once(
        self, key: str, handler: Callable[..., Answer], request: Request, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            digest = digest_of(request)
            return self.replay_or_run(key, digest, partial(handler, request, **kwargs))
        except StillRunning as error:
            raise KeyInUse from error
        finally:
            for file in request.FILES.values():
                file.close()  # deletes the file, unless an import has moved it

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the position of the leader, where there is a replica, to the answer to a change."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if replica.is_configured() and response.status_code < 400 and self.has_changed(request):
            response[POSITION] = replica.position()
        return response

    def has_changed(self, request: Request) -> bool:
        method = str(request.method)
        is_safe = method in SAFE_METHODS
        return not is_safe and changes_something(self.operations.get(method, self))

    @transactional
    def replay_or_run(
        self, key: str, digest: str, handler: Callable[[], Answer]
    ) -> HttpResponseBase:
        token = cast("ApiToken", self.request.auth)
        stored, is_new = StoredAnswer.objects.claim(self.tenant, token.pk, key, digest)
        if not is_new:
            return replay(stored, digest)
        response = handler()
        keep(stored, response, {**self.headers, **response.headers})
        return response


def refuse(sentence: str) -> None:
    raise ValidationError({KEY: [sentence]})


def replay(stored: StoredAnswer, digest: str) -> HttpResponse:
    if stored.request != digest:
        refuse("This key was used for another request. Send a new key with a new request.")
    headers = stored.headers | {REPLAYED: "true"}
    return HttpResponse(
        stored.body, status=stored.status, headers=headers, content_type="application/json"
    )


def keep(stored: StoredAnswer, response: Answer, headers: dict[str, str]) -> None:
    """Fills the row `stored` with the answer. A secret is left out: whoever can read the table
    could otherwise sign deliveries."""
    data = response.data
    if isinstance(data, dict) and SECRET in data:
        data = {**data, SECRET: None}
    stored.status = response.status_code
    stored.headers = {n: v for n, v in headers.items() if n.startswith(KEPT_HEADERS)}
    stored.body = JSON().render(data).decode()
    stored.save(update_fields=["status", "headers", "body"])


def digest_of(request: Request) -> str:
    """What `request` asks, as 64 hexadecimal digits: the operation, the address and the body. The
    order of keys and the spelling of JSON do not count; a file counts by its content.

    Reads the body, and raises what its parser raises.
    """
    data, match = request.data, cast("ResolverMatch", request.resolver_match)
    given = dict(data.lists()) if hasattr(data, "lists") else data
    asked = [match.url_name, match.kwargs, request.META.get("QUERY_STRING", ""), given]
    text = json.dumps(asked, default=file_digest, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(file: UploadedFile) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
