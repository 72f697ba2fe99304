from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt

from .views import Me


def if_on(name: str) -> Callable[..., HttpResponse]:
    """The view of that name, such as `tenants.oauth.views.token`; 404 unless OAuth is on.

    The first request loads it: an installation without OAuth never needs the toolkit's views.
    """

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.OAUTH:
            raise Http404
        found: Callable[..., HttpResponse] = import_string(name)
        return found(request, *args, **kwargs)

    return view


urlpatterns = [
    path("me", Me.as_view(), name="me"),
]

# The names are those of django-oauth-toolkit, whose metadata look the addresses up.
oauth = [
    path(
        ".well-known/oauth-authorization-server",
        if_on("tenants.oauth.views.server_metadata"),
        name="oauth-server-metadata",
    ),
    path(
        ".well-known/oauth-protected-resource",
        if_on("tenants.oauth.views.resource_metadata"),
        name="oauth-resource-metadata",
    ),
    path(
        ".well-known/oauth-protected-resource/mcp",
        if_on("tenants.oauth.views.resource_metadata"),
        name="oauth-resource-metadata-path",
    ),
    path("oauth/register", csrf_exempt(if_on("tenants.oauth.views.register")), name="dcr-register"),
    path("oauth/token", csrf_exempt(if_on("tenants.oauth.views.token")), name="token"),
    path("oauth/revoke", csrf_exempt(if_on("tenants.oauth.views.revoke")), name="revoke-token"),
    path(
        "admin/oauth/authorize",
        if_on("tenants.admin.consent.page"),
        name="authorize",
    ),
]
