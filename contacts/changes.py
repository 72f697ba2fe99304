"""The change log: what happened to each contact, who did it, and when.

One append-only table, written in the same transaction as the rows that it tells of. Nothing that
changes nothing is logged.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from . import rules
from .sql import DIALECTS, key

# The columns of a contact whose changes are told, and what each holds where it is empty.
EMPTY: dict[str, Any] = {
    "phone": "", "name": "", "email": "", "tags": "", "metadata": {}, "locale": "",
    "opted_in_at": None, "opted_out_at": None,
}  # fmt: skip
TOLD = tuple(EMPTY)
PRUNED = 5000  # rows a transaction

Fields = dict[str, Any]


# Who and why


class Cause(NamedTuple):
    """What a change is put down to. `change_set`: all that one request, import or command did."""

    actor: Callable[[], str]
    request_id: str
    change_set: Callable[[], str]


NOBODY = Cause(lambda: "", "", lambda: "")
current: ContextVar[Cause] = ContextVar("cause", default=NOBODY)


@contextmanager
def caused_by(actor: str, change_set: str = "") -> Iterator[None]:
    """Puts what is changed inside down to `actor`, such as `command:retag`."""
    change_set = change_set or new_ulid()
    token = current.set(Cause(lambda: actor, "", lambda: change_set))
    try:
        yield
    finally:
        current.reset(token)


class CauseMiddleware:
    """Puts what a request changes down to its token or user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = getattr(request, "id", "")
        token = current.set(Cause(lambda: actor_of(request), request_id, cache(new_ulid)))
        try:
            return self.get_response(request)
        finally:
            current.reset(token)


def actor_of(request: Any) -> str:
    if token := getattr(request, "auth", None):
        return token.actor
    return f"user:{request.user.pk}" if request.user.is_authenticated else ""


# What


class Entry(NamedTuple):
    """A change to be logged."""

    tenant_id: str
    contact_id: str  # or as hexadecimal digits
    kind: str
    fields: Fields


def difference(names: Sequence[str], was: Sequence[Any], now: Sequence[Any]) -> Fields:
    """What differs: of each column its `old` and `new` value, tags and keys of metadata one by
    one. Columns are as JSON has them: tags comma-separated."""
    fields: Fields = {}
    for name, old, new in zip(names, was, now, strict=True):
        if name in TOLD and rules.spelled(old) != rules.spelled(new):
            fields[name] = DIFFERENCES.get(name, of_values)(old, new)
    return fields


def of_values(old: Any, new: Any) -> Fields:
    return {"old": old or None, "new": new or None}


def of_tags(old: str, new: str) -> Fields:
    before, after = (text.split(",") if text else [] for text in (old, new))
    added = [tag for tag in after if tag not in before]
    removed = [tag for tag in before if tag not in after]
    if not added and not removed:
        return {"order": {"old": before, "new": after}}
    return {"added": added, "removed": removed}


def of_moments(old: str | None, new: str | None) -> Fields:
    """Databases spell them differently."""
    return of_values(*(text and moment(text) for text in (old, new)))


def moment(text: str) -> str:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def of_metadata(old: dict[str, Any], new: dict[str, Any]) -> Fields:
    """By key; one that was not there has no `old`, one that is gone no `new`."""
    return {
        name: {
            side: values[name] for side, values in (("old", old), ("new", new)) if name in values
        }
        for name in sorted({*old, *new})
        if name not in old
        or name not in new
        or rules.spelled(old[name]) != rules.spelled(new[name])
    }


DIFFERENCES: dict[str, Callable[[Any, Any], Fields]] = {
    "tags": of_tags, "metadata": of_metadata, "opted_in_at": of_moments,
    "opted_out_at": of_moments,
}  # fmt: skip


def digits(contact_id: str) -> str:
    return contact_id if len(contact_id) == 32 else key(contact_id)


