"""The addresses of OAuth that programs call: metadata, registration, tokens and revocation."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from limits import RateLimitItemPerHour
from oauth2_provider.models import Application
from oauth2_provider.views import (
    OAuthProtectedResourceMetadataView,
    OAuthServerMetadataView,
    RevokeTokenView,
    TokenView,
)

from .. import logins, throttling
from ..authentication import MCP
from . import clients

MAX_BODY = 16 * 1024  # bytes
REGISTRATIONS = RateLimitItemPerHour(20)  # per address
FORM = "application/x-www-form-urlencoded"
View = Callable[..., HttpResponse]


def error(code: str, description: str, status: int = 400) -> HttpResponse:
    """An error as OAuth clients read it (RFC 6749, 5.2)."""
    body = {"error": code, "error_description": description}
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def small(content_type: str) -> Callable[[View], View]:
    """Refuses other bodies before they are read, because nobody is authenticated yet: a large one,
    or files, which the server would store on its disk."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if problem := request.method == "POST" and refusal(request, content_type):
                return problem
            return view(request, *args, **kwargs)

        return inside

    return decorate


def refusal(request: HttpRequest, content_type: str) -> HttpResponse | None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if request.content_type != content_type:
        return error("invalid_request", f"Send the body as {content_type}.")
    if not length.isdecimal():
        return error("invalid_request", "Send Content-Length.", 411)
    if int(length) > MAX_BODY:
        return error("invalid_request", "The body is too large.", 413)
    return None


def is_here(request: HttpRequest, resource: str) -> bool:
    """Whether `resource` (RFC 8707) means this server: tokens work nowhere else."""
    origin = request.build_absolute_uri("/").rstrip("/")
    return resource.lower().rstrip("/") in {origin, origin + MCP}


# Metadata

server_metadata = OAuthServerMetadataView.as_view()
resource_metadata = OAuthProtectedResourceMetadataView.as_view()


# Tokens


class Tokens(TokenView):
    """Codes and refresh tokens for access tokens. One transaction: two requests with the same code
    or refresh token wait for each other."""

    http_method_names = ["post"]

    @transaction.atomic
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not all(is_here(request, each) for each in request.POST.getlist("resource")):
            return error("invalid_target", "This server issues tokens for itself only.")
        response: HttpResponse = self.authorization_flow_token_response(request)
        return response


class Revocation(RevokeTokenView):
    """RFC 7009."""

    http_method_names = ["post"]


token = small(FORM)(Tokens.as_view())
revoke = small(FORM)(Revocation.as_view())


# Dynamic registration (RFC 7591)


@small("application/json")
def register(request: HttpRequest) -> HttpResponse:
    """Registers a public client, whatever kind of client was asked for; RFC 7591, 3.2.1 allows
    this, and the answer says so.

    The toolkit's own view would also store secrets and registration tokens, which nobody needs, and
    answers a name with a NUL character with a 500.
    """
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    if wait := too_many(request):
        answer = error("temporarily_unavailable", "Too many clients. Try again later.", 429)
        answer["Retry-After"] = str(wait)
        return answer
    try:
        client = client_of(request.body)
    except ValidationError as problem:
        is_uri = "redirect_uris" in problem.message
        code = "invalid_redirect_uri" if is_uri else "invalid_client_metadata"
        return error(code, str(problem.message))
    client.save()
    headers = {"Cache-Control": "no-store"}
    return JsonResponse(description_of(client), status=201, headers=headers)


def too_many(request: HttpRequest) -> int:
    """In how many seconds a client may register; 0 if it may now."""
    store = throttling.counter(settings.RATELIMIT_STORAGE_URL)
    allowed, quota = store.count(REGISTRATIONS, f"oauth-register:{logins.address_of(request)}")
    if not allowed:
        return quota.reset
    return 3600 if clients.unused().count() >= clients.MAX_UNUSED else 0


def client_of(body: bytes) -> Application:
    """The client that `body` describes, not saved yet. Raises `ValidationError`."""
    try:
        metadata = json.loads(body)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ValidationError("The body must be a JSON object.")
    return Application(
        name=clients.checked_name(metadata.get("client_name", "")),
        redirect_uris=" ".join(clients.checked_uris(metadata.get("redirect_uris"))),
        client_type=Application.CLIENT_PUBLIC,
        client_secret="",
        hash_client_secret=False,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        registration_source=Application.RegistrationSource.DCR,
    )


def description_of(client: Application) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created.timestamp()),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris.split(),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
