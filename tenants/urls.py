from django.contrib import admin
from django.urls import path

from .admin import oauth as consent
from .oauth import views
from .views import Me

urlpatterns = [
    path("me", Me.as_view(), name="me"),
]

# The names are those of django-oauth-toolkit, whose metadata look the addresses up.
oauth = [
    path(
        ".well-known/oauth-authorization-server",
        views.server_metadata,
        name="oauth-server-metadata",
    ),
    path(
        ".well-known/oauth-protected-resource",
        views.resource_metadata,
        name="oauth-resource-metadata",
    ),
    path(
        ".well-known/oauth-protected-resource/mcp",
        views.resource_metadata,
        name="oauth-resource-metadata-path",
    ),
    path("oauth/register", views.register, name="dcr-register"),
    path("oauth/token", views.token, name="token"),
    path("oauth/revoke", views.revoke, name="revoke-token"),
    path(
        "admin/oauth/authorize",
        views.if_on(admin.site.admin_view(consent.Consent.as_view())),
        name="authorize",
    ),
]
