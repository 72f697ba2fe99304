"""What transactions lock that concern a whole tenant."""

from typing import Any

from django.db import models

from contacts.db.transactions import hold_tenant
from tenants.models import Tenant


class TenantLock(models.Model):
    """The row that `hold_tenant` locks, and creates if there is none. The row of the tenant itself
    would not do: where the database is sharded by tenant, each machine has a copy of that row."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, primary_key=True, related_name="+")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.tenant_id


def hold_for_deletion(tenant_id: str, **kwargs: Any) -> None:
    """Receiver of `tenants.models.deletion`. First of all locks, in the order of all holders: who
    holds the tenant and adds rows to it checks the row of the tenant at the commit."""
    hold_tenant(tenant_id, alone=True)
