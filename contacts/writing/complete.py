"""Writing one contact with one statement, together with those that other threads bring.

The statement (`contacts.db.complete_upsert`) creates or updates contacts with their tags, links and
log entries; a former phone takes a second one. What they cannot do takes several, see `upsert`:
decisions on consent, and phones with a stored opt-out.
"""

import time
from collections.abc import Hashable, Iterable, Sequence
from contextlib import nullcontext
from copy import copy
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.utils import timezone

from contacts.change_log.cause import cause_values
from contacts.change_log.difference import CONSENT
from contacts.db.complete_upsert import INCOMPLETE, complete_upsert_sql, writes_completely
from contacts.db.connections import prepared_cursor, release, sql_kind
from contacts.db.dialects import dialect_of, has_one_writer
from contacts.db.outages import is_unavailable
from contacts.db.transactions import DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT, sqlstate
from contacts.models import (
    Contact,
    Outcome,
    all_columns,
    attributes,
    converted,
    find_stored,
    find_with_owner,
)
from contacts.values import rules
from contacts.values.digests import phone_digest
from tenants.fields import hex_id
from tenants.isolation import current_tenant, lock_timeout, tenants_context

from . import combined, renumber
from .rounds import Rounds
from .rows import columns, logged

# How long a round waits for a lock. Short, because the rows of all others wait, too; then each
# thread writes its own row and waits as long as requests may.
ROUND_LOCK_TIMEOUT = "100ms"
# After these errors of a round, each row may still succeed without the others.
OF_SOME_ROWS = (DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT)
# A contact that is written alone may fail, or may take longer than `QUICK`. After that, contacts of
# its tenant are written without those of other tenants for so many seconds. Otherwise, if requests
# of one tenant met a locked contact again and again, all other tenants would wait each time.
APART = 5
QUICK = 0.1  # seconds
apart: dict[str, float] = {}  # by tenant; times of `time.monotonic`


class Row:
    """A contact to write. `changes`: the columns that a stored contact gets. `values`, `cause`: the
    columns of the row and the cause of the change, as JSON. `outcome`: None until the statement has
    had the row."""

    __slots__ = ("cause", "changes", "contact", "outcome", "values")

    def __init__(self, contact: Contact, changes: tuple[str, ...]) -> None:
        self.contact, self.changes = contact, changes
        dialect = dialect_of()
        self.values = rules.spelled(columns(contact, dialect))
        cause = cause_values(dialect)
        del cause["at"]
        cause |= {
            "tenant_id": hex_id(contact.tenant_id),
            "phone": contact.phone,
            "digest": phone_digest(contact.phone),
        }
        self.cause = rules.spelled(cause)
        self.outcome: Outcome | None = None

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that an update leaves as they are stored, and the time of the update."""
        return kept(self.changes)

    def was_written(self, is_new: bool, names: tuple[str, ...], values: Sequence[Any]) -> None:
        """`names`, `values`: the columns that the contact has in the database."""
        self.outcome = Outcome.CREATED if is_new else Outcome.UPDATED
        if not is_new:
            vars(self.contact).update(zip(attributes(names), converted(names, values), strict=True))
        marked(self.contact, self.outcome)


def write(contact: Contact, changes: Iterable[str]) -> Contact | None:
    """Stores the contact, or updates the columns `changes` of the one with its phone. Returns the
    contact as it is stored, with its `outcome`; None if nothing was written because one statement
    is not enough."""
    changes = tuple(changes)
    if not writes_completely() or contact.has_decided() or {*changes} & {*CONSENT}:
        return None
    if renumber.may_be_stored(contact.tenant_id, contact.phone):
        return None
    row = Row(contact, changes)
    rounds.write(queue_of(row), (contact.tenant_id, contact.phone), row)
    if row.outcome is None:
        write_alone(row)
    if row.outcome is Outcome.UNCHANGED:
        return unchanged(contact, changes)
    return contact if row.outcome else None


def unchanged(contact: Contact, changes: tuple[str, ...]) -> Contact | None:
    """`write` for a contact that the statement has not changed: it is stored so already, or its
    phone is a former one. None if it has been deleted meanwhile."""
    stored, owner = find_with_owner(contact.tenant_id, contact.phone)
    if stored and stored.former_of_id:
        pk = str(stored.former_of_id)
        return write_to_owner(contact, changes, pk, owner) if owner else None
    if stored:
        stored.outcome = Outcome.UNCHANGED
    return stored


def write_to_owner(
    contact: Contact, changes: tuple[str, ...], pk: str, phone: str
) -> Contact | None:
    """`write` for a former phone of the contact `pk`, which had `phone` when that was read. None if
    it has been merged, deleted or given another phone since: `phone` may be another contact's."""
    written = copy(contact)
    written.phone = phone
    try:
        with transaction.atomic():
            row = Row(written, changes)
            execute([row], waits())
            same = row.outcome is Outcome.UNCHANGED
            stored = find_stored(contact.tenant_id, phone) if same else written
            if row.outcome and stored and stored.pk == pk and not stored.former_of_id:
                stored.outcome = row.outcome
                return stored
            transaction.set_rollback(True)
    except DatabaseError as error:
        if sqlstate(error) not in (DEADLOCK, INCOMPLETE):
            raise
    return None


