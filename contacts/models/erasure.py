"""What is kept about people who were erased or have opted out: digests of their phones."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connections, models
from django.utils import timezone
from django.utils.translation import gettext_noop

from contacts.change_log.difference import moment
from contacts.db.dialects import dialect_of
from contacts.values.digests import phone_digest
from contacts.values.numbering_plans import forms
from tenants.fields import hex_id
from tenants.models import Tenant

MANY = 100  # phones; making their digests takes longer than asking whether there is any to find
EARLIER_OPT_OUT = gettext_noop("an earlier opt-out of this person")  # the source of a decision


def in_utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


class ErasureQuerySet(models.QuerySet["Erasure"]):
    def of(self, phones: Iterable[str]) -> dict[str, datetime]:
        """When the owner of each of `phones` was erased, by phone; the other phones are left out.
        The digest may be of an old form of the phone."""
        digests = {phone_digest(form): phone for form, phone in forms(phones).items()}
        found = self.filter(digest__in=digests).values_list("digest", "erased_at")
        return {digests[digest]: erased_at for digest, erased_at in found}


class Erasure(models.Model):
    """A person who asked to be forgotten: a digest of the phone, made with the secret key. With it
    the phone can be recognised, but not read."""

    pk = models.CompositePrimaryKey("tenant_id", "digest")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="erasures", db_index=False)
    digest = models.CharField(max_length=64)
    erased_at = models.DateTimeField(default=timezone.now)

    objects = ErasureQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.erased_at:%Y-%m-%d}"


class OptOutQuerySet(models.QuerySet["OptOut"]):
    def of(self, tenant_id: str, phones: Iterable[str]) -> dict[str, datetime]:
        """When the owner of each of `phones` opted out, by phone; the other phones are left out.
        The opt-out may be stored for an old form of the phone. Asked each time a contact is
        created: building a queryset would take longer than running it."""
        phones = [*phones]
        if len(phones) > MANY and not self.filter(tenant=tenant_id).exists():
            return {}
        digests = {phone_digest(form): phone for form, phone in forms(phones).items()}
        if not digests:
            return {}
        dialect = dialect_of(self.db)
        values = {"tenant": hex_id(tenant_id), "digests": dialect.words(digests)}
        with connections[self.db].cursor() as cursor:
            cursor.execute(dialect.OPT_OUTS, values)
            found = cursor.fetchall()
        times = sorted((datetime.fromisoformat(moment(at)), digest) for digest, at in found)
        return {digests[digest]: at for at, digest in times}  # the latest of several forms


class OptOut(models.Model):
    """The opt-out of a person, which outlives the contact: whoever creates a contact with this
    phone again must not write to that person.

    Stored when a contact that has opted out is deleted, merged into another one or given another
    phone. Read when a contact gets a phone, see `writing.consent.keep_out`. Deleted when the person
    opts in. `digest`: see `phone_digest`.
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
