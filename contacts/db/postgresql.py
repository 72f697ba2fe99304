"""The SQL of PostgreSQL, where SQLite needs other SQL. The names are the same as in `sqlite`."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from tenants.fields import bits, hex_id
from tenants.isolation import SETS_TENANT

from .rows import inserting


def microsecond_after(moment: str) -> str:
    """A time with time zone, in SQL. In UTC, because to add an interval depends on the time zone of
    the session otherwise, and Citus allows only what depends on nothing in an UPDATE."""
    return f"({moment} AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC'"


class PostgreSQL:
    """PostgreSQL before version 18. Lists are parameters in the form of arrays, rows are JSON.

    Many writers work at the same time, so statements lock the rows that they depend on.
    """

    HAS_NODES = False
    ID_DIGITS = "replace(id::text, '-', '')"
    METADATA_BYTES = "octet_length(metadata::text)"
    CONSENT = "json_build_array(opted_in_at, opted_out_at)::text"
    MERGED_METADATA = "contacts_contact.metadata || EXCLUDED.metadata"
    # Each tag at its first place. No tag is empty and no tag contains a comma.
    ADDED_TAGS = """(
    SELECT coalesce(string_agg(name, ',' ORDER BY place), '') FROM (
        SELECT name, min(place) AS place FROM unnest(string_to_array(
            concat_ws(',', nullif(contacts_contact.tags, ''), nullif(EXCLUDED.tags, '')), ','
        )) WITH ORDINALITY AS tag (name, place) GROUP BY name
    ) AS tags
)"""

    @staticmethod
    def consent_given(returned: Any) -> list[Any]:
        """The two times of `CONSENT` as JSON has them."""
        return json.loads(returned)

    @staticmethod
    def words(items: Iterable[str]) -> str:
        """A parameter for a list of ids, phones or digests, which need no quotes in an array."""
        return f"{{{','.join(items)}}}"

    ROWS = "FROM jsonb_populate_recordset(NULL::contacts_contact, %(rows)s::jsonb) AS given"
    ROWS_TO_UPDATE = f"{ROWS} WHERE true"

    @staticmethod
    def unindexed(column: str) -> str:
        """The column itself; see `SQLite.unindexed`."""
        return column

    @staticmethod
    def given(name: str) -> str:
        """The value of the column `name` in a row of `ROWS`."""
        return f"given.{name}"

    @staticmethod
    def array(names: Iterable[str]) -> str:
        """A JSON array of the columns `names`."""
        return f"json_build_array({', '.join(names)})"

    @staticmethod
    def as_part(write: str) -> str:
        """The statement `write`, which returns rows, as the beginning of `as_statement`."""
        return f"written AS ({write})"

    @staticmethod
    def as_statement(ctes: str) -> str:
        """A complete statement that returns the rows of `as_part`."""
        return f"WITH {ctes} SELECT * FROM written"  # noqa: S608 - no user input

    # The number of existing rows that `written` has read before it wrote; NULL where it does not
    # have to read any.
    SEEN = "(SELECT count(*) FROM old)"

    @classmethod
    def written(
        cls, values: dict[str, str], conflict: str, returned: tuple[str, ...], was: tuple[str, ...]
    ) -> str:
        """The part of `complete_upsert` that upserts the rows; see there for its columns.

        `values`: the SQL expression for each column. `conflict`: the ON CONFLICT clause.
        `returned`: the columns to return. `was`: the columns of which the old values are returned,
        too. `upsert` explains `SEEN`, and rows that another writer creates at the same time.
        """
        columns = ", ".join(f"stored.{name}" for name in returned)
        old = "".join(f", {name} AS old_{name}" for name in was)
        shown = "".join(f", old_{name}" for name in was)
        after = f"CASE WHEN {cls.SEEN} >= 0 THEN {values['phone']} END"
        return f"""old AS MATERIALIZED (
    SELECT known.tenant_id, known.phone{old}
    FROM unnest(%(tenants)s::uuid[], %(phones)s::text[]) AS given (tenant_id, phone)
        JOIN contacts_contact AS known
            ON known.tenant_id = given.tenant_id AND known.phone = given.phone
    WHERE {cls.SETTINGS} ORDER BY known.tenant_id, known.phone FOR UPDATE OF known
), stored AS (
    {inserting(values | {"phone": after})} {cls.ROWS} WHERE {cls.SETTINGS}
    {conflict} AND (contacts_contact.tenant_id, contacts_contact.phone) IN (
        SELECT tenant_id, phone FROM old
    )
    RETURNING *
), written AS (
    SELECT {columns}, old.phone IS NULL AS is_new{shown}
    FROM stored LEFT JOIN old USING (tenant_id, phone)
)"""  # noqa: S608 - no user input

    # True. Sets the tenant for row-level security, and how long the statement waits for a lock.
    # PostgreSQL evaluates it once, before the first row is read or locked: see `SETS_TENANT`. To
    # send a statement before this one costs an eighth of the time.
    SETTINGS = (
        f"{SETS_TENANT} AND (SELECT set_config('lock_timeout',"
        " coalesce(%(lock_timeout)s::text, current_setting('lock_timeout')), true)) IS NOT NULL"
    )

    @classmethod
    def upsert(
        cls,
        values: dict[str, str],
        conflict: str,
        logged: tuple[str, ...],
        returned: tuple[str, ...],
    ) -> tuple[str, str]:
        """An upsert that also returns the old and the new values; see `statements.upsert_sql`.

        `values`: the SQL expression for each column. `conflict`: the ON CONFLICT clause. `logged`,
        `returned`: as in `upsert_sql`. Returns two statements: one to run before, which is empty
        here, and the upsert.

        The statement reads and locks the existing rows before it writes the first row. Another
        writer may create a row in between. Such a row is locked, but neither changed nor returned,
        because its old values are not known. `seen` is the number of existing rows that were read.
        If `seen` and the number of new rows add up to less than the given rows, the statement has
        to run again for the rest; it then reads the rows of the other writer. The first row of the
        result may contain nothing but `seen`.
        """
        was = cls.array(logged)
        # Makes PostgreSQL read all of `old` before it writes the first row: PostgreSQL evaluates a
        # subquery once if the subquery does not refer to the row.
        after = f"CASE WHEN (SELECT count(*) FROM old) >= 0 THEN {values['phone']} END"  # noqa: S608
        # Phones are compared with one list, not looked up one by one: while the planner takes the
        # table for a small one, each look-up may read all contacts of the tenant.
        write = f"""
