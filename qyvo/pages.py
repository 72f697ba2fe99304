"""The middleware for pages that people read in browsers.

Requests to the API have a token and no cookies. They skip the middleware for static files, sessions
and messages, which would take a tenth of their time.
"""

import re
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from .logs import is_api_request


class PagesOnly:
    """A mixin: requests to the API skip the middleware after it in the class's bases."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if is_api_request(request):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc] # the other base class is the middleware


# Subclasses, because Django's system checks look for each of these classes in MIDDLEWARE.


class StaticFiles(PagesOnly, WhiteNoiseMiddleware):
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


class Sessions(PagesOnly, SessionMiddleware):
    pass


class Authentication(PagesOnly, AuthenticationMiddleware):
    pass


class Messages(PagesOnly, MessageMiddleware):
    pass
