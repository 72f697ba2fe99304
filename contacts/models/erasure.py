"""What stays of people who were erased or who have opted out: digests of their phones."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connections, models
from django.utils import timezone

from contacts.change_log.difference import moment
from contacts.db.dialects import DIALECTS
from contacts.values.digests import phone_digest
from tenants.fields import hex_id
from tenants.models import Tenant

EARLIER_OPT_OUT = "an earlier opt-out of this person"  # the source of a decision


def in_utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


class Erasure(models.Model):
    """A person who asked to be forgotten: a digest of the phone, made with the secret key, so
    that it can be recognised and not be read."""

    pk = models.CompositePrimaryKey("tenant_id", "digest")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="erasures", db_index=False)
    digest = models.CharField(max_length=64)
    erased_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.erased_at:%Y-%m-%d}"


class OptOutQuerySet(models.QuerySet["OptOut"]):
    def of(self, tenant_id: str, phones: Iterable[str]) -> dict[str, datetime]:
        """When somebody opted out, by phone; only of `phones` by which somebody has. Asked at each
        creation: not by a queryset, which takes longer to build than to run."""
        digests = {phone_digest(phone): phone for phone in phones}
        if not digests:
            return {}
        dialect = DIALECTS[connections[self.db].vendor]
        values = {"tenant": hex_id(tenant_id), "digests": dialect.words(digests)}
        with connections[self.db].cursor() as cursor:
            cursor.execute(dialect.OPT_OUTS, values)
            found = cursor.fetchall()
        return {digests[digest]: datetime.fromisoformat(moment(at)) for digest, at in found}

    def remember(self, opt_outs: "Iterable[OptOut | None]") -> None:
        """Stores those that there are; the later one of a phone replaces the earlier one."""
        by_digest = sorted(filter(None, opt_outs), key=lambda opt_out: opt_out.digest)
        OptOut.objects.bulk_create(
            by_digest,
            update_conflicts=True,
            unique_fields=["tenant", "digest"],
            update_fields=["opted_out_at"],
        )

    def forget(self, tenant_id: str, phones: Iterable[str]) -> None:
        """For people who have opted in again."""
        self.filter(tenant=tenant_id, digest__in=[*map(phone_digest, phones)]).delete()


class OptOut(models.Model):
    """The opt-out of a person, which outlives the contact: whoever gets a contact with this phone
    again, by whatever way, must not write to that person.

    Stored when a contact that has opted out is deleted, merged into another one or given another
    phone. It is read when a contact gets a phone, see `ContactQuerySet.keep_out`, and goes when a
    person opts in. `digest`: see `phone_digest`.
    """

    pk = models.CompositePrimaryKey("tenant_id", "digest")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="opt_outs", db_index=False)
    digest = models.CharField(max_length=64)
    opted_out_at = models.DateTimeField()

    objects = OptOutQuerySet.as_manager()

    class Meta:
        verbose_name = "opt-out"

    def __str__(self) -> str:
        return f"{self.opted_out_at:%Y-%m-%d}"

    @classmethod
    def of_phone(cls, tenant_id: str, phone: str, at: datetime) -> "OptOut":
        return cls(tenant_id=tenant_id, digest=phone_digest(phone), opted_out_at=at)