old AS MATERIALIZED (
    SELECT phone, {was}::text AS was FROM contacts_contact
    WHERE tenant_id = %(tenant)s::uuid AND phone = ANY(%(phones)s::text[])
    ORDER BY phone FOR UPDATE
), stored AS (
    {inserting(values | {"phone": after})} {cls.ROWS}
    {conflict} AND contacts_contact.phone IN (SELECT phone FROM old)
    RETURNING *
), written AS (
    SELECT {", ".join(returned)}, was, CASE WHEN was IS NOT NULL THEN {was}::text END AS now, seen
    FROM (SELECT count(*) AS seen FROM old) AS counted
    LEFT JOIN (stored LEFT JOIN old USING (phone)) ON true
)"""  # noqa: S608 - no user input
        return "", write

    @staticmethod
    def moment(value: datetime) -> str:
        """A timestamp as text, for a parameter."""
        return value.isoformat()

    @staticmethod
    def updated_after(stored: str, now: str) -> str:
        """`expressions.updated_after` in SQL, of two SQL expressions."""
        return f"GREATEST({now}, {microsecond_after(stored)})"

    OPT_OUTS = """
SELECT digest, CAST(opted_out_at AS text) FROM contacts_optout
WHERE tenant_id = %(tenant)s::uuid AND digest = ANY(%(digests)s::text[])
"""
    OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    BY_CODE_POINT = "C"
    # Readers go on.
    HOLD_TABLES = ("SET LOCAL lock_timeout = '10s'", "LOCK TABLE {tables} IN SHARE MODE")
    # Which transactions a statement sees, and the condition for changes that a statement with the
    # snapshot `seen` did not see. Without GREATEST, the numbers of restored changes, which are
    # negative, would be an error.
    SNAPSHOT = "pg_current_snapshot()::text"
    UNSEEN = """xid >= split_part(%(seen)s::text, ':', 1)::bigint AND NOT pg_visible_in_snapshot(
    GREATEST(xid, 0)::text::xid8, %(seen)s::text::pg_snapshot)"""
    # Whether the column `snapshot` is one of this server. The numbers of a restored dump may lie in
    # the future; a snapshot of SQLite has another form.
    IS_KNOWN_SNAPSHOT = r"""CASE WHEN snapshot ~ '^\d+:\d+:' THEN pg_snapshot_xmax(
    snapshot::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) ELSE false END"""
    LOG = """
INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT pg_current_xact_id()::text::bigint, %(tenant)s::uuid, contact_id, kind, fields, "into",
    %(actor)s, %(request_id)s, %(change_set)s::uuid, coalesce(ended_at, %(at)s::timestamptz)
FROM (
    SELECT unnest(%(created)s::uuid[]) AS contact_id, 'created' AS kind, '{}'::jsonb AS fields,
        NULL::uuid AS "into", NULL::timestamptz AS ended_at
    UNION ALL
    SELECT (entry ->> 0)::uuid, entry ->> 1, entry -> 2, (entry ->> 3)::uuid,
        (entry ->> 4)::timestamptz
    FROM jsonb_array_elements(%(rows)s::jsonb) AS entry
) AS entries
"""

    # Creates the tags and links of `pair`; each of its rows has a tenant, the id of a contact and
    # the name of a tag. `owners`: the tenant of each of the `names`. FOR KEY SHARE, the lock of a
    # foreign key, keeps others from renaming or deleting the tags until the transaction ends. The
    # sorting makes PostgreSQL write the contacts of the same statement before it locks tags,
    # because all writers lock contacts first.
    LINKING = """known AS (
    SELECT tenant_id, name, contacts_tag.id
    FROM unnest(%(owners)s::uuid[], string_to_array(%(names)s, ',')) AS given (tenant_id, name)
        JOIN contacts_tag USING (tenant_id, name)
    WHERE (tenant_id, name) IN (SELECT tenant_id, name FROM pair)
    ORDER BY tenant_id, name FOR KEY SHARE OF contacts_tag
), made AS (
    INSERT INTO contacts_tag (id, tenant_id, name, created_at)
    SELECT id, tenant_id, name, %(now)s::timestamptz
    FROM unnest(%(ids)s::uuid[], %(owners)s::uuid[], string_to_array(%(names)s, ','))
        AS given (id, tenant_id, name)
    WHERE (tenant_id, name) IN (SELECT tenant_id, name FROM pair) ORDER BY tenant_id, name
    ON CONFLICT DO NOTHING RETURNING tenant_id, name, id
), tags AS (
    SELECT tenant_id, name, id FROM known UNION ALL SELECT tenant_id, name, id FROM made
), linked AS (
    INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
    SELECT tenant_id, contact_id, tags.id FROM pair JOIN tags USING (tenant_id, name)
    ON CONFLICT DO NOTHING
)"""
    PAIRS = """
SELECT %(tenant)s::uuid AS tenant_id, contact_id, name
FROM unnest(%(carriers)s::uuid[], string_to_array(%(carried)s, ',,')) AS given (contact_id, names),
    unnest(string_to_array(names, ',')) AS name
"""
    LINK = f"WITH pair AS ({PAIRS}), {LINKING} SELECT count(*) FROM tags"  # noqa: S608 - no user input
    # For contacts that this transaction has created, which have no links yet: looking for links
    # before each INSERT takes a third of its time.
    LINK_NEW = LINK.replace("name)\n    ON CONFLICT DO NOTHING", "name)")
    # NOT IN, which PostgreSQL computes once. With NOT EXISTS and statistics from before an import,
    # it would go through all pairs for each link.
    UNLINK = f"""
