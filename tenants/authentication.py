"""Bearer authentication (RFC 6750): from `Authorization: Bearer TOKEN` to the token's user."""

import time
from functools import lru_cache
from threading import Lock

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .models import ApiToken, User

PATIENCE = 0.5  # seconds that a request waits for the look-up of another one
MCP = "/mcp"  # the address that OAuth clients connect to


def this_second() -> int:
    """A number that changes every second, and never goes back when the clock is set."""
    return int(time.monotonic())


@lru_cache(maxsize=1024)
def token_of(digest: str, second: int) -> ApiToken:
    """The usable token with this `digest`, cached until `second` is over.

    A process looks up each token once a second, however many requests use the token. A revoked
    token therefore works for at most one second more. All requests of that second share the token
    object, its user and its tenant. Raises `DoesNotExist`, which is not cached: a token that is
    issued or enabled now works at once.
    """
    token = ApiToken.objects.for_digest(digest)
    token.touch()
    return token


@lru_cache(maxsize=1024)
def turn_of(digest: str) -> Lock:
    """Held by the request that looks the token up."""
    return Lock()


def looked_up(digest: str) -> ApiToken:
    """`token_of` in this second. Of the requests that come at the same time, one looks the token
    up: at the turn of each second, all of them did so. None waits for long for a look-up that
    hangs."""
    turn = turn_of(digest)
    is_mine = turn.acquire(timeout=PATIENCE)
    try:
        return token_of(digest, this_second())
    finally:
        if is_mine:
            turn.release()


class BearerToken(BaseAuthentication):
    """Sets `request.user` (a `User`) and `request.auth` (an `ApiToken`).

    Every failure gives the same 401, so that a caller cannot learn why a token is refused.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION")  # `request.headers` would parse all headers
        if header is None:
            return None
        scheme, _, plaintext = header.strip().partition(" ")
        plaintext = plaintext.strip()
        if scheme.lower() != "bearer" or not ApiToken.SHAPE.fullmatch(plaintext):
            raise AuthenticationFailed
        try:
            token = looked_up(ApiToken.digest_of(plaintext))
        except ApiToken.DoesNotExist:
            raise AuthenticationFailed from None
        if not token.is_usable:  # it expired after it was cached
            raise AuthenticationFailed
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return challenge(request)


def challenge(request: Request | HttpRequest) -> str:
    """The header `WWW-Authenticate` of a 401. With OAuth, an MCP client finds the authorization
    server by the address in it (RFC 9728, 5.1)."""
    if not settings.OAUTH or request.path.rstrip("/") != MCP:
        return "Bearer"
    metadata = request.build_absolute_uri(reverse("oauth2_provider:oauth-resource-metadata-path"))
    return f'Bearer resource_metadata="{metadata}"'
