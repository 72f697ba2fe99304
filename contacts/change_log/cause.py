"""Who makes the changes that happen now, and which of them belong together.

The code that writes the log takes the cause from a context variable, so that functions between a
request or command and the log need no argument for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tenants.fields import hex_id, new_ulid


class Cause(NamedTuple):
    """The cause of changes, for their log entries.

    `actor`: who makes the changes, such as `token:…`, `user:42` or `command:retag`. `change_set`:
    the id for all changes of one request, import or command; `undo` takes this id. Both are
    functions, because a request knows its user only later and needs a change set only if it changes
    something.
    """

    actor: Callable[[], str]
    request_id: str
    change_set: Callable[[], str]


NOBODY = Cause(lambda: "", "", lambda: "")
current: ContextVar[Cause] = ContextVar("cause", default=NOBODY)


@contextmanager
def caused_by(actor: str, change_set: str = "") -> Iterator[None]:
    """Logs the changes inside the block under `actor`, such as `command:retag`.

    `change_set`: the id of the change set; a new id if it is empty.
    """
    change_set = change_set or new_ulid()
    token = current.set(Cause(lambda: actor, "", lambda: change_set))
    try:
        yield
    finally:
        current.reset(token)


class CauseMiddleware:
    """Logs the changes of each request under its token or user."""

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
    """The actor of a request: its token, or else its user; empty for requests without either."""
    if token := getattr(request, "auth", None):
        return token.actor
    user = getattr(request, "user", None)  # the API sets it after authentication
    return actor_of_user(user.pk) if user and user.is_authenticated else ""


def actor_of_user(user_id: int) -> str:
    return f"user:{user_id}"


def cause_values(dialect: Any) -> dict[str, Any]:
    """The current cause and time, as parameters of the statements that write the log."""
    cause = current.get()
    change_set = cause.change_set()
    return {
        "actor": cause.actor(),
        "request_id": cause.request_id,
        "change_set": hex_id(change_set) if change_set else None,
        "at": dialect.moment(timezone.now()),
    }
