"""Reports each request to the API: one access line in the log, and metrics if they are on.

The line says who called which action, with which result. It contains no phone, name, e-mail or
body, and no address or query string, because these may contain such data.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from . import health, views
from .logs import is_api_request

logger = logging.getLogger("qyvo.access")

# Answered before Django checks the Host and TLS: monitoring calls the process directly, not through
# the proxy.
PROBES = {"/healthz": health.healthz, "/readyz": health.readyz, "/metrics": views.metrics}


class Observe:
    """Middleware: reports the requests to the API, and answers the requests of monitoring."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.reporters: list[Callable[..., None]] = [write_line]
        if settings.METRICS_TOKEN:
            from . import metrics

            self.reporters.append(metrics.count)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info in PROBES and request.method in ("GET", "HEAD"):
            return PROBES[request.path_info](request)
        start = time.perf_counter()
        response = self.get_response(request)
        if is_api_request(request):
            seconds = time.perf_counter() - start
            for report in self.reporters:
                report(name_of(request), request, response, seconds)
        return response


def name_of(request: HttpRequest) -> str | None:
    """The name of the action; for `mcp`, also the tool that was called, such as `mcp
    create_contact`. None if the address does not exist."""
    match = request.resolver_match
    name = match.url_name if match else None
    tool = getattr(request, "tool", "")  # set by the endpoint of `mcp`
    return f"{name} {tool}" if tool else name


def write_line(
    action: str | None, request: HttpRequest, response: HttpResponse, seconds: float
) -> None:
    """Writes the access line. `action` is None if the address does not exist."""
    token: Any = getattr(request, "auth", None)  # set by DRF if the token is valid
    fields = {
        "action": action,
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
        "token": token and token.prefix,
        "tenant": token and token.user.tenant_id,
    }
    shown = ["-" if value is None else value for value in fields.values()]
    logger.info("%s %s in %s ms, token %s, tenant %s", *shown, extra={"fields": fields})
