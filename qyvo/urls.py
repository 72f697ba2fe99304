from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

api = [
    path("", include("tenants.urls")),
    path("actions/", include("contacts.urls")),
]

urlpatterns = [
    path("api/v1/", include(api)),
    # As the public reference page's heading writes it; reverse() gives the addresses above.
    path("v1/", include((api, "short"))),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

handler400 = "qyvo.api.bad_request"
handler404 = "qyvo.api.not_found"
handler500 = "qyvo.api.server_error"
