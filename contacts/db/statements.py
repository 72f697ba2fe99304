"""The statements that write contacts, for the database of the connection.

The ORM cannot express them: an upsert that returns the old and the new values, and an INSERT of a
contact with its tags and its log entry in one statement.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from .dialects import DIALECTS
from .postgresql import PostgreSQL
from .rows import inserting

if TYPE_CHECKING:
    from .sqlite import SQLite

INCOMPLETE = "22012"  # SQLSTATE of a division by zero, see `insert_sql`

# How an import changes the consent of an existing contact: the SQL expression for each column. A
# contact that has opted out never becomes opted in. Of two decisions the later one counts; if both
# have the same time, the opt-out wins.
IMPORT_CONFLICT_SQL = {
    "opted_in_at": "CASE WHEN contacts_contact.opted_out_at IS NULL"
    " AND (EXCLUDED.opted_in_at > contacts_contact.opted_in_at) IS NOT FALSE"
    " THEN EXCLUDED.opted_in_at ELSE contacts_contact.opted_in_at END",
    "opted_out_at": "CASE WHEN EXCLUDED.opted_out_at >= COALESCE(contacts_contact.opted_out_at,"
    " contacts_contact.opted_in_at, EXCLUDED.opted_out_at)"
    " THEN EXCLUDED.opted_out_at ELSE contacts_contact.opted_out_at END",
}


class Upsert(NamedTuple):
    """The statements of an upsert. `before` reads the old values of existing rows; `write` upserts.

    On PostgreSQL, `write` does both and `before` is empty. SQLite needs two statements, and no row
    can change between them, because SQLite has one writer at a time.
    """

    before: str
    write: str


@lru_cache(maxsize=256)
def upsert_sql(
    kind: str,
    columns: tuple[str, ...],
    given: tuple[str, ...],
    changes: tuple[str, ...],
    logged: tuple[str, ...],
    returned: tuple[str, ...],
) -> Upsert:
    """INSERT … ON CONFLICT of the contacts in the JSON array `%(rows)s`.

    `kind`: the key of the dialect. `columns`: all columns of the table. `given`: the columns that
    have their values in the JSON objects; the values of the other columns are parameters with the
    name of the column, the same for all rows. `changes`: the columns that change in an existing
    row. `-metadata` replaces the stored metadata, `metadata` merges the keys into it. `tags`
    replaces the stored tags, `+tags` adds to them. A row that has the new values already is neither
    changed nor returned. `logged`: the columns for which the old and new values are returned.
    `returned`: SQL expressions.

    Each row of the result describes a written row: the values of `returned`, then `was` and `now`,
    the old and the new values of the columns `logged`, as JSON arrays (`was` is NULL for a new
    row). The last value is `seen`; see `PostgreSQL.upsert`.
    """
    dialect = DIALECTS[kind]
    values = {name: dialect.given(name) if name in given else f"%({name})s" for name in columns}
    merged = IMPORT_CONFLICT_SQL | {
        "metadata": dialect.MERGED_METADATA,
        "+tags": dialect.ADDED_TAGS,
    }
    sets = {
        name.lstrip("-+"): merged.get(name, f"EXCLUDED.{name.lstrip('-+')}") for name in changes
    }
    if sets:
        before, write = dialect.upsert(values, on_conflict(dialect, sets), logged, returned)
    else:
        shown = ", ".join([*returned, "NULL AS was", "NULL AS now", "NULL AS seen"])
        conflict = f"ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING {shown}"
        before, write = "", dialect.as_part(f"{inserting(values)} {dialect.ROWS} {conflict}")
    return Upsert(before, dialect.as_statement(write))


def inserts_alone(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether `insert_sql` can be used now: on PostgreSQL, outside a transaction."""
    connection: Any = connections[using]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


@lru_cache
def insert_sql(columns: tuple[str, ...], lock_timeout: str = "") -> str:
    """INSERT of the one contact in the JSON array `%(rows)s`, with its tags, links and log entry.

    The statement is a transaction of its own, and needs one round trip instead of three. It returns
    one row if the contact was inserted, and no row if a contact has the phone already. It fails as
    a whole with the SQLSTATE `INCOMPLETE` if another writer has just created or renamed one of the
    tags, or if a person with this phone has opted out; `%(digest)s` is the digest of the phone.

    `lock_timeout`: how long the statement may wait for a lock, such as `1s`; empty for the setting
    of the server. The statement itself sets the limit when it reads the row to insert, because a
    SET would be another round trip.
    """
    insert = inserting({name: PostgreSQL.given(name) for name in columns})
    limit = f"set_config('lock_timeout', '{lock_timeout}', true) IS NOT NULL"
    rows = f"{PostgreSQL.ROWS} WHERE {limit}" if lock_timeout else PostgreSQL.ROWS
    return PostgreSQL.complete_insert(
        f"{insert} {rows} ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING id, tags"
    )


@lru_cache
def find_sql(columns: tuple[str, ...]) -> str:
    """SELECT of the row of the tenant `%(tenant)s` with the phone `%(phone)s`."""
    return (
        f"SELECT {', '.join(columns)} FROM contacts_contact"  # noqa: S608 - no user input
        " WHERE tenant_id = %(tenant)s AND phone = %(phone)s"
    )


@lru_cache
def look_up_sql(columns: tuple[str, ...]) -> str:
    """SELECT of the contact of the tenant `%(tenant)s` that has the phone `%(phone)s`, now or as a
    former one. In one statement: a merge between two would hide the contact."""
    mine = "FROM contacts_contact WHERE tenant_id = %(tenant)s"
    return (
        f"SELECT {', '.join(columns)} {mine} AND id ="
        f" (SELECT COALESCE(former_of_id, id) {mine} AND phone = %(phone)s)"
        " AND former_of_id IS NULL"
    )


@lru_cache(maxsize=256)
def update_sql(kind: str, columns: tuple[str, ...]) -> str:
    """UPDATE of contacts of the tenant `%(tenant)s` by the JSON array `%(rows)s`.

    Each object of the array has the `id` of a contact and its new values in `columns`.
    """
    dialect = DIALECTS[kind]
    values = ", ".join(f"{name} = {dialect.given(name)}" for name in columns)
    return (
        f"UPDATE contacts_contact SET {values} {dialect.ROWS_TO_UPDATE}"  # noqa: S608 - no user input
        f" AND contacts_contact.id = {dialect.given('id')}"
        f" AND {dialect.unindexed('contacts_contact.tenant_id')} = %(tenant)s"
    )


def on_conflict(dialect: "type[SQLite] | type[PostgreSQL]", changes: dict[str, str]) -> str:
    """The clause ON CONFLICT DO UPDATE, which leaves rows alone that have the new values already,
    and rows that stand for former phones.

    `changes`: the SQL expression of the new value for each column that changes. The clause uses
    EXCLUDED.updated_at and not now(), because Citus does not allow now() here.
    """
    updated_at = dialect.updated_after("contacts_contact.updated_at", "EXCLUDED.updated_at")
    values = changes | {"updated_at": updated_at}
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    stored = ", ".join(f"contacts_contact.{name}" for name in changes)
    return (
        f"ON CONFLICT (tenant_id, phone) DO UPDATE SET {assignments} "
        f"WHERE contacts_contact.former_of_id IS NULL"
        f" AND ({stored}) IS DISTINCT FROM ({', '.join(changes.values())})"
    )
