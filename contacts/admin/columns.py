"""Which columns the list of contacts shows. Each person chooses, and a cookie keeps the choice.

A cookie, and not a table: who sees the contacts of all tenants belongs to no tenant, and no page
needs another statement. Another browser shows the usual columns until somebody chooses there, too.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST

from tenants.admin import TenantOwnedAdmin

COOKIE = "contact_columns"
KEPT = 365 * 24 * 3600  # seconds
FIXED = "who"  # the name is the link to the contact
COLUMNS = {
    "number": gettext_noop("Phone"),
    "tag_chips": gettext_noop("Tags"),
    "consent_label": gettext_noop("Consent"),
    "source": gettext_noop("Source"),
    "locale": gettext_noop("Locale"),
    "total_messages": gettext_noop("Messages"),
    "last_activity": gettext_noop("Last activity"),
    "created": gettext_noop("Created"),
    "updated": gettext_noop("Updated"),
}
USUAL = COLUMNS.keys() - {"locale", "total_messages", "updated"}


def chosen(request: HttpRequest) -> set[str]:
    """The columns that the list shows besides the name."""
    given = request.COOKIES.get(COOKIE)
    return USUAL if given is None else COLUMNS.keys() & {*given.split("-")}


class ColumnsAdmin(TenantOwnedAdmin):
    """Adds the choice of the columns to the list of contacts."""

    list_display = [FIXED, *COLUMNS]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        hidden = COLUMNS.keys() - chosen(request)
        return [name for name in super().get_list_display(request) if name not in hidden]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.columns_view))
        return [path("columns/", view, name="contacts_contact_columns"), *super().get_urls()]

    def columns_view(self, request: HttpRequest) -> HttpResponse:
        """Keeps the columns `column`, and shows the list with the query string `list` again."""
        shown = [name for name in COLUMNS if name in request.POST.getlist("column")]
        page = reverse("admin:contacts_contact_changelist")
        query = request.POST.get("list", "").removeprefix("?")
        response = HttpResponseRedirect(f"{page}?{query}")
        response.set_cookie(
            COOKIE, "-".join([FIXED, *shown]), max_age=KEPT, path=page, httponly=True,
            samesite="Lax", secure=bool(settings.SESSION_COOKIE_SECURE),
        )  # fmt: skip
        return response

    def column_choices(self, request: HttpRequest) -> list[tuple[str, str, bool]]:
        """The name, the label and whether it is shown of each column."""
        shown = chosen(request)
        return [(name, _(label), name in shown) for name, label in COLUMNS.items()]
