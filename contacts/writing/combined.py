"""Contacts that wait together are written in one transaction: on SQLite, which has one writer at a
time, and where each commit waits for the disk.

The number of statements depends on how many tenants the contacts belong to, not on how many
contacts there are.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction

from contacts.change_log.difference import difference
from contacts.db.connections import sql_kind
from contacts.db.dialects import dialect_of
from contacts.db.statements import replacing, upsert_sql
from contacts.models import Change, Entry, OptOut, Outcome, all_columns
from tenants.fields import hex_id

from . import links
from .rows import logged

if TYPE_CHECKING:
    from .complete import Row


class Stored(NamedTuple):
    """A contact that was inserted or changed. `pk`: hexadecimal digits; `tags`: comma-separated.
    `was`, `now`: its logged columns before and after, JSON; `was` is None for a new contact.
    `kept`: the values of the columns `Row.kept`."""

    row: "Row"
    pk: str
    tags: str
    was: str | None
    now: str
    kept: Sequence[Any]


def write(rows: Sequence["Row"]) -> None:
    """Writes rows with different phones and gives them their outcomes, after the commit. A row
    whose phone has an opt-out stored is left out and gets no outcome. If an error is raised,
    nothing is written and no row has an outcome."""
    with transaction.atomic():
        groups = [[*group] for _, group in groupby(sorted(rows, key=group_of), group_of)]
        written = [write_group({row.contact.phone: row for row in group}) for group in groups]
    for done, stored in written:
        for row in done:
            row.outcome = Outcome.UNCHANGED
        for row, _, _, was, _, kept in stored:
            row.was_written(was is None, row.kept, kept)


def group_of(row: "Row") -> tuple[str, tuple[str, ...]]:
    """What the rows of one statement have in common."""
    return row.contact.tenant_id, row.changes


def write_group(rows: Mapping[str, "Row"]) -> tuple[Collection["Row"], list[Stored]]:
    """Writes rows, by phone, in the transaction. Returns those that need no more, and what was
    inserted or changed."""
    tenant_id, changes = group_of(next(iter(rows.values())))
    opted_out = OptOut.objects.of(tenant_id, rows)
    rows = {phone: rows[phone] for phone in sorted(rows) if phone not in opted_out}
    if not rows:
        return (), []
    stored = [*upsert(tenant_id, changes, rows)]
    names = logged(changes)
    entries = [entry_of(tenant_id, names, one) for one in stored]
    causes = (one.row.cause for one in stored)
    Change.objects.log_caused(tenant_id, zip(entries, causes, strict=True))
    links.link_written(tenant_id, zip(stored, entries, strict=True))
    return rows.values(), stored


def upsert(tenant_id: str, changes: tuple[str, ...], rows: Mapping[str, "Row"]) -> Iterator[Stored]:
    dialect, columns, kept = dialect_of(), all_columns(), next(iter(rows.values())).kept
    returned = ("phone", dialect.ID_DIGITS, "tags", *kept)
    sql = upsert_sql(sql_kind(), columns, columns, replacing(changes), logged(changes), returned)
    values = {
        "tenant": hex_id(tenant_id),
        "phones": dialect.words(rows),
        "rows": f"[{','.join(row.values for row in rows.values())}]",
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.before, values)
        before = dict(cursor.fetchall())
        cursor.execute(sql.write, values)
        for phone, pk, tags, *kept_values, _, now, _ in cursor.fetchall():
            yield Stored(rows[phone], pk, tags, before.get(phone), now, kept_values)


def entry_of(tenant_id: str, names: Sequence[str], stored: Stored) -> Entry:
    if stored.was is None:
        return Entry(tenant_id, stored.pk, Change.Kind.CREATED, {})
    fields = difference(names, json.loads(stored.was), json.loads(stored.now))
    return Entry(tenant_id, stored.pk, Change.Kind.UPDATED, fields)
