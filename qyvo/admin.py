"""The site of the staff."""

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
from unfold.sites import UnfoldAdminSite
from unfold.templatetags import unfold_list

from tenants import two_factor
from tenants.isolation import see_as
from tenants.logins import LoginForm

# What is open to those who have yet to turn two-factor login on, where that is required.
ALWAYS_OPEN = {"two_factor", "logout", "password_change", "password_change_done"}


class Site(UnfoldAdminSite):
    index_title = "Overview"
    login_form = LoginForm

    def extra_urls(self) -> list[URLPattern]:
        from tenants.admin.two_factor import page  # which asks for this site

        row = "r/<path:content_type_id>/<path:object_id>/"  # Django's own, which is found later
        return [
            path("two-factor/", self.admin_view(page), name="two_factor"),
            path(row, self.admin_view(self.view_on_site), name="view_on_site"),
        ]

    def view_on_site(
        self, request: HttpRequest, content_type_id: str, object_id: str
    ) -> HttpResponse:
        try:
            return shortcut(request, content_type_id, object_id)
        except ValidationError as error:  # an id that is none
            raise Http404 from error

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and two_factor.is_passed(request)

    def has_to_be_set_up(self, request: Any) -> bool:
        """Whether this request has to wait until its user has turned two-factor login on."""
        is_open = request.resolver_match.url_name in ALWAYS_OPEN
        return settings.REQUIRE_TWO_FACTOR and not is_open and request.user.authenticator is None

    def admin_view(self, view: Any, cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Each view sees what its user may see."""

        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if self.has_to_be_set_up(request):
                return redirect("admin:two_factor")
            see_as(request.user)
            return view(request, *args, **kwargs)

        return super().admin_view(inside, cacheable)

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        from tenants.admin.suggestions import Suggestions  # which asks for this site

        return Suggestions.as_view(admin_site=self)(request)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)
        except InvalidPage as error:  # that somebody has made up
            raise Http404 from error


def once(headers: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """The headers of a list, which the theme works out again for each of its rows: a fifth of what
    a page takes."""

    @wraps(headers)
    def kept(changelist: Any) -> list[Any]:
        if not hasattr(changelist, "headers"):
            changelist.headers = [*headers(changelist)]
        return changelist.headers

    return kept


unfold_list.result_headers = once(unfold_list.result_headers)
