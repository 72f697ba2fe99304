"""Pairs of contacts that are likely one person, and how far the search for them is."""

from collections.abc import Iterable

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy, pgettext_lazy

from contacts.db.keyset import Order
from contacts.values.likeness import NearKeys, Reason, likelihood
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .contact import Contact
from .owned import Owned

BY_LIKELIHOOD = Order("likelihood", is_descending=True)


class DuplicateQuerySet(models.QuerySet["Duplicate"]):
    """To be fast, all methods need the pairs of one tenant, `tenant.duplicates`."""

    def open(self) -> "DuplicateQuerySet":
        return self.filter(state=Duplicate.State.OPEN)

    def dismissed(self) -> "DuplicateQuerySet":
        return self.filter(state=Duplicate.State.DISMISSED)

    def of(self, contact_ids: Iterable[str]) -> "DuplicateQuerySet":
        """The pairs with at least one of these contacts."""
        ids = [*contact_ids]
        return self.filter(Q(first_id__in=ids) | Q(second_id__in=ids))

    def because_of(self, reason: str) -> "DuplicateQuerySet":
        """The pairs that have this reason, perhaps beside others; all pairs for an empty text."""
        return self.filter(reasons__contains=f",{reason},") if reason else self.all()

    def with_contacts(self) -> "DuplicateQuerySet":
        """Leaves out pairs of which a contact was deleted or merged a moment ago."""
        first, second = (
            Contact.objects.filter(tenant=OuterRef("tenant"), pk=OuterRef(name))
            for name in ("first_id", "second_id")
        )
        return self.filter(Exists(first), Exists(second))


class Duplicate(Owned):
    """Two contacts of a tenant that are likely one person. `finding.duplicates` writes the rows.

    `first_id` is the less of the two ids, so each pair has one row. Neither column is a foreign
    key, as in the change log: deleting or merging a contact must not cost more because of this
    table. The row of a contact that is gone is deleted by the next search; until then,
    `with_contacts` leaves it out. A dismissed row stays, because an undo may bring the contact
    back. It contains nothing but ids.

    `reasons`: codes of `likeness.Reason`, with a comma before and after each. `likelihood`: from 0
    to 100.
    """

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("adjective", "Open")
        DISMISSED = "dismissed", gettext_lazy("Not duplicates")  # somebody has said so, for good

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="duplicates", db_index=False)
    first_id = ULIDField()
    second_id = ULIDField()
    reasons = models.CharField(max_length=100)
    likelihood = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=20, choices=State, default=State.OPEN)
    found_at = models.DateTimeField(default=timezone.now)

    objects = DuplicateQuerySet.as_manager()

    class Meta:
        verbose_name = "possible duplicate"
        default_permissions = ()  # who may change contacts may see and change these
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "first_id", "second_id"], name="duplicate_pair_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(first_id__lt=models.F("second_id")), name="duplicate_pair_ordered"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "second_id"], name="duplicate_by_second"),
            models.Index(fields=["tenant", "state", "likelihood", "id"], name="duplicate_list"),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} {self.second_id}"

    @property
    def ids(self) -> tuple[str, str]:
        return self.first_id, self.second_id

    @property
    def codes(self) -> list[Reason]:
        return [Reason(code) for code in self.reasons.strip(",").split(",")]

    @staticmethod
    def stored(reasons: Iterable[Reason]) -> dict[str, str | int]:
        """The columns that hold `reasons`."""
        found = [reason for reason in Reason if reason in {*reasons}]
        return {"reasons": f",{','.join(found)},", "likelihood": likelihood(found)}


class NearKey(Owned):
    """The keys by which the search finds contacts with the same name and near phones, see
    `likeness.NearKeys`. Only the search and an erasure write them, so that a write of a contact
    costs nothing more: the row of a contact that has changed is renewed by the next search.

    A contact whose name says too little has none.
    """

    contact_id = ULIDField(primary_key=True)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    beginning = models.BigIntegerField()
    tail = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["tenant", "beginning"], name="near_key_beginning"),
            models.Index(fields=["tenant", "tail"], name="near_key_tail"),
        ]

    def __str__(self) -> str:
        return self.contact_id

    @property
    def keys(self) -> NearKeys:
        return NearKeys(self.beginning, self.tail)


class DuplicateSearch(models.Model):
    """How far the search for duplicates of a tenant is.

    First it goes through all contacts by their ids: `checked` of about `total`, the last one being
    `last_id`. Then it follows the change log; `place` is its position there.
    """

    tenant = models.OneToOneField(Tenant, models.CASCADE, primary_key=True, related_name="+")
    place = models.JSONField()
    last_id = ULIDField(null=True)
    checked = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, help_text="When all contacts were checked.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.checked} of {self.total}"

    @property
    def percent(self) -> int:
        return min(99, 100 * self.checked // self.total) if self.total else 0

    def has_state_of(self, other: "DuplicateSearch") -> bool:
        names = ("place", "last_id", "checked", "finished_at")
        return all(getattr(self, name) == getattr(other, name) for name in names)
