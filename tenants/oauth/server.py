"""django-oauth-toolkit as this installation uses it: what is stored, and for whom.

Nothing that opens the API is stored: codes, access tokens and refresh tokens only as SHA-256
digests.
"""

import secrets
from typing import Any

from django.http import HttpRequest
from oauth2_provider.models import Grant, RefreshToken
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.scopes import BaseScopes
from oauthlib.common import Request

from .. import roles
from ..models import ApiToken, all_scopes
from .clients import is_safe_redirect

# The beginning of the scope of a code that was used; the id of the connection follows. No scope
# that a person can grant looks like this. Stored in this column, because the row is the toolkit's
# and has no other one: `validate_code` locks the row, and the toolkit deletes it when it expires. A
# table of used codes would need a lock and a clean-up of its own, for rows that live for an hour.
USED_FOR = "used for "
REFRESH_PREFIX = "qyvo_refresh_"  # so that secret scanners find leaked tokens


def connection_of(request: Request) -> ApiToken:
    """The token of the connected app that `request` refreshes; a new one for a new connection.

    Not `getattr`: this would find a parameter of the request with the same name.
    """
    token: ApiToken = request.__dict__.setdefault("connection", ApiToken())
    return token


def new_access_token(request: Request) -> str:
    """The toolkit's `ACCESS_TOKEN_GENERATOR`."""
    token = connection_of(request)
    token.make_secret()
    return token.plaintext


def new_refresh_token(request: Request) -> str:
    """The toolkit's `REFRESH_TOKEN_GENERATOR`: 256 random bits."""
    return REFRESH_PREFIX + secrets.token_urlsafe(32)


class Scopes(BaseScopes):
    """The scopes of OAuth are the scopes of API tokens."""

    def get_all_scopes(self) -> dict[str, str]:
        return {scope.value: str(scope.label) for scope in ApiToken.Scope}

    def get_available_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return all_scopes()

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return all_scopes()


class Core(OAuthLibCore):
    """Hands requests to oauthlib."""

    def _get_escaped_full_path(self, request: HttpRequest) -> str:
        """Encoded again: oauthlib raises `ValueError`, a 500, for a query string such as `%zz`."""
        return f"{request.path}?{request.GET.urlencode()}"

    def extract_headers(self, request: HttpRequest) -> dict[str, Any]:
        """Without `Authorization`: all clients are public, and the toolkit answers some values of
        this header with a 500."""
        headers: dict[str, Any] = super().extract_headers(request)
        headers.pop("HTTP_AUTHORIZATION", None)
        headers.pop("Authorization", None)
        return headers

    def extract_body(self, request: HttpRequest) -> list[tuple[str, str]]:
        """With the digest of the code, as `Validator` stores it."""
        return [
            (key, ApiToken.digest_of(value) if key == "code" else value)
            for key, value in super().extract_body(request)
        ]


class Validator(OAuth2Validator):
    """The toolkit's rules, with ours."""

    def _load_application(self, client_id: str | None, request: Request) -> Any:
        """None for an id with a NUL, which PostgreSQL refuses: the toolkit would give a 500."""
        is_storable = "\0" not in (client_id or "")
        return super()._load_application(client_id, request) if is_storable else None

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Also refuses addresses that an operator or an earlier version registered carelessly."""
        allowed = super().validate_redirect_uri(client_id, redirect_uri, request, *args, **kwargs)
        return allowed and is_safe_redirect(redirect_uri)

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Request, *a: Any, **k: Any
    ) -> bool:
        """Whether one of the scopes exists. Others, such as `openid`, are ignored (RFC 6749, 3.3):
        some clients always ask for them."""
        return not {*ApiToken.Scope}.isdisjoint(scopes)

    def save_authorization_code(
        self, client_id: str, code: dict[str, str], request: Request, *args: Any, **kwargs: Any
    ) -> None:
        stored = code | {"code": ApiToken.digest_of(code["code"])}
        super().save_authorization_code(client_id, stored, request, *args, **kwargs)

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Refuses a code that was used, and ends what was connected with it: one of the two may be
        a thief (RFC 6749, 4.1.2; RFC 9700, 4.5.3). Of two requests with the same code, the second
        waits here."""
        grant = Grant.objects.select_for_update().filter(code=code, application=client).first()
        if grant and grant.scope.startswith(USED_FOR):
            for connection in ApiToken.objects.filter(pk=grant.scope.removeprefix(USED_FOR)):
                connection.revoke()
            return False
        return bool(super().validate_code(client_id, code, client, request, *args, **kwargs))

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Keeps the code instead of deleting it, so that `validate_code` notices its second use.
        A worker deletes it within an hour after it has expired."""
        used_for = f"{USED_FOR}{connection_of(request).pk}"
        Grant.objects.filter(code=code, application=request.client).update(scope=used_for)

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Also refuses the refresh token of a connection that has ended.

        Of two requests with the same token, the second waits here and then finds that the token was
        used: the toolkit ends the connection, because one of the two may be a thief (RFC 9700,
        4.14.2).
        """
        digest = ApiToken.digest_of(refresh_token)
        RefreshToken.objects.select_for_update().filter(token_checksum=digest).first()
        if not super().validate_refresh_token(refresh_token, client, request, *args, **kwargs):
            return False
        connections = ApiToken.objects.connections_of(request.user)
        access_token = request.refresh_token_instance.access_token_id
        connection = connections.filter(access_token=access_token).first()
        request.connection = connection
        return connection is not None and bool(self.get_original_scopes(refresh_token, request))

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: Any, **kwargs: Any
    ) -> list[str]:
        """What the person had granted and may still grant: the role may have changed since."""
        granted = super().get_original_scopes(refresh_token, request, *args, **kwargs).split()
        given = roles.scopes_to_give(request.user)
        return [scope for scope in granted if scope in given]

    def _create_access_token(
        self,
        expires: Any,
        request: Request,
        token: dict[str, Any],
        source_refresh_token: Any = None,
    ) -> Any:
        """Also saves the `ApiToken`, by which the API knows the app."""
        access_token = super()._create_access_token(expires, request, token, source_refresh_token)
        connection = connection_of(request)
        if connection._state.adding:
            connection.user, connection.application = request.user, request.client
            connection.name = str(request.client)[:100]
        connection.access_token = access_token
        connection.scopes, connection.expires_at = token["scope"].split(), expires
        connection.save()
        return access_token
