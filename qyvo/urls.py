from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import TemplateView

import contacts.api.urls
import contacts.mcp.views
import tenants.urls

from . import health, views

# One flat list: Django searches each level of included lists again for every request.
api = [*contacts.api.urls.urlpatterns, *tenants.urls.urlpatterns]

urlpatterns = [
    path("api/v1/", include(api)),
    # The heading of the public reference page uses this address. reverse() gives the one above.
    path("v1/", include((api, "short"))),
    # Last of the API: other addresses are found without it.
    path("api/v1/<path:path>/", views.without_slash),
    path("v1/<path:path>/", views.without_slash),
    re_path("^mcp/?$", contacts.mcp.views.Endpoint.as_view(openapi=views.openapi), name="mcp"),
    path("admin/", admin.site.urls),
    path("api/v1/openapi.yaml", views.SchemaYAML.as_view(), name="openapi.yaml"),
    path("api/v1/openapi.json", views.SchemaJSON.as_view(), name="openapi.json"),
    path("docs", TemplateView.as_view(template_name="docs.html"), name="docs"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("", TemplateView.as_view(template_name="landing.html"), name="landing"),
]

handler400 = "qyvo.api.bad_request"
handler404 = "qyvo.api.not_found"
handler500 = "qyvo.api.server_error"
