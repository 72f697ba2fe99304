"""The statements that write contacts, built for the database of the connection."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from .dialects import DIALECTS
from .postgresql import PostgreSQL
from .rows import inserting

if TYPE_CHECKING:
    from .sqlite import SQLite

INCOMPLETE = "22012"  # division by zero, see `insert_sql`


# What rows of a file change in a contact. Metadata keys are merged; nobody who has opted out is
# opted in again; and of two decisions the later one counts, at one moment the one to opt out.
MERGED = {
    "opted_in_at": "CASE WHEN contacts_contact.opted_out_at IS NULL"
    " AND (EXCLUDED.opted_in_at > contacts_contact.opted_in_at) IS NOT FALSE"
    " THEN EXCLUDED.opted_in_at ELSE contacts_contact.opted_in_at END",
    "opted_out_at": "CASE WHEN EXCLUDED.opted_out_at >= COALESCE(contacts_contact.opted_out_at,"
    " contacts_contact.opted_in_at, EXCLUDED.opted_out_at)"
    " THEN EXCLUDED.opted_out_at ELSE contacts_contact.opted_out_at END",
}


class Upsert(NamedTuple):
    """The statements of an upsert: how rows that exist were before, and the upsert itself.

    PostgreSQL says both in one; SQLite, which has one writer at a time, needs two.
    """

    before: str
    write: str


@lru_cache(maxsize=256)
def upsert_sql(
    kind: str,
    columns: tuple[str, ...],
    given: tuple[str, ...],
    changes: tuple[str, ...],
    told: tuple[str, ...],
    returned: tuple[str, ...],
) -> Upsert:
    """INSERT … ON CONFLICT of the contacts in the JSON array `%(rows)s`.

    `given`: the columns that its objects have; the others are parameters of their own names,
    alike for all rows. `changes`: the columns that an existing row gets; `-metadata` replaces
    them all, `metadata` merges their keys. A row that has these values already is left alone and
    not returned. `returned`: expressions over the rows that were written. Behind them come `was`
    and `now`, what the columns `told` held and hold, as JSON arrays, no `was` for a new row; and
    `seen`, see `PostgreSQL.upsert`.
    """
    dialect = DIALECTS[kind]
    values = {name: dialect.given(name) if name in given else f"%({name})s" for name in columns}
    merged = MERGED | {"metadata": dialect.MERGED_METADATA}
    sets = {name.lstrip("-"): merged.get(name, f"EXCLUDED.{name.lstrip('-')}") for name in changes}
    if sets:
        before, write = dialect.upsert(values, on_conflict(dialect, sets), told, returned)
    else:
        shown = ", ".join([*returned, "NULL AS was", "NULL AS now", "NULL AS seen"])
        conflict = f"ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING {shown}"
        before, write = "", dialect.written(f"{inserting(values)} {dialect.ROWS} {conflict}")
    return Upsert(before, dialect.alone(write))


def inserts_alone(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether `insert_sql` may be used now: on PostgreSQL, outside any transaction."""
    connection: Any = connections[using]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


@lru_cache
def insert_sql(columns: tuple[str, ...], lock_timeout: str = "") -> str:
    """INSERT of the contact in the JSON array `%(rows)s`, with its tags, links and log entry; one
    row tells that it is done, none that its phone is there already.

    By itself a transaction, and one trip instead of three. So it may not do half of it. It fails
    with `INCOMPLETE`, as a whole, where somebody else has just made or renamed one of its tags, and
    where somebody with this phone has opted out; `%(digest)s` is that of the phone.

    `lock_timeout`: how long it may wait for a lock, such as `1s`; empty for the server's own
    setting. The statement sets it for itself, when it reads the row that it is going to insert:
    a SET of its own would be another trip.
    """
    insert = inserting({name: PostgreSQL.given(name) for name in columns})
    limit = f"set_config('lock_timeout', '{lock_timeout}', true) IS NOT NULL"
    rows = f"{PostgreSQL.ROWS} WHERE {limit}" if lock_timeout else PostgreSQL.ROWS
    return PostgreSQL.whole(
        f"{insert} {rows} ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING id, tags"
    )


@lru_cache
def find_sql(columns: tuple[str, ...]) -> str:
    """SELECT of a tenant's contact by its phone."""
    return (
        f"SELECT {', '.join(columns)} FROM contacts_contact"  # noqa: S608 - our own
        " WHERE tenant_id = %(tenant)s AND phone = %(phone)s"
    )


@lru_cache(maxsize=256)
def update_sql(kind: str, columns: tuple[str, ...]) -> str:
    """UPDATE of the contacts of one tenant in the JSON array `%(rows)s`, found by id."""
    dialect = DIALECTS[kind]
    values = ", ".join(f"{name} = {dialect.given(name)}" for name in columns)
    return (
        f"UPDATE contacts_contact SET {values} {dialect.ROWS_TO_UPDATE}"  # noqa: S608 - our own
        f" AND contacts_contact.id = {dialect.given('id')}"
        f" AND {dialect.unindexed('contacts_contact.tenant_id')} = %(tenant)s"
    )


def on_conflict(dialect: "type[SQLite] | type[PostgreSQL]", changes: dict[str, str]) -> str:
    """`changes`: the columns that an existing row gets, each with its new value.

    EXCLUDED.updated_at, not now(), so that the statement also runs on Citus.
    """
    updated_at = dialect.updated_after("contacts_contact.updated_at", "EXCLUDED.updated_at")
    values = changes | {"updated_at": updated_at}
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    stored = ", ".join(f"contacts_contact.{name}" for name in changes)
    return (
        f"ON CONFLICT (tenant_id, phone) DO UPDATE SET {assignments} "
        f"WHERE ({stored}) IS DISTINCT FROM ({', '.join(changes.values())})"
    )
