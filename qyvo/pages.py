"""The middleware of pages, which people read in browsers.

Programs bring a token and no cookies: their requests go past files, sessions and messages, in
which they would spend a tenth of their time.
"""

import re
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from .logs import is_of_api


class OfPages:
    """Passes requests of the API on as they are."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if is_of_api(request):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc] # of the middleware behind it


# Subclasses, because Django's checks look for each of these in MIDDLEWARE.


class StaticFiles(OfPages, WhiteNoiseMiddleware):
    """Files of the packages, but for those that no page of ours names: 9 of 14 MB."""

    NOT_SERVED = re.compile(
        r"\.map$"  # of source code, for the developers of the packages
        r"|^/static/(rest_framework/|drf_spectacular_sidecar/redoc/)"
        r"|swagger-ui-standalone-preset"
    )

    def add_file_to_dictionary(self, url: str, path: str, stat_cache: Any = None) -> None:
        if not self.NOT_SERVED.search(url):
            super().add_file_to_dictionary(url, path, stat_cache=stat_cache)

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> Any:
        response = WhiteNoiseMiddleware.serve(static_file, request)
        response.block_size = 64 * 1024  # of 4 KiB there would be 400 for the largest file
        return response


class Sessions(OfPages, SessionMiddleware):
    pass


class Authentication(OfPages, AuthenticationMiddleware):
    pass


class Messages(OfPages, MessageMiddleware):
    pass