def queue_of(row: Row) -> Hashable:
    """Rows of one queue are written together. On SQLite all are: one transaction writes at a time,
    so that several queues would only wait for each other. On PostgreSQL those that change the same
    columns are, of whatever tenant."""
    if has_one_writer():
        return None
    tenant_id, context = row.contact.tenant_id, current_tenant()
    # Row-level security admits all tenants of a round, so each row must belong to the tenant of its
    # own request.
    if context != hex_id(tenant_id) or apart.get(tenant_id, 0) > time.monotonic():
        return context, tenant_id, row.changes
    return row.changes


def write_round(rows: Sequence[Row]) -> None:
    """Writes rows of one queue. If other rows, or locks, keep them from being written, they have no
    outcome. Raises the error of an outage."""
    tenants = {row.contact.tenant_id for row in rows}
    try:
        with tenants_context(tenants) if len(tenants) > 1 else nullcontext():
            execute(rows, ROUND_LOCK_TIMEOUT)
    except DatabaseError as error:
        if is_unavailable(error) and sqlstate(error) not in OF_SOME_ROWS:
            raise


def write_alone(row: Row) -> None:
    """Writes a row that no round has written, and keeps the rows of its tenant apart if this one
    fails, or waits for a lock."""
    tenant_id, began = row.contact.tenant_id, time.monotonic()
    apart[tenant_id] = began + APART
    try:
        execute([row], waits())
    except DatabaseError as error:
        if sqlstate(error) not in (DEADLOCK, INCOMPLETE):
            raise
    else:
        if row.outcome and time.monotonic() - began < QUICK:
            apart.pop(tenant_id, None)


def waits() -> str | None:
    """How long a row that is written alone waits for a lock."""
    return lock_timeout(connections[DEFAULT_DB_ALIAS]) or None


rounds = Rounds(write_round, before_waiting=release)


def execute(rows: Sequence[Row], limit: str | None) -> None:
    """Writes rows with different phones, or of different tenants, and gives them their outcomes,
    after the commit. `limit`: see `complete_upsert_sql`; SQLite has one limit for all
    transactions."""
    if has_one_writer():
        combined.write(rows)
        return
    # All writers lock contacts in this order, so that no two wait for each other.
    rows, changes = sorted(rows, key=place_of), rows[0].changes
    stored = kept(changes)
    sql = complete_upsert_sql(sql_kind(), all_columns(), changes, logged(changes), stored)
    with prepared_cursor() as cursor:
        cursor.execute(sql, parameters(rows, limit))
        found = cursor.fetchall()
    new = 0
    for place, is_new, _, *values, _ in found:
        if place:
            new += is_new
            rows[place - 1].was_written(is_new, stored, values)
    seen = found[0][2] if found else None
    if seen is None or seen + new == len(rows):
        for row in rows:
            row.outcome = row.outcome or Outcome.UNCHANGED


def place_of(row: Row) -> tuple[str, str]:
    return row.contact.tenant_id, row.contact.phone


def parameters(rows: Sequence[Row], limit: str | None) -> dict[str, Any]:
    dialect = dialect_of()
    tags = sorted({(row.contact.tenant_id, name) for row in rows for name in row.contact.tags})
    return dialect.tag_params_of_tenants(tags) | {
        "rows": f"[{','.join(row.values for row in rows)}]",
        "tenants": dialect.words(hex_id(row.contact.tenant_id) for row in rows),
        "phones": dialect.words(row.contact.phone for row in rows),
        "causes": f"[{','.join(row.cause for row in rows)}]",
        "at": dialect.moment(timezone.now()),
        "current_tenant": current_tenant(),
        "lock_timeout": limit,
    }


def marked(contact: Contact, outcome: Outcome) -> Contact:
    """The contact, which is stored like this now."""
    contact.outcome = outcome
    contact._state.adding, contact._state.db = False, DEFAULT_DB_ALIAS
    return contact


@lru_cache
def kept(changes: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that an update leaves as they are stored, and the time of the update."""
    return tuple(name for name in all_columns() if name not in (*changes, "tenant_id", "phone"))
