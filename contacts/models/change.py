"""The change log: what happened to each contact, who did it, and when.

One append-only table, written in the same transaction as the rows that it tells of. Nothing that
changes nothing is logged.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, models
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTransform

from contacts.change_log.cause import cause_values
from contacts.change_log.difference import CONSENT, Fields
from contacts.db.connections import prepared
from contacts.db.dialects import DIALECTS
from contacts.db.pacing import Pace
from contacts.values import rules
from tenants.fields import ULIDField, hex_id
from tenants.models import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable

PRUNED = 5000  # rows a transaction
LOGGED = 5000  # rows a statement
NOTHING_RESTORED = -(2**62)
FORGOTTEN: dict[str, Any] = {"fields": {}, "request_id": ""}


# What


class Entry(NamedTuple):
    """A change to be logged. `into`: what the contact was merged into. `ended_at`: when the contact
    ended; other changes are logged with the time of the clock."""

    tenant_id: str
    contact_id: str  # or as hexadecimal digits
    kind: str
    fields: Fields
    into: str = ""
    ended_at: datetime | None = None


def decisions(entry: Entry, source: str) -> Iterator[Entry]:
    """`entry` without the consent that was given or withdrawn in it, then those, each as one of
    its own. `source`: where they come from."""
    taken = [name for name in CONSENT if entry.fields.get(name, {}).get("new")]
    rest = {name: value for name, value in entry.fields.items() if name not in taken}
    yield entry._replace(fields=rest)
    for name in taken:
        decided = {"at": entry.fields[name]["new"], "source": source, "proof": ""}
        fields = {name: entry.fields[name], "consent": decided}
        yield entry._replace(kind=CONSENT[name], fields=fields)


def digits(contact_id: str) -> str:
    return contact_id if len(contact_id) == 32 else hex_id(contact_id)


class Tombstone(NamedTuple):
    """A contact that is gone, as lists of contacts show it at its place."""

    pk: str
    updated_at: datetime  # when it ended
    merged_into: str | None


class ChangeQuerySet(models.QuerySet["Change"]):
    def log(self, entries: Iterable[Entry]) -> None:
        """Appends `entries`, put down to the current cause; in one statement a tenant, or several
        where there are thousands.

        Those of an update that has changed nothing are left out.
        """
        by_tenant = attrgetter("tenant_id")
        entries = iter(entries)
        while some := list(islice(entries, LOGGED)):
            for tenant_id, told in groupby(sorted(some, key=by_tenant), by_tenant):
                self._log(tenant_id, told)

    def _log(self, tenant_id: str, entries: Iterable[Entry]) -> None:
        created, rows = [], []
        dialect = DIALECTS[connections[self.db].vendor]
        for _, contact_id, kind, fields, into, ended_at in entries:
            if kind == Change.Kind.CREATED:  # of which there are most
                created.append(digits(contact_id))
            elif fields or kind != Change.Kind.UPDATED:
                merged = f'"{digits(into)}"' if into else "null"
                told = rules.spelled(fields)
                ended = f'"{dialect.moment(ended_at)}"' if ended_at else "null"
                rows.append(f'["{digits(contact_id)}","{kind}",{told},{merged},{ended}]')
        if not created and not rows:
            return
        values = cause_values(dialect) | {
            "tenant": hex_id(tenant_id),
            "created": dialect.words(created),
            "rows": f"[{','.join(rows)}]",
        }
        with prepared(self.db) as cursor:
            cursor.execute(dialect.LOG, values)

    def forget(self, phone: str, contact_ids: Iterable[str]) -> list[str]:
        """Empties what is told of the contacts with these ids, of those that were deleted, merged
        or moved away while they had the phone, and of those merged into one of them. The facts
        stay.

        Returns the contacts that some of them were merged into, which may be the same person.
        """
        had = self.filter(fields__phone__old=phone, fields__has_key="phone")
        known = {*contact_ids, *had.values_list("contact_id", flat=True)}
        merges = self.filter(kind=Change.Kind.MERGED)
        found = known
        while found:
            merged = merges.filter(into__in=found).values_list("contact_id", flat=True)
            found = {*merged} - known
            known |= found
        self.filter(contact_id__in=known).update(**FORGOTTEN)
        return self._forget_taken_over(merges, known)

    def _forget_taken_over(self, merges: "ChangeQuerySet", gone: set[str]) -> list[str]:
        """Empties what tells what others took over when those in `gone` were merged into them,
        and when they were merged themselves. Returns those others."""
        others: set[str] = set()
        while left := list(merges.filter(contact_id__in=gone).exclude(into__in=others | gone)):
            for merge in left:
                self.filter(contact_id=merge.into, change_set=merge.change_set).update(**FORGOTTEN)
            gone = {merge.into for merge in left if merge.into}
            others |= gone
            merges.filter(contact_id__in=gone).update(**FORGOTTEN)
        return sorted(others)

    def prune(self, before: datetime, keep: models.Q) -> int:
        """Deletes what is older, batch by batch; returns how many. `keep`: which are still needed.

        Of contacts that are gone the fact stays, for readers that come late: without its values.
        """
        old = self.filter(at__lt=before).exclude(keep)
        ends = old.filter(kind__in=ENDS).exclude(fields={})
        ends.in_pieces(lambda some: some.update(fields={}))
        return old.exclude(kind__in=ENDS).in_pieces(lambda some: some.delete()[0])

    def in_pieces(self, change: "Callable[[ChangeQuerySet], int]") -> int:
        """Has `change` written all of them, some at a time; returns the sum of what it returns."""
        pace, number, last = Pace(PRUNED), 0, 0
        while pks := list(
            self.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[: pace.size]
        ):
            with pace.turn(len(pks)):
                number += change(self.filter(pk__gt=last, pk__lte=pks[-1]))
            last = pks[-1]
        return number

    def of(self, contact_ids: Iterable[str], after: int) -> "ChangeQuerySet":
        """Those of a contact, and of those that it was merged into, behind the id `after`. Its
        writers wait for each other, so their order is that of their ids, and none comes late."""
        return self.filter(contact_id__in=contact_ids, id__gt=after).order_by("id")

    def merged_into(self, contact_id: str) -> str:
        """The contact that one which is gone was merged into; empty where it was not."""
        lives = self.filter(contact_id=contact_id, kind__in=[Change.Kind.CREATED, *ENDS])
        return lives.order_by("-id").values_list("into", flat=True).first() or ""

    def tombstones(
        self, after: tuple[datetime, str] | None, limit: int, since: datetime | None
    ) -> "list[Tombstone]":
        """The next `limit` ends of contacts by (moment, contact), behind the position `after`;
        `since`: inclusive, empty for all."""
        ended = self.filter(kind__in=ENDS).order_by("at", "contact_id")
        if after:
            moment, pk = after
            ended = ended.filter(at__gte=moment).exclude(at=moment, contact_id__lte=pk)
        if since:
            ended = ended.filter(at__gte=since)
        return [Tombstone(*row) for row in ended.values_list("contact_id", "at", "into")[:limit]]

    def last_ends(self, contact_ids: Iterable[str]) -> dict[str, datetime]:
        """When each of these contacts ended last, if it ever did."""
        ended = self.filter(contact_id__in=contact_ids, kind__in=ENDS).order_by()
        return dict(ended.values_list("contact_id").annotate(models.Max("at")))

    def decisions(self, contact_id: str) -> "ChangeQuerySet":
        """Why the contact may be written to, or may not: what was decided, or has changed its
        consent otherwise, the latest last."""
        decided = models.Q(kind__in=[*CONSENT.values()]) | models.Q(fields__has_any_keys=[*CONSENT])
        return self.filter(decided, contact_id=contact_id).order_by("id")

    def settle_restored(self) -> int:
        """Of a tenant: moves what a dump from another server has brought, whose transactions are
        not this server's, before all that is written from now on; how many.

        It gets numbers below 0, in its old order and behind what earlier dumps have brought.
        """
        newest = DIALECTS[connections[self.db].vendor].NEXT
        if not newest or not self.filter(xid__gte=RawSQL(newest, [])).exists():  # noqa: S611
            return 0
        brought = self.filter(xid__gte=0)
        first = brought.order_by("xid").values_list("xid", flat=True)[0]
        return brought.update(xid=models.F("xid") + (self.restored() + 1 - first))

    def restored(self) -> int:
        """The greatest number of what dumps have brought: another one after each."""
        brought = self.filter(xid__lt=0).order_by("-xid")
        return brought.values_list("xid", flat=True).first() or NOTHING_RESTORED

    def end(self) -> "Place":
        """Of a tenant: the place behind all that is settled, for a reader of what comes."""
        settled, place = self.behind(Place())
        last = settled.reverse().values_list("xid", "id").first()
        return Place(*last, place.restored) if last else place

    def behind(self, place: "Place") -> "tuple[ChangeQuerySet, Place]":
        """Of a tenant: those behind `place` that no late commit can come before, in their order;
        and the place, which is called otherwise where a dump was restored since."""
        dialect = DIALECTS[connections[self.db].vendor]
        if not dialect.OLDEST_RUNNING:
            return self.filter(xid=0, id__gt=place.id).order_by("xid", "id"), place
        with connections[self.db].cursor() as cursor:
            cursor.execute(f"SELECT {dialect.OLDEST_RUNNING}")
            [oldest] = cursor.fetchone()
        restored = self.restored()
        if restored > place.restored:
            place = self._after_restore(place, restored)
        # One range of the index; two conditions joined by OR would read what lies before it.
        later = RawSQL("(xid, id) > (%s, %s)", [*place[:2]], models.BooleanField())
        return self.filter(later, xid__lt=oldest).order_by("xid", "id"), place

    def _after_restore(self, place: "Place", restored: int) -> "Place":
        """The same place, found by its change. Without that, one that repeats some changes, for
        none may be missed; and behind all that was restored, where its change came later."""
        there = self.filter(pk=place.id).values_list("xid", "id").first()
        if there is None:
            later = self.filter(xid__lt=0, id__gt=place.id).order_by("xid", "id")
            xid = later.values_list("xid", flat=True).first()
            there = (restored + 1, 0) if xid is None else (xid, 0)
        return Place(there[0], there[1], restored)


class Place(NamedTuple):
    """A place in the feed: behind the change with this `xid` and `id`. `restored`: see there, as
    it was when the place was noted."""

    xid: int = -(2**63)
    id: int = 0
    restored: int = NOTHING_RESTORED


class Change(models.Model):
    """A change of a contact. Its id is the sequence: of one contact's changes, later is more.

    `fields`: see `difference`. A creation has none, the row itself shows them. `into`: the contact
    that a merged one is now. `xid`: of the transaction (PostgreSQL). Ids are given out before
    commits, so a reader that follows them would miss a late commit; transactions below the oldest
    that still runs are settled.
    """

    class Kind(models.TextChoices):
        CREATED = "created"
        UPDATED = "updated"
        DELETED = "deleted"
        MERGED = "merged"
        ERASED = "erased"
        OPTED_IN = "opted_in"
        OPTED_OUT = "opted_out"

    id = models.BigAutoField(primary_key=True)
    xid = models.BigIntegerField(default=0)
    # Without a constraint, which would be checked for every change.
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="changes", db_index=False, db_constraint=False
    )
    contact_id = ULIDField()
    kind = models.CharField(max_length=20, choices=Kind)
    fields = models.JSONField(default=dict, encoder=rules.CompactJSON)
    into = ULIDField(null=True)
    actor = models.CharField(max_length=100)
    request_id = models.CharField(max_length=128)
    change_set = ULIDField(null=True)
    at = models.DateTimeField()

    objects = ChangeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "contact_id", "id"], name="change_by_contact"),
            models.Index(fields=["tenant", "xid", "id"], name="change_by_commit"),
            models.Index(fields=["tenant", "change_set"], name="change_by_set"),
            models.Index(
                fields=["tenant", "at", "contact_id"],
                condition=models.Q(kind__in=["deleted", "erased", "merged"]),
                name="change_ends",
            ),
            models.Index(
                fields=["tenant", "into"],
                condition=models.Q(into__isnull=False),
                name="change_merged_into",
            ),
            models.Index(
                "tenant",
                KeyTransform("old", KeyTransform("phone", "fields")),
                condition=models.Q(fields__has_key="phone"),
                name="change_of_phone",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contact_id} {self.kind}"

    @property
    def can_be_undone(self) -> bool:
        """Whether an undo may take back something of it: consent is never taken back."""
        return bool(self.change_set) and self.kind not in CONSENT.values()


ENDS = [Change.Kind.DELETED, Change.Kind.ERASED, Change.Kind.MERGED]


def settle_restored(using: str, **kwargs: Any) -> None:
    """After `migrate`, which follows the restoring of a dump."""
    if "contacts_change" in connections[using].introspection.table_names():
        for tenant in Tenant.objects.using(using):
            tenant.changes.using(using).settle_restored()
