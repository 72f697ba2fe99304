"""Writing one contact with one statement, together with those that other threads bring.

The statement (`contacts.db.complete_upsert`) creates or updates contacts with their tags, links and
log entries. What it cannot do takes several statements, see `upsert`: decisions on consent, former
phones, and contacts whose opt-out is stored.
"""

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils import timezone

from contacts.change_log.cause import cause_values
from contacts.change_log.difference import CONSENT
from contacts.db.complete_upsert import INCOMPLETE, complete_upsert_sql, writes_completely
from contacts.db.connections import prepared_cursor, release, sql_kind
from contacts.db.dialects import dialect_of, has_one_writer
from contacts.db.outages import is_unavailable
from contacts.db.transactions import DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT, sqlstate
from contacts.models import Contact, Outcome, all_columns, attributes, converted, find_stored
from contacts.values import rules
from contacts.values.digests import phone_digest
from tenants.isolation import current_tenant, lock_timeout

from . import combined, renumber
from .rounds import Rounds
from .rows import columns, logged

# How long a round waits for a lock. Short, because the rows of all others wait, too; then each
# thread writes its own row and waits as long as requests may.
ROUND_LOCK_TIMEOUT = "100ms"
# After these errors of a round, each row may still succeed without the others.
OF_SOME_ROWS = (DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT)


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
        cause |= {"phone": contact.phone, "digest": phone_digest(contact.phone)}
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
        return find_unchanged(contact)
    return contact if row.outcome else None


def queue_of(row: Row) -> Hashable:
    """Rows of one queue are written together. On SQLite all are: one transaction writes at a time,
    so that several queues would only wait for each other."""
    return None if has_one_writer() else (current_tenant(), row.contact.tenant_id, row.changes)


def find_unchanged(contact: Contact) -> Contact | None:
    """The stored contact, which the statement has not changed; None if its phone is a former one,
    or the contact has been deleted meanwhile."""
    stored = find_stored(contact.tenant_id, contact.phone)
    if not stored or stored.former_of_id:
        return None
    stored.outcome = Outcome.UNCHANGED
    return stored


def write_round(rows: Sequence[Row]) -> None:
    """Writes rows of one queue. If other rows, or locks, keep them from being written, they have no
    outcome. Raises the error of an outage."""
    try:
        execute(rows, ROUND_LOCK_TIMEOUT)
    except DatabaseError as error:
        if is_unavailable(error) and sqlstate(error) not in OF_SOME_ROWS:
            raise


def write_alone(row: Row) -> None:
    try:
        execute([row], lock_timeout(connections[DEFAULT_DB_ALIAS]) or None)
    except DatabaseError as error:
        if sqlstate(error) not in (DEADLOCK, INCOMPLETE):
            raise


rounds = Rounds(write_round, before_waiting=release)


def execute(rows: Sequence[Row], limit: str | None) -> None:
    """Writes rows of one queue and gives them their outcomes. `limit`: see `complete_upsert_sql`;
    SQLite has one limit for all transactions."""
    if has_one_writer():
        combined.write(rows)
        return
    rows = sorted(rows, key=phone_of)  # all writers lock contacts in the order of their phones
    changes = rows[0].changes
    stored = kept(changes)
    sql = complete_upsert_sql(sql_kind(), all_columns(), changes, logged(changes), stored)
    with prepared_cursor() as cursor:
        cursor.execute(sql, parameters(rows, limit))
        found = cursor.fetchall()
    by_phone = {row.contact.phone: row for row in rows}
    new = 0
    for phone, is_new, _, *values, _ in found:
        if phone:
            new += is_new
            by_phone.pop(phone).was_written(is_new, stored, values)
    seen = found[0][2] if found else None
    if seen is None or seen + new == len(rows):
        for row in by_phone.values():
            row.outcome = Outcome.UNCHANGED


def phone_of(row: Row) -> str:
    return row.contact.phone


def parameters(rows: Sequence[Row], limit: str | None) -> dict[str, Any]:
    dialect = dialect_of()
    names = sorted({name for row in rows for name in row.contact.tags})
    return dialect.tag_params(rows[0].contact.tenant_id, names) | {
        "rows": f"[{','.join(row.values for row in rows)}]",
        "phones": dialect.words(map(phone_of, rows)),
        "causes": f"[{','.join(row.cause for row in rows)}]",
        "at": dialect.moment(timezone.now()),
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
