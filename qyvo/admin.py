"""The admin site: two-factor login, the tenant of each request, and fixes of the theme."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.views import shortcut
from django.core.exceptions import ValidationError
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy
from unfold.sites import UnfoldAdminSite
from unfold.templatetags import unfold_list

from tenants import languages, time_zones, two_factor
from tenants.isolation import set_tenant_for
from tenants.logins import LoginForm

from .script_texts import ScriptCatalog, script_texts

# The pages that are open before two-factor login is turned on, if the installation requires it.
ALWAYS_OPEN = {"two_factor", "logout", "password_change", "password_change_done"}


class Site(UnfoldAdminSite):
    index_title = gettext_lazy("Overview")
    login_form = LoginForm

    def finder(self, part: str) -> Callable[[str], bool]:
        """A function that says whether a text has `part`, as people type it."""
        from contacts.values.folding import finder  # here: apps are not ready yet

        return finder(part)

    def extra_urls(self) -> list[URLPattern]:
        # Here: these modules need this site.
        from contacts.admin import failed
        from tenants.admin import passwords, preferences
        from tenants.admin.oauth import connected_apps
        from tenants.admin.two_factor import page

        # Same address as Django's own view, which comes later in the list and so is never reached.
        row = "r/<path:content_type_id>/<path:object_id>/"
        return [
            *passwords.urls,
            path("two-factor/", self.admin_view(page), name="two_factor"),
            path("preferences/", self.admin_view(preferences.page), name="preferences"),
            path("connected-apps/", self.admin_view(connected_apps), name="connected_apps"),
            path(row, self.admin_view(self.view_on_site), name="view_on_site"),
            *failed.urls(),
        ]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        own = {"zone": time_zones.current(), "script_texts": script_texts}
        return super().each_context(request) | own

    def i18n_javascript(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        view = ScriptCatalog.as_view(packages=["django.contrib.admin"])
        return view(request)  # type: ignore[return-value]

    def view_on_site(
        self, request: HttpRequest, content_type_id: str, object_id: str
    ) -> HttpResponse:
        """Django's redirect to the page of a row. 404 for an id that is not a ULID: Django's view
        would give a 500."""
        try:
            return shortcut(request, content_type_id, object_id)
        except ValidationError as error:
            raise Http404 from error

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and two_factor.is_verified(request)

    def needs_two_factor(self, request: Any) -> bool:
        """Whether the user must turn two-factor login on before this page can be used."""
        is_open = request.resolver_match.url_name in ALWAYS_OPEN
        return settings.REQUIRE_TWO_FACTOR and not is_open and request.user.authenticator is None

    def admin_view(self, view: Any, cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Wraps each view of the admin: requires two-factor login where the installation does, and
        limits the database to the tenant of the user. The page is in the language and the
        time zone of the user."""

        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if self.needs_two_factor(request):
                return redirect("admin:two_factor")
            set_tenant_for(request.user)
            languages.activate_for(request)
            time_zones.activate_for(request.user)
            return view(request, *args, **kwargs)

        return super().admin_view(inside, cacheable)

    def get_app_list(self, request: Any, app_label: str | None = None) -> list[Any]:
        """Asks for the rights of each model once in a request: Django's page and the menu both need
        the list, which takes a twentieth of the time of a page."""
        if app_label is not None:
            return super().get_app_list(request, app_label)
        if not hasattr(request, "app_list"):
            request.app_list = super().get_app_list(request)
        found: list[Any] = request.app_list
        return found

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        from tenants.admin.suggestions import Suggestions  # here: needs this site

        return Suggestions.as_view(admin_site=self)(request)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The theme's search. 404 for a page number that does not exist: the theme would give a
        500."""
        try:
            return super().search(request, extra_context)
        except InvalidPage as error:
            raise Http404 from error


def once(headers: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """Computes the column headers of a list once. The theme computes them again for each row, which
    takes a fifth of the time of a page."""

    @wraps(headers)
    def kept(changelist: Any) -> list[Any]:
        if not hasattr(changelist, "headers"):
            changelist.headers = [with_capital(header) for header in headers(changelist)]
        return changelist.headers

    return kept


def with_capital(header: dict[str, Any]) -> dict[str, Any]:
    """The text of a header as the first row of a table shows it. On a phone, where a row is a card,
    it stands beside each value. The header of the checkboxes is HTML."""
    text = header["text"]
    return header if isinstance(text, SafeString) else header | {"text": capfirst(text)}


unfold_list.result_headers = once(unfold_list.result_headers)
