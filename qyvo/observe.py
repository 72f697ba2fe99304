"""What is told of each request: a line in the log, and numbers where they are wanted.

No phone, name, e-mail, body, address or query string, which may hold one: only who called which
action, and how that went.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from . import health, views
from .logs import is_of_api

logger = logging.getLogger("qyvo.access")

# Answered here, whatever Host they are asked by and without TLS: who asks stands behind the proxy.
PROBES = {"/healthz": health.healthz, "/readyz": health.readyz, "/metrics": views.metrics}


class Observe:
    """Middleware: tells of the requests to the API, and answers those that watch the service."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.tell: list[Callable[..., None]] = [write_line]
        if settings.METRICS_TOKEN:
            from . import metrics

            self.tell.append(metrics.count)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info in PROBES and request.method in ("GET", "HEAD"):
            return PROBES[request.path_info](request)
        start = time.perf_counter()
        response = self.get_response(request)
        if is_of_api(request):
            seconds = time.perf_counter() - start
            match = request.resolver_match
            for tell in self.tell:
                tell(match.url_name if match else None, request, response, seconds)
        return response


def write_line(
    action: str | None, request: HttpRequest, response: HttpResponse, seconds: float
) -> None:
    token: Any = getattr(request, "auth", None)  # set by DRF, where the token is a good one
    fields = {
        "action": action,
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
        "token": token and token.prefix,
        "tenant": token and token.user.tenant_id,
    }
    shown = ["-" if value is None else value for value in fields.values()]
    logger.info("%s %s in %s ms, token %s, tenant %s", *shown, extra={"fields": fields})
