"""The site of the staff."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite

from tenants.isolation import see_as
from tenants.logins import LoginForm


class Site(UnfoldAdminSite):
    index_title = "Overview"
    login_form = LoginForm

    def admin_view(self, view: Any, cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Each view sees what its user may see."""

        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            see_as(request.user)
            return view(request, *args, **kwargs)

        return super().admin_view(inside, cacheable)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)
        except InvalidPage as error:  # that somebody has made up
            raise Http404 from error
