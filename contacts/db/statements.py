"""The statements that write contacts, for the database of the connection.

The ORM cannot express them: an upsert that returns the old and the new values. `complete_upsert`
has the statement that also writes the tags and the log entries.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .dialects import DIALECTS
from .rows import inserting

if TYPE_CHECKING:
    from .postgresql import PostgreSQL
    from .sqlite import SQLite

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


def replacing(changes: Iterable[str]) -> tuple[str, ...]:
    """The columns `changes`, for an upsert that replaces metadata instead of merging it."""
    return tuple("-metadata" if name == "metadata" else name for name in changes)


@lru_cache
def find_sql(columns: tuple[str, ...]) -> str:
    """SELECT of the row of the tenant `%(tenant)s` with the phone `%(phone)s`."""
    return (
        f"SELECT {', '.join(columns)} FROM contacts_contact"  # noqa: S608 - no user input
        " WHERE tenant_id = %(tenant)s AND phone = %(phone)s"
    )


@lru_cache
def find_with_owner_sql(columns: tuple[str, ...]) -> str:
    """`find_sql`, and for a former phone the phone of the contact that had it. Costs no more than
    `find_sql` for other rows."""
    owner = (
        "SELECT phone FROM contacts_contact AS owner WHERE owner.tenant_id = %(tenant)s"
        " AND owner.id = stored.former_of_id AND owner.former_of_id IS NULL"
    )
    return (
        f"SELECT {', '.join(columns)}, ({owner}) FROM contacts_contact AS stored"  # noqa: S608 - no user input
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

    `changes`: the SQL expression of the new value for each column that changes; if there are none,
    stored rows stay as they are. The clause uses EXCLUDED.updated_at and not now(), because Citus
    does not allow now() here.
    """
    if not changes:
        return "ON CONFLICT (tenant_id, phone) DO UPDATE SET phone = EXCLUDED.phone WHERE false"
    updated_at = dialect.updated_after("contacts_contact.updated_at", "EXCLUDED.updated_at")
    values = changes | {"updated_at": updated_at}
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    stored = ", ".join(f"contacts_contact.{name}" for name in changes)
    return (
        f"ON CONFLICT (tenant_id, phone) DO UPDATE SET {assignments} "
        f"WHERE contacts_contact.former_of_id IS NULL"
        f" AND ({stored}) IS DISTINCT FROM ({', '.join(changes.values())})"
    )
