"""What browsers may do with an answer, in its headers; Django sets the others."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from .api import is_page

# Scripts and all else from here only, none inside a page: text that somebody has stored cannot run
# (W3C CSP 3). Styles may stand in pages, as the theme and the documentation write them there.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The theme's Alpine.js makes functions of the expressions in its attributes.
ADMIN_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class BrowserHeaders:
    """Middleware: sets them on every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = ADMIN_POLICY if is_page(request) else POLICY
        response["Permissions-Policy"] = PERMISSIONS
        return response
