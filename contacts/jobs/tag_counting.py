"""Keeps the stored counts of tags up to date, so that requests do not have to count."""

from contacts.models import TagCounts, tag_counts
from tenants.isolation import all_tenants_context, tenant_context

INTERVAL = 10  # seconds


def refresh_all() -> None:
    """For each tenant with stored counts: the first request for the counts stores them."""
    with all_tenants_context():
        tenants = [*TagCounts.objects.values_list("tenant", flat=True)]
    for tenant in tenants:
        with tenant_context(tenant):
            tag_counts.refresh(tenant)
