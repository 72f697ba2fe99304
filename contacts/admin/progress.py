"""How far it is what a worker does, for the staff."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from contacts.models import Contact
from tenants.admin import TenantOwnedAdmin

PATIENCE = timedelta(seconds=15)  # for a worker to begin


class ProgressAdmin(TenantOwnedAdmin):
    """Rows that nobody changes by hand. Their page is asked for again and again while the row
    `is_running`; its template extends `admin/progress.html`."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        contact_admin: Any = self.admin_site.get_model_admin(Contact)
        context = {
            "may_undo": contact_admin.may_undo(request),
            "patience": timezone.now() - PATIENCE,
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def may_delete_all(self, request: HttpRequest, rows: models.QuerySet) -> bool:
        """Not those that run."""
        return all(self.has_delete_permission(request, row) for row in rows)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
