"""The change log: what happened to each contact, when, and who did it.

The log is one table that only grows. Each entry is written in the transaction of the change that it
describes. A write that changes nothing has no entry.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.db import models
from django.db.models.fields.json import KeyTransform
from django.utils import timezone
from django.utils.translation import gettext_lazy

from contacts.change_log.cause import cause_values
from contacts.change_log.difference import CONSENT, Fields
from contacts.change_log.feed import FeedQuerySet
from contacts.db.connections import prepared_cursor
from contacts.db.dialects import dialect_of
from contacts.db.pacing import Pace
from contacts.values import rules
from tenants.fields import ULIDField, hex_id
from tenants.models import Tenant

from .owned import Owned

if TYPE_CHECKING:
    from collections.abc import Callable

PRUNED = 5000  # rows per transaction when old entries are deleted
LOGGED = 5000  # rows per statement when entries are written
FORGOTTEN: dict[str, Any] = {"fields": {}, "request_id": ""}  # what is left of a cleared entry


class Entry(NamedTuple):
    """A change that is to be logged.

    `contact_id`: a ULID or 32 hexadecimal digits. `fields`: see `change_log.difference`.
    `merged_into`: the id of the contact that this contact was merged into, if it was. `ended_at`:
    when the contact was deleted, erased or merged; other changes get the time at which they are
    logged.
    """

    tenant_id: str
    contact_id: str
    kind: str
    fields: Fields
    merged_into: str = ""
    ended_at: datetime | None = None


def digits(contact_id: str) -> str:
    """The id of an entry as 32 hexadecimal digits."""
    return contact_id if len(contact_id) == 32 else hex_id(contact_id)


class Tombstone(NamedTuple):
    """A deleted, erased or merged contact, as list-contacts shows it.

    `updated_at`: when the contact was deleted, erased or merged.
    """

    pk: str
    updated_at: datetime
    merged_into: str | None


class Cleared(NamedTuple):
    """What became of the log entries about a person.

    `number`: the entries of the person's contacts, which were cleared. `contact_ids`: of these
    contacts. `survivors`: the ids of the contacts that one of these contacts was merged into. They
    may belong to the same person.
    """

    number: int
    contact_ids: set[str]
    survivors: list[str]


class ChangeQuerySet(FeedQuerySet["Change"]):
    """Writes the log, reads the history of contacts and clears entries.

    `Change.objects.log` takes entries of several tenants; all other methods need the changes of one
    tenant, `tenant.changes`.
    """

    def log(self, entries: Iterable[Entry]) -> None:
        """Appends `entries` with the current cause: one statement per tenant and 5,000 entries.

        Entries of updates that changed nothing are left out.
        """
        by_tenant = attrgetter("tenant_id")
        entries = iter(entries)
        while some := list(islice(entries, LOGGED)):
            for tenant_id, its_entries in groupby(sorted(some, key=by_tenant), by_tenant):
                self._log(tenant_id, its_entries)

    def _log(self, tenant_id: str, entries: Iterable[Entry]) -> None:
        created, rows = [], []
        texts: dict[int, str] = {}  # many entries of a bulk action share their fields
        dialect = dialect_of(self.db)
        for _, contact_id, kind, fields, merged_into, ended_at in entries:
            if kind == Change.Kind.CREATED:  # most entries; they need only their ids
                created.append(digits(contact_id))
            elif fields or kind != Change.Kind.UPDATED:
                into = f'"{digits(merged_into)}"' if merged_into else "null"
                ended = f'"{dialect.moment(ended_at)}"' if ended_at else "null"
                if not (spelled := texts.get(id(fields))):
                    spelled = texts[id(fields)] = rules.spelled(fields)
                rows.append(f'["{digits(contact_id)}","{kind}",{spelled},{into},{ended}]')
        if not created and not rows:
            return
        values = cause_values(dialect) | {
            "tenant": hex_id(tenant_id),
            "created": dialect.words(created),
            "rows": f"[{','.join(rows)}]",
        }
        with prepared_cursor(self.db) as cursor:
            cursor.execute(dialect.LOG, values)

    def log_caused(self, tenant_id: str, entries: Iterable[tuple[Entry, str]]) -> None:
        """Appends entries of one tenant about contacts that were created or updated, each with its
        own cause: an object in JSON with `actor`, `request_id` and `change_set`. On SQLite only.

        Entries of updates that changed nothing are left out.
        """
        dialect = dialect_of(self.db)
        rows = [
            f'["{digits(entry.contact_id)}","{entry.kind}",{rules.spelled(entry.fields)},{cause}]'
            for entry, cause in entries
            if entry.fields or entry.kind == Change.Kind.CREATED
        ]
        if rows:
            values = {"tenant": hex_id(tenant_id), "at": dialect.moment(timezone.now())}
            with prepared_cursor(self.db) as cursor:
                cursor.execute(dialect.LOG_CAUSED, values | {"entries": f"[{','.join(rows)}]"})

    def of_phones(self, phones: Iterable[str]) -> set[str]:
        """The ids of the contacts that were deleted, merged or got another phone while they had one
        of `phones`. One statement for each phone: an index finds them."""
        found: set[str] = set()
        for phone in phones:
            had = self.filter(fields__phone__old=phone, fields__has_key="phone")
            found |= {*had.values_list("contact_id", flat=True)}
        return found

    def with_merged(self, contact_ids: Iterable[str]) -> set[str]:
        """These ids, and those of all contacts that were merged into one of these contacts."""
        merges = self.filter(kind=Change.Kind.MERGED)
        found = known = {*contact_ids}
        while found:
            merged = merges.filter(into__in=found).values_list("contact_id", flat=True)
            found = {*merged} - known
            known |= found
        return known

    def forget(self, phones: Iterable[str], contact_ids: Iterable[str]) -> "Cleared":
        """Clears the log entries about a person who is to be forgotten.

        `phones`: the person's phones. `contact_ids`: the person's contacts. The method clears the
        entries of these contacts; of contacts that were deleted, merged or got another phone while
        they had one of `phones`; and of all contacts that were merged into one of these contacts.
        A cleared entry still says when which kind of change happened, but contains no values.

        """
        known = self.with_merged({*contact_ids} | self.of_phones(phones))
        number = self.filter(contact_id__in=known).update(**FORGOTTEN)
        survivors = self._clear_copies(self.filter(kind=Change.Kind.MERGED), known)
        return Cleared(number, known, survivors)

    def _clear_copies(self, merges: "ChangeQuerySet", forgotten: set[str]) -> list[str]:
        """Clears log entries that copied a forgotten contact's values into the contact it was
        merged into.

        `merges`: the entries about merges. `forgotten`: the ids of the contacts to forget. If the
        other contact was merged in its turn, the log entry of that merge is cleared, too. Returns
        the ids of these other contacts.
        """
        others: set[str] = set()
        merged = forgotten
        while found := list(merges.filter(contact_id__in=merged).exclude(into__in=others | merged)):
            for merge in found:
                into = cast("str", merge.into)
                self.filter(contact_id=into, change_set=merge.change_set).update(**FORGOTTEN)
            merged = {merge.into for merge in found if merge.into}
            others |= merged
            merges.filter(contact_id__in=merged).update(**FORGOTTEN)
        return sorted(others)

    def old(self, before: datetime, keep: models.Q) -> "ChangeQuerySet":
        """Entries that are older than `before`, for `prune`. `keep`: the condition for entries that
        must stay."""
        is_empty_end = models.Q(kind__in=ENDS, fields={})
        return self.filter(at__lt=before).exclude(keep).exclude(is_empty_end)

    def prune(self, progress: "Callable[[int], object]" = lambda number: None) -> int:
        """Deletes these entries; returns how many were deleted. Entries about the end of a contact
        are not deleted, because list-contacts still shows the end; they only lose their values.

        `progress`: called with the number of entries of each batch.
        """
        ends = self.filter(kind__in=ENDS)
        ends.in_batches(lambda batch: batch.update(fields={}), progress)
        return self.exclude(kind__in=ENDS).in_batches(lambda batch: batch.delete()[0], progress)

    def in_batches(
        self,
        write: "Callable[[ChangeQuerySet], int]",
        progress: "Callable[[int], object]" = lambda number: None,
    ) -> int:
        """Calls `write` with batches of these changes; returns the sum of its results.

        Each batch is a transaction of its own, so that no lock is held for long.
        """
        pace, number, last = Pace(PRUNED), 0, 0
        while pks := list(
            self.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[: pace.size]
        ):
            with pace.turn(len(pks)):
                number += write(self.filter(pk__gt=last, pk__lte=pks[-1]))
            progress(len(pks))
            last = pks[-1]
        return number

    def of(self, contact_ids: Iterable[str], after: int) -> "ChangeQuerySet":
        """The changes of these contacts with an id greater than `after`, by id.

        No change can appear later with a smaller id: two writers of one contact wait for each
        other, so its changes are committed in the order of their ids.
        """
        return self.filter(contact_id__in=contact_ids, id__gt=after).order_by("id")

    def merged_into(self, contact_id: str) -> str:
        """The id of the contact that the contact `contact_id` was merged into; empty if it was not
        merged.

        A contact may come back, by an undo, and be deleted again: only the last such entry counts.
        """
        lives = self.filter(contact_id=contact_id, kind__in=[Change.Kind.CREATED, *ENDS])
        return lives.order_by("-id").values_list("into", flat=True).first() or ""

    def survivors(self, contact_ids: Iterable[str]) -> dict[str, str]:
        """`merged_into` of many contacts, by their ids; without those that were not merged."""
        lives = self.filter(contact_id__in=contact_ids, kind__in=[Change.Kind.CREATED, *ENDS])
        last = dict(lives.order_by("id").values_list("contact_id", "into"))
        return {pk: into for pk, into in last.items() if into}

    def tombstones(
        self, after: tuple[datetime, str] | None, limit: int, since: datetime | None
    ) -> "list[Tombstone]":
        """The next `limit` tombstones, by (time of the end, id of the contact).

        `after`: the position after which to begin; None for the beginning. `since`: the earliest
        time, inclusive; None for no limit.
        """
        ended = self.filter(kind__in=ENDS).order_by("at", "contact_id")
        if after:
            at, pk = after
            ended = ended.filter(at__gte=at).exclude(at=at, contact_id__lte=pk)
        if since:
            ended = ended.filter(at__gte=since)
        return [Tombstone(*row) for row in ended.values_list("contact_id", "at", "into")[:limit]]

    def gone_into(self, contact_id: str) -> set[str]:
        """The ids of the contacts that were merged into this one, also by way of others. Not those
        that an undo has brought back: they may be other people."""
        found = self.with_merged([contact_id])
        return {pk for pk, into in self.survivors(found - {contact_id}).items() if into in found}

    def ends(self) -> "ChangeQuerySet":
        """The changes after which the contact did not exist any more."""
        return self.filter(IS_END)

    def last_ends(self, contact_ids: Iterable[str]) -> dict[str, datetime]:
        """When each of these contacts was last deleted, erased or merged, by id.

        Contacts to which this never happened are left out.
        """
        ended = self.filter(contact_id__in=contact_ids, kind__in=ENDS).order_by()
        return dict(ended.values_list("contact_id").annotate(models.Max("at")))

    def decisions(self, contact_id: str) -> "ChangeQuerySet":
        """The changes of a contact that explain whether the person may be contacted, oldest first.

        These are its decisions on consent, and other changes that touched the consent.
        """
        decided = models.Q(kind__in=[*CONSENT.values()]) | models.Q(fields__has_any_keys=[*CONSENT])
        return self.filter(decided, contact_id=contact_id).order_by("id")


class Change(Owned):
    """A change of a contact. Of two changes of one contact, the later one has the greater id.

    `fields`: see `change_log.difference`; empty for a creation, because the row itself shows the
    values. `into`: the id of the contact that a merged contact was merged into. `xid`: the number
    of the transaction on PostgreSQL, 0 on SQLite; see `change_log.feed`. `change_set`: the same for
    all changes of one request, import or command. `at`: when the change happened.
    """

    class Kind(models.TextChoices):
        CREATED = "created", gettext_lazy("Created")
        UPDATED = "updated", gettext_lazy("Updated")
        DELETED = "deleted", gettext_lazy("Deleted")
        MERGED = "merged", gettext_lazy("Merged")
        ERASED = "erased", gettext_lazy("Erased")
        OPTED_IN = "opted_in", gettext_lazy("Opted In")
        OPTED_OUT = "opted_out", gettext_lazy("Opted Out")

    id = models.BigAutoField(primary_key=True)
    xid = models.BigIntegerField(default=0)
    # Without a constraint: the database would check the tenant with every change.
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
            models.Index(fields=["tenant", "at", "id"], name="change_by_time"),
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
        """Whether an undo may take back a part of this change. An undo never takes back consent,
        and nothing is left of a person who was erased."""
        never = {*CONSENT.values(), Change.Kind.ERASED}
        return bool(self.change_set) and self.kind not in never


# After a change of one of these kinds the contact does not exist any more.
ENDS = [Change.Kind.DELETED, Change.Kind.ERASED, Change.Kind.MERGED]
# The condition of the index `change_ends`, word for word: SQLite does not use the index for a
# condition with parameters.
IS_END = models.Func(
    "kind",
    template="%(expressions)s IN ('deleted', 'erased', 'merged')",
    output_field=models.BooleanField(),
)
