"""How far the stored names of a tenant are folded by the rule of this version."""

from django.db import models
from django.utils import timezone

from tenants.fields import ULIDField
from tenants.models import Tenant


class NameFolding(models.Model):
    """How far `jobs.name_folding` is with the contacts of a tenant.

    First it goes through all contacts by their ids; `last_id` is the last one. Then it follows the
    change log, because servers of the previous version may still write; `place` is its position
    there. `version`: the version of `values.folding`; a row with another version does not count.
    """

    tenant = models.OneToOneField(Tenant, models.CASCADE, primary_key=True, related_name="+")
    version = models.PositiveSmallIntegerField()
    place = models.JSONField()
    last_id = ULIDField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, help_text="When all contacts were read.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.finished_at or self.last_id or ''}"
