"""The id of a request: in a header of its response, and in each log line of the request."""

import logging
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.fields import new_ulid

HEADER = "X-Request-Id"
ACCEPTABLE = re.compile(r"[!-~]{1,128}")  # visible ASCII without spaces

current: ContextVar[str] = ContextVar("request_id", default="-")


def id_of(environ: Mapping[str, Any]) -> str:
    """The caller's `X-Request-Id` if it matches `ACCEPTABLE`, otherwise a new ULID.

    The pattern has no control characters, so a caller cannot inject headers or log lines.
    `environ`: of WSGI (`request.headers` would parse all headers).
    """
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if ACCEPTABLE.fullmatch(given) else new_ulid()


class RequestIdMiddleware:
    """Gives each request its id, see `id_of`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = id_of(request.META)
        # Not reset afterwards: Django logs failed responses after the last middleware has returned.
        # The next request on this thread sets its own id.
        current.set(request_id)
        request.id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        response[HEADER] = request_id
        return response


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to each log record; `-` outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current.get()
        return True