class ChangeQuerySet(models.QuerySet["Change"]):
    def log(self, entries: Iterable[Entry]) -> None:
        """Appends `entries`, in one statement a tenant, put down to the current cause.

        Those of an update that has changed nothing are left out.
        """
        by_tenant = attrgetter("tenant_id")
        for tenant_id, told in groupby(sorted(entries, key=by_tenant), by_tenant):
            self._log(tenant_id, told)

    def _log(self, tenant_id: str, entries: Iterable[Entry]) -> None:
        created, rows = [], []
        for _, contact_id, kind, fields in entries:
            if kind == Change.Kind.CREATED:  # of which there are most
                created.append(digits(contact_id))
            elif fields or kind != Change.Kind.UPDATED:
                rows.append(f'["{digits(contact_id)}","{kind}",{rules.spelled(fields)}]')
        if not created and not rows:
            return
        cause = current.get()
        change_set = cause.change_set()
        dialect = DIALECTS[connections[self.db].vendor]
        values = {
            "tenant": key(tenant_id),
            "actor": cause.actor(),
            "request_id": cause.request_id,
            "change_set": key(change_set) if change_set else None,
            "at": dialect.moment(timezone.now()),
            "created": dialect.words(created),
            "rows": f"[{','.join(rows)}]",
        }
        with connections[self.db].cursor() as cursor:
            cursor.execute(dialect.LOG, values)

    def forget(self, phone: str, contact_ids: Iterable[str]) -> None:
        """Empties what is told of the contacts with these ids, and of those that were deleted,
        merged or moved away while they had the phone. The facts stay."""
        had = models.Q(fields__phone__old=phone) | models.Q(fields__phone__new=phone)
        known = {*contact_ids, *self.filter(had).values_list("contact_id", flat=True)}
        into = self.filter(kind=Change.Kind.MERGED, fields__into__in=[*known])
        known |= {*into.values_list("contact_id", flat=True)}
        self.filter(contact_id__in=known).update(fields={})

    def prune(self, before: datetime) -> int:
        """Deletes what is older, batch by batch; returns how many."""
        number = 0
        old = self.filter(at__lt=before)
        while pks := list(old.order_by("pk").values_list("pk", flat=True)[:PRUNED]):
            number += old.filter(pk__range=(pks[0], pks[-1])).delete()[0]
        return number

    def of(self, contact_id: str, after: int) -> "ChangeQuerySet":
        """Those of one contact behind the id `after`. Its writers wait for each other, so their
        order is that of their ids, and none comes late."""
        return self.filter(contact_id=contact_id, id__gt=after).order_by("id")

    def settle_restored(self) -> int:
        """Moves what a dump from another server has brought, whose transactions are not this
        server's, before all that is written from now on. After each `migrate`; how many."""
        newest = DIALECTS[connections[self.db].vendor].NEXT
        return self.filter(xid__gte=RawSQL(newest, [])).update(xid=0) if newest else 0  # noqa: S611

    def behind(self, position: tuple[int, int]) -> "ChangeQuerySet":
        """Those behind `position` (xid, id) that no late commit can come before, in their order.

        A position of before a dump was restored is one among what the dump has brought.
        """
        xid, number = position
        dialect, found = DIALECTS[connections[self.db].vendor], self
        if dialect.OLDEST_RUNNING:
            with connections[self.db].cursor() as cursor:
                cursor.execute(f"SELECT {dialect.OLDEST_RUNNING}, {dialect.NEXT}")
                oldest, newest = cursor.fetchone()
            xid = xid if xid < newest else 0
            found = self.filter(xid__lt=oldest)
        later = models.Q(xid__gt=xid) | models.Q(xid=xid, id__gt=number)
        return found.filter(later, xid__gte=xid).order_by("xid", "id")


class Change(models.Model):
    """A change of a contact. Its id is the sequence: of one contact's changes, later is more.

    `fields`: see `difference`. A creation has none, the row itself shows them. `xid`: of the
    transaction (PostgreSQL). Ids are given out before commits, so a reader that follows them
    would miss a late commit; transactions below the oldest that still runs are settled.
    """

    class Kind(models.TextChoices):
        CREATED = "created"
        UPDATED = "updated"
        DELETED = "deleted"
        MERGED = "merged"
        ERASED = "erased"

    id = models.BigAutoField(primary_key=True)
    xid = models.BigIntegerField(default=0)
    # Without a constraint, which would be checked for every change.
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="changes", db_index=False, db_constraint=False
    )
    contact_id = ULIDField()
    kind = models.CharField(max_length=20, choices=Kind)
    fields = models.JSONField(default=dict, encoder=rules.CompactJSON)
    actor = models.CharField(max_length=100)
    request_id = models.CharField(max_length=128)
    change_set = ULIDField(null=True)
    at = models.DateTimeField()

    objects = ChangeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "contact_id", "id"], name="change_by_contact"),
            models.Index(fields=["tenant", "xid", "id"], name="change_by_commit"),
        ]

    def __str__(self) -> str:
        return f"{self.contact_id} {self.kind}"


def settle_restored(using: str, **kwargs: Any) -> None:
    """After `migrate`, which follows the restoring of a dump."""
    if "contacts_change" in connections[using].introspection.table_names():
        Change.objects.using(using).settle_restored()
