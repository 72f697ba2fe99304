"""Response headers that limit what browsers do. Django sets the other security headers."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from .api import is_page

# Scripts and other files only from this server, and no scripts inside pages: a script that somebody
# stored in a name or a note cannot run (W3C CSP 3). Styles inside pages are allowed, because the
# theme and the API documentation use them.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The theme's Alpine.js compiles the expressions in its attributes, which needs 'unsafe-eval'.
ADMIN_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
# The form on which a person connects an app leads to the app, at any address that is registered.
CONSENT = "/admin/oauth/authorize"
CONSENT_POLICY = ADMIN_POLICY.replace("form-action 'self'", "form-action 'self' https: http:")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def policy_for(request: HttpRequest) -> str:
    if request.path == CONSENT:
        return CONSENT_POLICY
    return ADMIN_POLICY if is_page(request) else POLICY


class BrowserHeaders:
    """Middleware: sets these headers on every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = policy_for(request)
        response["Permissions-Policy"] = PERMISSIONS
        return response
