"""The site of the staff."""

from typing import Any

from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite

from tenants.logins import LoginForm


class Site(UnfoldAdminSite):
    index_title = "Overview"
    login_form = LoginForm

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)
        except InvalidPage as error:  # that somebody has made up
            raise Http404 from error
