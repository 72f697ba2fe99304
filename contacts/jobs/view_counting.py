"""Counts the contacts of saved views that the menu of the admin cannot count at once."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from contacts.finding import saved_views
from contacts.models import SavedView
from tenants.isolation import all_tenants_context, tenant_context

INTERVAL = 60  # seconds
KEPT = timedelta(hours=1)


def count_all() -> None:
    """Counts each view that was not counted in the last hour."""
    is_due = Q(counted_at=None) | Q(counted_at__lt=timezone.now() - KEPT)
    with all_tenants_context():
        due = [*SavedView.objects.filter(is_due).select_related("tenant")]
    for view in due:
        with tenant_context(view.tenant_id):
            saved_views.store_count(view)
