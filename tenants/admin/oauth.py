"""The page that lists the apps which a person has connected by OAuth."""

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from oauth2_provider import admin as toolkit

from ..fields import number_of
from ..models import ApiToken
from ..verbose_names import set_verbose_names
from . import history
from .scoped import user_of
from .two_factor import note

# Their pages show the rows of all tenants.
admin.site.unregister(
    [
        toolkit.application_model,
        toolkit.access_token_model,
        toolkit.grant_model,
        toolkit.id_token_model,
        toolkit.refresh_token_model,
    ]
)
# The page that deletes a user names their rows.
set_verbose_names(
    toolkit.application_model,
    one=gettext_lazy("application"),
    many=gettext_lazy("applications"),
)
set_verbose_names(
    toolkit.access_token_model,
    one=gettext_lazy("access token"),
    many=gettext_lazy("access tokens"),
)
set_verbose_names(
    toolkit.grant_model,
    one=gettext_lazy("grant"),
    many=gettext_lazy("grants"),
)
set_verbose_names(
    toolkit.id_token_model,
    one=gettext_lazy("id token"),
    many=gettext_lazy("id tokens"),
)
set_verbose_names(
    toolkit.refresh_token_model,
    one=gettext_lazy("refresh token"),
    many=gettext_lazy("refresh tokens"),
)


def connected_apps(request: HttpRequest) -> HttpResponse:
    """The apps that the person has connected, each with a button that ends the connection."""
    if not settings.OAUTH:
        raise Http404
    user = user_of(request)
    apps: QuerySet[ApiToken] = ApiToken.objects.connections_of(user)
    if request.method == "POST":
        pk = number_of(request.POST.get("app", ""))
        for app in () if pk is None else apps.filter(pk=pk):
            app.revoke()
            note(user, history.DISCONNECTED, app=app.name)
            messages.success(request, _("%(app)s is disconnected.") % {"app": app.name})
        return redirect("admin:connected_apps")
    context = admin.site.each_context(request) | {"title": _("Connected apps"), "apps": apps}
    return TemplateResponse(request, "admin/tenants/oauth/apps.html", context)
