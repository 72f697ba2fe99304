"""The search for a contact that Ctrl+K opens on every page of the admin."""

from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from contacts.db import keyset
from contacts.db.keyset import Order
from contacts.models import Contact
from contacts.values import phones
from tenants.admin import TenantOwnedAdmin

SHOWN = 8  # contacts; the list of contacts has the others
NEWEST_FIRST = Order("pk", is_descending=True)


def newest_matches(request: HttpRequest, admin: Any, text: str, limit: int) -> list[Contact]:
    """The newest contacts that match `text`, at most `limit`, as the list of contacts finds them.

    `admin`: of contacts; the contacts are those that its user may see.
    """
    seen = admin.get_queryset(request).select_related("tenant")
    indexed, unindexed = (
        seen.filter(admin.condition_of(request, text, is_indexed=is_indexed))
        for is_indexed in (True, False)
    )
    return keyset.searched(indexed, unindexed, seen, NEWEST_FIRST, None, limit)


class FinderAdmin(TenantOwnedAdmin):
    """Adds the view of the search. `templates/unfold/helpers/command.html` has its form."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.find_view)
        return [path("find/", view, name="contacts_contact_find"), *super().get_urls()]

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Links to the newest contacts that match the text. Raises `PermissionDenied` if the user
        may not see contacts."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.GET.get(SEARCH_VAR, "").strip()
        # PostgreSQL raises an error for U+0000.
        is_text = bool(text) and "\0" not in text
        found = newest_matches(request, self, text, SHOWN + 1) if is_text else []
        context = {
            "found": [(contact, phones.readable(contact.phone)) for contact in found[:SHOWN]],
            "has_more": len(found) > SHOWN,
            "text": text,
        }
        return TemplateResponse(request, "admin/contacts/contact/found.html", context)
