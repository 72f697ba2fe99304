"""How PostgreSQL spells what SQLite spells in another way."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from tenants.fields import hex_id, new_ulid

from .rows import inserting


class PostgreSQL:
    """Many writers at a time. Lists are passed as arrays, rows as JSON."""

    ID_DIGITS = "replace(id::text, '-', '')"
    METADATA_BYTES = "octet_length(metadata::text)"
    CONSENT = "json_build_array(opted_in_at, opted_out_at)::text"
    MERGED_METADATA = "contacts_contact.metadata || EXCLUDED.metadata"

    @staticmethod
    def words(items: Iterable[str]) -> str:
        """An array as PostgreSQL writes it: of ids, phones and the like, which need no quotes."""
        return f"{{{','.join(items)}}}"

    ROWS = "FROM json_populate_recordset(NULL::contacts_contact, %(rows)s::json) AS given"
    ROWS_TO_UPDATE = f"{ROWS} WHERE true"

    @staticmethod
    def unindexed(column: str) -> str:
        return column

    @staticmethod
    def given(name: str) -> str:
        return f"given.{name}"

    @staticmethod
    def array(names: Iterable[str]) -> str:
        return f"json_build_array({', '.join(names)})"

    @staticmethod
    def written(write: str) -> str:
        return f"written AS ({write})"

    @staticmethod
    def alone(ctes: str) -> str:
        return f"WITH {ctes} SELECT * FROM written"  # noqa: S608 - our own

    # The function is volatile: it reads what is committed when it is called, not when the statement
    # began. The statement may have waited for somebody who was deleting a contact with the same
    # phone, and must not miss the opt-out that was stored with that. So it is called after the
    # row is written.
    HAS_OPTED_OUT = "contacts_has_opted_out(%(tenant)s::uuid, %(digest)s::text)"

    @classmethod
    def whole(cls, insert: str) -> str:
        """With all that belongs to a new contact, or an error."""
        is_complete = f"{cls.ARE_LINKED} AND NOT {cls.HAS_OPTED_OUT}"
        done = f"SELECT 1 / ({is_complete})::int FROM written"  # noqa: S608 - our own
        return f"WITH written AS ({insert}), {cls.COMPLETING} {done}"

    @classmethod
    def upsert(
        cls, values: dict[str, str], conflict: str, told: tuple[str, ...], returned: tuple[str, ...]
    ) -> tuple[str, str]:
        """What rows were is read, and locked, before the first of them is written.

        A row that another writer has created in between is locked, and neither changed nor
        returned: its `was` is not known. `seen` is the number of rows that are: where it and the
        new ones are fewer than those given, the statement has to be run again for the rest,
        which it then sees. The first row may have nothing but `seen`.
        """
        was = cls.array(told)
        # An uncorrelated subquery is evaluated once, and this one needs all of `old`.
        after = f"CASE WHEN (SELECT count(*) FROM old) >= 0 THEN {values['phone']} END"  # noqa: S608
        # No look-up for each phone: while the planner takes the table for a small one, each of
        # them may go through all contacts of the tenant.
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
)"""  # noqa: S608 - our own
        return "", write

    @staticmethod
    def moment(value: datetime) -> str:
        return value.isoformat()

    @staticmethod
    def updated_after(stored: str, now: str) -> str:
        return f"GREATEST({now}, {stored} + interval '1 microsecond')"

    OPT_OUTS = """
SELECT digest, CAST(opted_out_at AS text) FROM contacts_optout
WHERE tenant_id = %(tenant)s::uuid AND digest = ANY(%(digests)s::text[])
"""
    OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    LOG_OF = """INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT pg_current_xact_id()::text::bigint, %(tenant)s::uuid, contact_id, kind, fields, "into",
    %(actor)s, %(request_id)s, %(change_set)s::uuid, coalesce(ended_at, %(at)s::timestamptz)
FROM"""
    CREATED = """'created' AS kind, '{}'::jsonb AS fields, NULL::uuid AS "into",
    NULL::timestamptz AS ended_at"""
    LOG = f"""{LOG_OF} (
    SELECT unnest(%(created)s::uuid[]) AS contact_id, {CREATED}
    UNION ALL
    SELECT (entry ->> 0)::uuid, entry ->> 1, (entry -> 2)::jsonb, (entry ->> 3)::uuid,
        (entry ->> 4)::timestamptz
    FROM json_array_elements(%(rows)s::json) AS entry
) AS entries
"""  # noqa: S608 - our own

    # Of a `pair` of a contact and a tag's name each. FOR KEY SHARE, a foreign key's lock: nobody
    # renames or deletes the tags meanwhile. Sorted, so that the contacts of the same statement are
    # written before.
    LINKING = """known AS (
    SELECT id, name FROM contacts_tag
    WHERE tenant_id = %(tenant)s::uuid AND name = ANY(string_to_array(%(names)s, ','))
        AND name IN (SELECT name FROM pair)
    ORDER BY name FOR KEY SHARE OF contacts_tag
), made AS (
    INSERT INTO contacts_tag (id, tenant_id, name, created_at)
    SELECT id, %(tenant)s::uuid, name, %(now)s::timestamptz
    FROM unnest(%(ids)s::uuid[], string_to_array(%(names)s, ',')) AS given (id, name)
    WHERE name IN (SELECT name FROM pair) ORDER BY name
    ON CONFLICT DO NOTHING RETURNING id, name
), tags AS (
    SELECT id, name FROM known UNION ALL SELECT id, name FROM made
), linked AS (
    INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
    SELECT %(tenant)s::uuid, contact_id, tags.id FROM pair JOIN tags USING (name)
    ON CONFLICT DO NOTHING
)"""
    COMPLETING = f"""
pair AS (
    SELECT id AS contact_id, tag AS name FROM written, unnest(string_to_array(tags, ',')) AS tag
), {LINKING}, logged AS (
    {LOG_OF} (SELECT id AS contact_id, {CREATED} FROM written) AS created
)
"""  # noqa: S608 - our own
    ARE_LINKED = "(SELECT count(DISTINCT name) FROM pair) = (SELECT count(*) FROM tags)"

    PAIRS = """
SELECT contact_id, name
FROM unnest(%(carriers)s::uuid[], string_to_array(%(carried)s, ',,')) AS given (contact_id, names),
    unnest(string_to_array(names, ',')) AS name
"""
    LINK = f"WITH pair AS ({PAIRS}), {LINKING} SELECT count(*) FROM tags"  # noqa: S608 - our own
    UNLINK = f"""
DELETE FROM contacts_contacttag
WHERE contact_id = ANY(%(had_links)s::uuid[])
AND (contact_id, tag_id) NOT IN (
    SELECT contact_id, tag.id
    FROM ({PAIRS}) AS pair
    JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s::uuid AND tag.name = pair.name
)
"""  # noqa: S608 - our own

    @classmethod
    def of_tags(cls, tenant_id: str, names: Iterable[str]) -> dict[str, Any]:
        """The parameters that make the tags of these `names`, where they are unknown."""
        names = [*names]
        return {
            "tenant": hex_id(tenant_id),
            "now": timezone.now(),
            "ids": cls.words(hex_id(new_ulid()) for _ in names),
            "names": ",".join(names),
        }

    @classmethod
    def of_links(cls, tags: dict[str, str], had_links: list[str]) -> dict[str, Any]:
        """The parameters that link them: the `tags` of each contact, and which contacts
        `had_links`. Ids are hexadecimal digits.

        Long lists are one text each, which psycopg need not go through: arrays of ids as
        PostgreSQL writes them; tags parted by two commas, because none is empty or has one.
        """
        return {
            "carriers": cls.words(tags),
            "carried": ",,".join(tags.values()),
            "had_links": cls.words(had_links),
        }

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int) -> None:
        """Also locks the tags against being renamed or deleted until the transaction ends.

        A tag that somebody else creates or renames at this very moment escapes the statement
        once; the next finds it.
        """
        linked = 0
        while linked < tags:
            cursor.execute(cls.LINK, values)
            [linked] = cursor.fetchone()


class PostgreSQL18(PostgreSQL):
    """Which tells by itself what a row was before an upsert."""

    VERSION = 18_00_00

    @classmethod
    def upsert(
        cls, values: dict[str, str], conflict: str, told: tuple[str, ...], returned: tuple[str, ...]
    ) -> tuple[str, str]:
        was = cls.array(f"old.{name}" for name in told)
        now = cls.array(f"new.{name}" for name in told)
        shown = [
            *returned,
            f"CASE WHEN old.id IS NOT NULL THEN {was}::text END AS was",
            f"CASE WHEN old.id IS NOT NULL THEN {now}::text END AS now",
            "NULL AS seen",
        ]
        insert = f"{inserting(values)} {cls.ROWS} {conflict} RETURNING {', '.join(shown)}"
        return "", cls.written(insert)
