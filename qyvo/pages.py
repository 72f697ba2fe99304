"""The middleware for pages that people read in browsers, and the way of API requests past it."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from .logs import is_api_request


class SkipPages:
    """Middleware: requests to the API skip all middleware after this one.

    They have a token and no cookies, and the middleware for static files, sessions, forms and
    messages would take a sixth of their time. Skipping is one call, however much is skipped.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_page = get_response
        self.call_view = innermost(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api_request(request):
            return self.get_page(request)
        refuse_wrong_host(request.META.get("HTTP_HOST") or request.get_host())
        response = self.call_view(request)
        if not response.streaming and not response.has_header("Content-Length"):
            response.headers["Content-Length"] = str(len(response.content))
        return response


@lru_cache(maxsize=256)
def refuse_wrong_host(given: str) -> None:
    """Raises `DisallowedHost`, as Django's CommonMiddleware does, if this is not a host of this
    service. Kept, because many requests have few hosts; refusals are not kept."""
    request = HttpRequest()
    request.META = {"HTTP_HOST": given}
    request.get_host()


def innermost(get_response: Any) -> Callable[[HttpRequest], HttpResponse]:
    """The function that calls the view, which all middleware from `get_response` on leads to.

    Django wraps each middleware with `convert_exception_to_response`, so `__wrapped__` is the
    middleware itself, and `get_response` of this the next one.
    """
    while following := getattr(get_response.__wrapped__, "get_response", None):
        get_response = following
    function: Callable[[HttpRequest], HttpResponse] = get_response
    return function


class StaticFiles(WhiteNoiseMiddleware):
    """Serves the static files of the packages, except 9 of 14 MB that no page of ours uses."""

    NOT_SERVED = re.compile(
        r"\.map$"  # source maps, for the developers of the packages
        r"|^/static/(rest_framework/|drf_spectacular_sidecar/redoc/)"
        r"|swagger-ui-standalone-preset"
    )

    def add_file_to_dictionary(self, url: str, path: str, stat_cache: Any = None) -> None:
        if not self.NOT_SERVED.search(url):
            super().add_file_to_dictionary(url, path, stat_cache=stat_cache)

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> Any:
        response = WhiteNoiseMiddleware.serve(static_file, request)
        response.block_size = 64 * 1024  # the default of 4 KiB makes 400 blocks of the largest file
        return response
