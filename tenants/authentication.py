"""`Authorization: Bearer TOKEN` (RFC 6750) → the token's user."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .models import ApiToken, User


class BearerToken(BaseAuthentication):
    """Sets `request.user` and `request.auth`. Every failure is the same 401."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, plaintext = header.strip().partition(" ")
        plaintext = plaintext.strip()
        if scheme.lower() != "bearer" or not ApiToken.SHAPE.fullmatch(plaintext):
            raise AuthenticationFailed
        try:
            token = ApiToken.objects.for_plaintext(plaintext)
        except ApiToken.DoesNotExist:
            raise AuthenticationFailed from None
        token.touch()
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
