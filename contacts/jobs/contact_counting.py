"""How many contacts tenants have by day, source and consent, for the first page of the admin.

Counting a million contacts takes seconds, and a page must not. So few contacts are counted when the
page is shown; the counts of many are stored, and a worker renews them every few minutes. Writing a
contact costs nothing more. Without a worker, the page counts itself where the stored counts are
older than an hour.

A day has the contacts that exist when they are counted and were added on this day. So a deletion or
a merge takes a contact out of its day, also long afterwards, and an undo puts it back.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.models import Count, QuerySet
from django.utils import timezone

from contacts.db.expressions import PartOfTime
from contacts.finding.filters import CONSENTS, midnight
from contacts.models import Change, Contact, ContactCounts
from tenants.isolation import all_tenants_context, tenant_context

INTERVAL = 60  # seconds
REFRESHED_AFTER = timedelta(minutes=5)
KEPT_FOR = timedelta(hours=1)
LATE = timedelta(minutes=5)  # a change may be committed so long after its time
MAX_READ = 20_000  # contacts that are counted whenever a page is shown
MAX_TENANTS = 100  # of which a superuser sees the stored counts: each takes statements of its own
DAYS = 740  # that are counted each by itself: two periods of twelve months


class Counts(NamedTuple):
    """`others`: contacts that were not imported, by the day on which they were added, such as
    2026-05-07; `imported`: those from files. Days before the last `DAYS` are left out. `sources`,
    `consents`: all contacts, by source and by the names of `CONSENTS`. `counted_at`: None for
    counts that were just made for somebody who asked; otherwise these are stored ones."""

    others: Counter[str]
    imported: Counter[str]
    sources: Counter[str]
    consents: Counter[str]
    counted_at: datetime | None = None

    @property
    def total(self) -> int:
        return self.sources.total()


class Shown(NamedTuple):
    """`counts` for a page. `was_slow`: whether the page had to count many contacts itself."""

    counts: Counts
    was_slow: bool


def counts_of(tenants: Sequence[str], contacts: QuerySet[Contact]) -> Shown:
    """The counts of `contacts`, which are all contacts of `tenants`, in the current time zone."""
    if contacts.order_by()[: MAX_READ + 1].count() <= MAX_READ:
        return Shown(counted(contacts), was_slow=False)
    if len(tenants) > MAX_TENANTS:
        return Shown(counted(contacts), was_slow=True)
    every = [of_tenant(tenant) for tenant in tenants]
    return Shown(total(every), was_slow=any(one.counted_at is None for one in every))


def of_tenant(tenant_id: str) -> Counts:
    """The stored counts, or new ones, which it stores for others."""
    stored = ContactCounts.objects.filter(
        tenant=tenant_id, zone=zone(), counted_at__gt=timezone.now() - KEPT_FOR
    )
    known = stored.values_list("numbers", "counted_at").first()
    return read(*known) if known else renewed(tenant_id)


def renewed(tenant_id: str) -> Counts:
    """Counts the contacts of the tenant and stores the result. Contacts that are committed
    meanwhile may be missing, so `counted_at` is the time of the beginning."""
    began = timezone.now()
    counts = counted(Contact.objects.filter(tenant=tenant_id))
    row = ContactCounts(tenant_id=tenant_id, zone=zone(), numbers=written(counts), counted_at=began)
    with suppress(DatabaseError):  # the page has its counts, also if nobody can write now
        ContactCounts.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["tenant", "zone"],
            update_fields=["numbers", "counted_at"],
        )
    return counts


def refresh_all() -> None:
    """Renews the counts that a page has stored."""
    old = ContactCounts.objects.filter(counted_at__lt=timezone.now() - REFRESHED_AFTER)
    with all_tenants_context():
        due = [*old.defer("numbers")]
    for counts in due:
        with tenant_context(counts.tenant_id), timezone.override(counts.zone):
            refresh(counts)


def refresh(stored: ContactCounts) -> None:
    """Counts again if contacts have changed since; otherwise the stored counts still hold."""
    now = timezone.now()
    since = stored.counted_at - LATE
    if Change.objects.filter(tenant=stored.tenant_id, at__gte=since).exists():
        renewed(stored.tenant_id)
    else:
        stored.counted_at = now
        stored.save(update_fields=["counted_at"])


# Counting


def counted(contacts: QuerySet[Contact]) -> Counts:
    """The counts of these contacts, in one pass over them."""
    last = timezone.localdate()
    days = [last - timedelta(days=back) for back in reversed(range(DAYS))]
    part = PartOfTime("created_at", [midnight(day) for day in days])
    consents = {name: Count("pk", filter=meaning) for name, meaning in CONSENTS.items()}
    rows: Any = contacts.order_by().annotate(part=part).values("part", "source")
    found = Counts(Counter(), Counter(), Counter(), Counter())
    for row in rows.annotate(number=Count("pk"), **consents):
        is_imported = row["source"] == Contact.Source.CSV_IMPORT
        if row["part"]:
            by_day = found.imported if is_imported else found.others
            by_day[days[row["part"] - 1].isoformat()] += row["number"]
        found.sources[row["source"]] += row["number"]
        found.consents.update({name: row[name] for name in CONSENTS})
    return found


def total(every: Iterable[Counts]) -> Counts:
    """The sums; as old as the oldest of them."""
    every = [*every]
    found = Counts(Counter(), Counter(), Counter(), Counter())
    for one in every:
        for name in COUNTERS:
            getattr(found, name).update(getattr(one, name))
    times = (one.counted_at for one in every if one.counted_at)
    return found._replace(counted_at=min(times, default=None))


def zone() -> str:
    return timezone.get_current_timezone_name()


# As JSON stores them


def written(counts: Counts) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in COUNTERS}


def read(numbers: dict[str, dict[str, int]], counted_at: datetime) -> Counts:
    counters: dict[str, Any] = {name: Counter(numbers.get(name, {})) for name in COUNTERS}
    return Counts(**counters, counted_at=counted_at)


COUNTERS = ("others", "imported", "sources", "consents")


def between(by_day: Counter[str], first: date, end: date) -> int:
    """The contacts of the days from `first` until the day before `end`."""
    return sum(by_day[f"{first + timedelta(days=n)}"] for n in range((end - first).days))
