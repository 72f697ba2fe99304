"""What is told of each request: a line in the log.

No phone, name, e-mail, body, address or query string, which may hold one: only who called which
action, and how that went.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from . import health
from .logs import is_of_api

logger = logging.getLogger("qyvo.access")

# Answered here, whatever Host they are asked by and without TLS: who asks stands behind the proxy.
PROBES = {"/healthz": health.healthz, "/readyz": health.readyz}


class Observe:
    """Middleware: tells of the requests to the API, and answers those that watch the service."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info in PROBES and request.method in ("GET", "HEAD"):
            return PROBES[request.path_info](request)
        start = time.perf_counter()
        response = self.get_response(request)
        if is_of_api(request):
            tell(request, response, time.perf_counter() - start)
        return response


def tell(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Of a request that was answered after `seconds`."""
    match = request.resolver_match
    write_line(request, match.url_name if match else None, response.status_code, seconds)


def write_line(request: HttpRequest, action: str | None, status: int, seconds: float) -> None:
    token: Any = getattr(request, "auth", None)  # set by DRF, where the token is a good one
    fields = {
        "action": action,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "token": token and token.prefix,
        "tenant": token and token.user.tenant_id,
    }
    shown = ["-" if value is None else value for value in fields.values()]
    logger.info("%s %s in %s ms, token %s, tenant %s", *shown, extra={"fields": fields})
