"""The lists of contacts in the admin, read from a replica. Only with READ_DATABASE_URL."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.admin.views.main import ERROR_FLAG
from django.http import HttpRequest, HttpResponse

from contacts.db import replica

from .api import is_page

COOKIE = "qyvo_position"
SECONDS = 60  # a replica that is further behind is out of order
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


class ReadLists:
    """Middleware: reads lists from the replica, and never an older list than the person has left.

    After each form that a person sends, the position of the leader goes into a cookie for a minute.
    In the session, it would be one more write. The cookie needs no signature: who changes it sees
    older lists of the same contacts.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method in CHANGES and is_page(request) and (now := replica.position()):
            response.set_cookie(
                COOKIE, now, max_age=SECONDS, path="/admin/", httponly=True, samesite="Lax",
                secure=bool(settings.SESSION_COOKIE_SECURE),
            )  # fmt: skip
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if not is_list(request):
            return None
        given = request.COOKIES.get(COOKIE, "")
        # Even the beginning is asked for: so a replica that is down is noticed before the list,
        # which answers errors of the database by itself.
        after = given if replica.POSITION.fullmatch(given) else replica.BEGINNING
        page, _ = replica.read(partial(rendered, view, request, *args, **kwargs), after)
        return page


def is_list(request: HttpRequest) -> bool:
    """Whether a list of contacts, or of what belongs to them, is asked for. After an error, the
    list is read from the leader: the error may have been the replica's."""
    match = request.resolver_match
    name = (match and match.url_name) or ""
    is_ours = name.startswith("contacts_") and name.endswith("_changelist")
    return is_ours and request.method == "GET" and ERROR_FLAG not in request.GET


def rendered(view: Callable[..., Any], *args: Any, **kwargs: Any) -> HttpResponse:
    """The response of `view` with its content, for which the template reads the rows."""
    response = view(*args, **kwargs)
    if hasattr(response, "render"):
        response.render()
    return response
