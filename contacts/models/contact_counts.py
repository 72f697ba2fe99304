"""Stored counts of a tenant's contacts, see `contacts.jobs.contact_counting`."""

from django.db import models

from contacts.values import rules
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .owned import Owned

MAX_ZONE = 64  # characters; the longest name of the IANA database has 32


class ContactCounts(Owned):
    """The counts of a tenant, with its days in one time zone. `zone`: the name of the time zone.
    `numbers`: see `contact_counting.Counts`. `counted_at`: what has changed since is not in it."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    zone = models.CharField(max_length=MAX_ZONE)
    numbers = models.JSONField(encoder=rules.CompactJSON)
    counted_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["tenant", "zone"], name="contact_counts_per_zone")
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.zone}"
