"""The statement that upserts contacts together with their tags, links and log entries. PostgreSQL
only.

The statement is a transaction of its own: one round trip for one contact, or for many that are
written together, of whatever tenants. It has two forms, which differ in `PostgreSQL.written`:
PostgreSQL 18 returns the old values of a row that an upsert changes; versions before it read and
lock the rows first. A database that refuses a chain of writing statements, as Citus does, needs a
form of its own there and here, and several statements.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from .connections import sql_kind
from .dialects import DIALECTS
from .logged_difference import difference_sql
from .postgresql import PostgreSQL
from .statements import on_conflict

INCOMPLETE = "22012"  # SQLSTATE of a division by zero, see `complete_upsert_sql`


def writes_completely(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether contacts can be written with those of other threads: outside a transaction. On
    PostgreSQL `complete_upsert_sql` writes them, on SQLite `contacts.writing.combined`. A Citus
    cluster refuses the statement. There, each contact takes a transaction with several statements:
    it concerns one node, so the commit has one phase, and the feed of changes misses nothing."""
    connection = connections[using]
    return not connection.in_atomic_block and sql_kind(using) != "citus"


@lru_cache(maxsize=256)
def complete_upsert_sql(
    kind: str,
    columns: tuple[str, ...],
    changes: tuple[str, ...],
    logged: tuple[str, ...],
    returned: tuple[str, ...],
) -> str:
    """The statement for the contacts in the JSON array `%(rows)s`, sorted by tenant and phone.

    `kind`: the key of the dialect. `columns`: all columns of the table; each JSON object has them.
    `changes`: the columns that change in an existing row. `logged`: those of `changes` that are
    logged. `returned`: further columns to return.

    `%(causes)s` is a JSON array with an object for each contact, in the same order: `tenant_id`,
    `phone`, the `digest` of the phone, and the cause of the change: `actor`, `request_id`,
    `change_set`. `%(lock_timeout)s` is how long the statement may wait for a lock, such as
    `1s`, or NULL for the setting of the server.

    Each row of the result describes a contact that was inserted or changed: its place among the
    given contacts, beginning with 1, `is_new`, `seen`, and the columns `returned`, which are NULL
    for new contacts. Contacts that have the new values already, and rows that stand for former
    phones, are left out. `seen` is NULL, or the number of stored rows that the statement has found:
    if it and the number of new contacts add up to less than the given rows, other writers have
    created the rest meanwhile, and the statement has not written them. The first row of the result
    may contain nothing but `seen`.

    The statement fails as a whole with the SQLSTATE `INCOMPLETE` in two cases: other writers have
    just created or renamed one of the tags, or changed one of the contacts; or a new contact has a
    phone for which an opt-out is stored.
    """
    dialect: Any = DIALECTS[kind]
    values = {name: dialect.given(name) for name in columns}
    conflict = on_conflict(dialect, {name: f"EXCLUDED.{name}" for name in changes})
    was = tuple(dict.fromkeys(["tags", *logged]))
    needed = tuple(dict.fromkeys(["tenant_id", "phone", "id", *was, *returned]))
    # Of a new contact the caller knows them; reading their text takes longer than asking.
    shown = "".join(f", CASE WHEN NOT is_new THEN {name} END" for name in returned)
    return f"""WITH {dialect.written(values, conflict, needed, was)}, {CAUSES}, {PAIR},
{PostgreSQL.LINKING}, {UNLINKED}, {logged_sql(logged)}
SELECT place, is_new, seen{shown}, 1 / ({IS_COMPLETE})::int
FROM (SELECT {dialect.SEEN} AS seen) AS counted
    LEFT JOIN (written JOIN cause USING (tenant_id, phone)) ON true
"""  # noqa: S608 - no user input


CAUSES = """cause AS MATERIALIZED (
    SELECT * FROM ROWS FROM (jsonb_to_recordset(%(causes)s::jsonb) AS (
        tenant_id uuid, phone text, digest text, actor text, request_id text, change_set uuid
    )) WITH ORDINALITY AS given (
        tenant_id, phone, digest, actor, request_id, change_set, place
    )
)"""
# The tags of contacts that are new or have other tags than before.
PAIR = """pair AS (
    SELECT tenant_id, id AS contact_id, tag AS name
    FROM written, unnest(string_to_array(tags, ',')) AS tag
    WHERE old_tags IS DISTINCT FROM tags
)"""
UNLINKED = """unlinked AS (
    DELETE FROM contacts_contacttag AS link USING written
    WHERE old_tags <> written.tags AND link.tenant_id = written.tenant_id
        AND link.contact_id = written.id AND NOT EXISTS (
            SELECT 1 FROM pair JOIN tags USING (tenant_id, name)
            WHERE pair.contact_id = link.contact_id AND tags.id = link.tag_id
        )
    RETURNING link.tag_id
)"""


def logged_sql(names: Iterable[str]) -> str:
    return f"""logged AS (
    INSERT INTO contacts_change
        (xid, tenant_id, contact_id, kind, fields, actor, request_id, change_set, at)
    SELECT pg_current_xact_id()::text::bigint, tenant_id, id,
        CASE WHEN is_new THEN 'created' ELSE 'updated' END, fields,
        actor, request_id, change_set, %(at)s::timestamptz
    FROM written JOIN cause USING (tenant_id, phone), LATERAL (
        SELECT CASE WHEN is_new THEN '{{}}' ELSE {difference_sql(names)} END AS fields
        OFFSET 0  -- else PostgreSQL would compute the difference twice
    ) AS difference
    WHERE is_new OR fields <> '{{}}'
)"""  # noqa: S608 - no user input


ARE_LINKED = "(SELECT count(DISTINCT (tenant_id, name)) FROM pair) = (SELECT count(*) FROM tags)"
# The statement sees links as they were when it began. If it has waited for another writer of the
# same contact, it misses links that this writer has made, and would leave them.
ARE_UNLINKED = """(SELECT count(*) FROM unlinked) = (
    SELECT count(*) FROM written, unnest(string_to_array(old_tags, ',')) AS tag
    WHERE old_tags <> tags AND tag <> ALL (string_to_array(tags, ','))
)"""
# The function is volatile: it reads what is committed when it is called, not when the statement
# began. The statement may have waited for a transaction that deleted a contact with the same phone,
# and that transaction may have stored the opt-out of this contact. So the function is called after
# the row is written.
HAS_OPTED_OUT = "CASE WHEN is_new THEN contacts_has_opted_out(tenant_id, digest) END"
IS_COMPLETE = f"{ARE_LINKED} AND {ARE_UNLINKED} AND {HAS_OPTED_OUT} IS NOT TRUE"
