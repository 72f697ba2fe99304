"""`Authorization: Bearer TOKEN` (RFC 6750) → the token's user."""

import time
from functools import lru_cache

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .models import ApiToken, User


def this_second() -> int:
    return int(time.monotonic())


@lru_cache(maxsize=1024)
def token_of(digest: str, second: int) -> ApiToken:
    """The usable token, as it was looked up in this `second`: however busy it is, that costs a
    process one statement a second, and a token that was revoked works no longer than that.

    Its user and tenant are shared by all requests of the second. Raises `DoesNotExist`, and then
    the next request asks again.
    """
    token = ApiToken.objects.for_digest(digest)
    token.touch()
    return token


class BearerToken(BaseAuthentication):
    """Sets `request.user` and `request.auth`. Every failure is the same 401."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION")  # `headers` would read all of them
        if header is None:
            return None
        scheme, _, plaintext = header.strip().partition(" ")
        plaintext = plaintext.strip()
        if scheme.lower() != "bearer" or not ApiToken.SHAPE.fullmatch(plaintext):
            raise AuthenticationFailed
        try:
            token = token_of(ApiToken.digest_of(plaintext), this_second())
        except ApiToken.DoesNotExist:
            raise AuthenticationFailed from None
        if not token.is_usable:  # it has expired since
            raise AuthenticationFailed
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
