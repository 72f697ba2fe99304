"""The middleware of pages, which people read in browsers.

Programs bring a token and no cookies: their requests go past files, sessions and messages, in
which they would spend a tenth of their time.
"""

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
    pass


class Sessions(OfPages, SessionMiddleware):
    pass


class Authentication(OfPages, AuthenticationMiddleware):
    pass


class Messages(OfPages, MessageMiddleware):
    pass
