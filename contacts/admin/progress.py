"""The page of background work: it shows the progress and reloads itself."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from contacts.models import Contact
from tenants.admin import TenantOwnedAdmin

PATIENCE = timedelta(seconds=15)  # after it, the page says that no worker has started the work


class ProgressAdmin(TenantOwnedAdmin):
    """For rows that nobody edits. The browser reloads the page while the row `is_running`. The
    template of a subclass extends `admin/progress.html`."""

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
        """No if one of them is running."""
        return all(self.has_delete_permission(request, row) for row in rows)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
