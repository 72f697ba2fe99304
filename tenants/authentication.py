"""Bearer authentication (RFC 6750): from `Authorization: Bearer TOKEN` to the token's user."""

import time
from collections.abc import Iterable
from threading import Lock

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .models import ApiToken, User

PATIENCE = 0.5  # seconds that a request waits for the look-up of another one
MOST = 64  # tokens of one look-up
MCP = "/mcp"  # the address that OAuth clients connect to


def this_second() -> int:
    """A number that changes every second, and never goes back when the clock is set."""
    return int(time.monotonic())


class Second:
    """What this process has read of tokens in one second, by digest. `used`: the digests of
    tokens that a request has used; `due`: the digests that were used in the second before and have
    not been read in this one. `lock`: held by the request that looks tokens up."""

    def __init__(self, number: int, due: Iterable[str] = ()) -> None:
        self.number = number
        self.found = dict[str, ApiToken]()
        self.used = set[str]()
        self.due = [*due]
        self.lock = Lock()

    def look_up(self, digest: str) -> None:
        """Reads the token, and with it others that are due: with many tenants, each token would
        need a statement of its own in each second."""
        others, self.due = self.due[: MOST - 1], self.due[MOST - 1 :]
        tokens = ApiToken.objects.for_digests([digest, *others])
        self.found |= {token.digest: token for token in tokens}


class Tokens:
    """The usable tokens, as this process has read them in this second.

    A process looks up each token once a second, however many requests use the token. A revoked
    token therefore works for at most one second more. All requests of that second share the token
    object, its user and its tenant. A digest that is not found is not remembered: a token that is
    issued or enabled now works at once.
    """

    def __init__(self) -> None:
        self.second = Second(-1)

    def now(self) -> Second:
        number, second = this_second(), self.second
        if second.number != number:
            # Two threads may do this at once: one of them then reads its token again.
            self.second = second = Second(number, second.used)
        return second

    def get(self, digest: str) -> ApiToken:
        """The usable token with this digest. Raises `ApiToken.DoesNotExist`.

        Of the requests that come at the same time, one looks tokens up: at the turn of each second,
        all of them did so. None waits for long for a look-up that hangs.
        """
        second = self.now()
        if digest not in second.found:
            is_mine = second.lock.acquire(timeout=PATIENCE)
            try:
                if digest not in second.found:
                    second.look_up(digest)
            finally:
                if is_mine:
                    second.lock.release()
        if digest not in second.found:
            raise ApiToken.DoesNotExist
        second.used.add(digest)
        return second.found[digest]


tokens = Tokens()


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
            token = tokens.get(ApiToken.digest_of(plaintext))
        except ApiToken.DoesNotExist:
            raise AuthenticationFailed from None
        if not token.is_usable:  # it expired after it was cached
            raise AuthenticationFailed
        token.touch()
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