DELETE FROM contacts_contacttag
WHERE tenant_id = %(tenant)s::uuid AND contact_id = ANY(%(had_links)s::uuid[])
AND (contact_id, tag_id) NOT IN (
    SELECT contact_id, tag.id
    FROM ({PAIRS}) AS pair
    JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s::uuid AND tag.name = pair.name
)
"""  # noqa: S608 - no user input

    @classmethod
    def tag_params(cls, tenant_id: str, names: Iterable[str]) -> dict[str, Any]:
        """The parameters of `LINK` for creating the tags `names` that do not exist yet."""
        of_tenants = cls.tag_params_of_tenants([(tenant_id, name) for name in names])
        return {"tenant": hex_id(tenant_id), **of_tenants}

    @classmethod
    def tag_params_of_tenants(cls, tags: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The parameters of `LINKING`. `tags`: tenant and name of each tag."""
        return {
            "now": timezone.now(),
            "ids": cls.words(f"{one:032x}" for one in bits.take(len(tags))),
            "owners": cls.words(hex_id(tenant_id) for tenant_id, _ in tags),
            "names": ",".join(name for _, name in tags),
        }

    @classmethod
    def link_params(cls, tags: dict[str, str], had_links: list[str]) -> dict[str, Any]:
        """The parameters of `LINK` and `UNLINK` for the links between contacts and tags.

        `tags`: the comma-separated tags of each contact, by id. `had_links`: the ids of contacts
        that may have had other tags before. Ids are hexadecimal digits.

        Each long list is one text, so that psycopg need not handle its items: ids form an array in
        PostgreSQL's notation. Two commas separate the tags of two contacts, because a tag is never
        empty and never contains a comma.
        """
        return {
            "carriers": cls.words(tags),
            "carried": ",,".join(tags.values()),
            "had_links": cls.words(had_links),
        }

    # The former phones of the contacts `ids`: the id in hexadecimal digits, and the phone. A
    # subquery for each contact, and OFFSET, so that it stays one. If one condition named all
    # contacts, PostgreSQL before version 17, or without statistics, would read all former phones of
    # the tenant.
    FORMER_PHONES = """
SELECT replace(given.id::text, '-', ''), former.phone
FROM unnest(%(ids)s::uuid[]) AS given (id)
CROSS JOIN LATERAL (
    SELECT phone FROM contacts_contact
    WHERE tenant_id = %(tenant)s::uuid AND former_of_id = given.id OFFSET 0
) AS former
ORDER BY former.phone
"""

    # Gives contacts, which are locked, other tags.
    RETAG = f"""
UPDATE contacts_contact
SET tags = coalesce(given.tags, ''),
    updated_at = GREATEST(%(now)s::timestamptz, {microsecond_after("updated_at")})
FROM unnest(%(carriers)s::uuid[], string_to_array(%(carried)s, ',,')) AS given (id, tags)
WHERE contacts_contact.id = given.id AND contacts_contact.tenant_id = %(tenant)s::uuid
"""  # noqa: S608 - no user input

    @classmethod
    def retag_params(cls, tenant_id: str, tags: dict[str, str]) -> dict[str, Any]:
        """The parameters of `RETAG`. `tags`: as in `link_params`; a contact may have none."""
        return {
            "tenant": hex_id(tenant_id),
            "now": timezone.now(),
            "carriers": cls.words(tags),
            "carried": ",,".join(tags.values()),
        }

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int, *, are_new: bool) -> None:
        """Runs `LINK` and locks the tags, so that nobody renames or deletes them before the commit.

        `tags`: the number of different tags. `are_new`: see `LINK_NEW`. The statement can miss a
        tag that another transaction creates or renames at the same moment, so it is repeated until
        it has linked all tags.
        """
        linked, sql = 0, cls.LINK_NEW if are_new else cls.LINK
        while linked < tags:
            cursor.execute(sql, values)
            [linked] = cursor.fetchone()
            sql = cls.LINK


class PostgreSQL18(PostgreSQL):
    """PostgreSQL 18 and later, which can return the old values of a row that an upsert changed."""

    VERSION = 18_00_00

    @classmethod
    def upsert(
        cls,
        values: dict[str, str],
        conflict: str,
        logged: tuple[str, ...],
        returned: tuple[str, ...],
    ) -> tuple[str, str]:
        was = cls.array(f"old.{name}" for name in logged)
        now = cls.array(f"new.{name}" for name in logged)
        shown = [
            *returned,
            f"CASE WHEN old.id IS NOT NULL THEN {was}::text END AS was",
            f"CASE WHEN old.id IS NOT NULL THEN {now}::text END AS now",
            "NULL AS seen",
        ]
        insert = f"{inserting(values)} {cls.ROWS} {conflict} RETURNING {', '.join(shown)}"
        return "", cls.as_part(insert)

    SEEN = "NULL::bigint"

    @classmethod
    def written(
        cls, values: dict[str, str], conflict: str, returned: tuple[str, ...], was: tuple[str, ...]
    ) -> str:
        columns = ", ".join(f"new.{name}" for name in returned)
        old = "".join(f", old.{name} AS old_{name}" for name in was)
        return f"""written AS (
    {inserting(values)} {cls.ROWS} WHERE {cls.SETTINGS} {conflict}
    RETURNING {columns}, old.id IS NULL AS is_new{old}
)"""
