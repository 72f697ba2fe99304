"""Who changes something, and why."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tenants.fields import hex_id, new_ulid


class Cause(NamedTuple):
    """What a change is put down to. `change_set`: all that one request, import or command did."""

    actor: Callable[[], str]
    request_id: str
    change_set: Callable[[], str]


NOBODY = Cause(lambda: "", "", lambda: "")
current: ContextVar[Cause] = ContextVar("cause", default=NOBODY)


@contextmanager
def caused_by(actor: str, change_set: str = "") -> Iterator[None]:
    """Puts what is changed inside down to `actor`, such as `command:retag`."""
    change_set = change_set or new_ulid()
    token = current.set(Cause(lambda: actor, "", lambda: change_set))
    try:
        yield
    finally:
        current.reset(token)


class CauseMiddleware:
    """Puts what a request changes down to its token or user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = getattr(request, "id", "")
        token = current.set(Cause(lambda: actor_of(request), request_id, cache(new_ulid)))
        try:
            return self.get_response(request)
        finally:
            current.reset(token)


def actor_of(request: Any) -> str:
    if token := getattr(request, "auth", None):
        return token.actor
    user = getattr(request, "user", None)  # the API sets it when it knows the token
    return f"user:{user.pk}" if user and user.is_authenticated else ""


def cause_values(dialect: Any) -> dict[str, Any]:
    """The current cause, as the statements that log take it."""
    cause = current.get()
    change_set = cause.change_set()
    return {
        "actor": cause.actor(),
        "request_id": cause.request_id,
        "change_set": hex_id(change_set) if change_set else None,
        "at": dialect.moment(timezone.now()),
    }
