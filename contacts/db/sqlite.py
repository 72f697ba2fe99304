"""The SQL of SQLite, where PostgreSQL needs other SQL. `postgresql` describes the shared names."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from tenants.fields import hex_id, new_ulid

from .rows import inserting


class SQLite:
    """SQLite has one writer at a time. Lists are JSON parameters, ids are 32 hexadecimal digits."""

    HAS_NODES = False
    ID_DIGITS = "id"
    METADATA_BYTES = "length(CAST(metadata AS BLOB))"
    CONSENT = "json_array(opted_in_at, opted_out_at)"
    MERGED_METADATA = "contacts_merged(contacts_contact.metadata, EXCLUDED.metadata)"
    ADDED_TAGS = "contacts_added_tags(contacts_contact.tags, EXCLUDED.tags)"

    @staticmethod
    def consent_given(returned: Any) -> list[Any]:
        return json.loads(returned)

    @staticmethod
    def words(items: Iterable[str]) -> str:
        return json.dumps([*items])

    @staticmethod
    def given(name: str) -> str:
        return f"value {'->' if name == 'metadata' else '->>'} '{name}'"

    @staticmethod
    def array(names: Iterable[str]) -> str:
        shown = (f"json({name})" if name == "metadata" else name for name in names)
        return f"json_array({', '.join(shown)})"

    ROWS = "FROM json_each(%(rows)s) WHERE true"
    ROWS_TO_UPDATE = ROWS

    @staticmethod
    def unindexed(column: str) -> str:
        """The column in a form that keeps SQLite from using an index on the column.

        For joins with a list of rows: with the index on the tenant, SQLite would read all rows of
        the tenant, and compare each of them with the whole list.
        """
        return f"+{column}"

    @classmethod
    def upsert(
        cls,
        values: dict[str, str],
        conflict: str,
        logged: tuple[str, ...],
        returned: tuple[str, ...],
    ) -> tuple[str, str]:
        was = cls.array(logged)
        before = (
            f"SELECT phone, {was} FROM contacts_contact WHERE tenant_id = %(tenant)s"  # noqa: S608
            " AND phone IN (SELECT value FROM json_each(%(phones)s))"
        )
        shown = ", ".join([*returned, "NULL AS was", f"{was} AS now", "NULL AS seen"])
        return before, f"{inserting(values)} {cls.ROWS} {conflict} RETURNING {shown}"

    @staticmethod
    def as_part(write: str) -> str:
        return write

    as_statement = as_part

    @staticmethod
    def moment(value: datetime) -> str:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")

    @staticmethod
    def updated_after(stored: str, now: str) -> str:
        return f"contacts_updated_after({stored}, {now})"

    OPT_OUTS = """
SELECT digest, CAST(opted_out_at AS text) FROM contacts_optout
WHERE tenant_id = %(tenant)s AND digest IN (SELECT value FROM json_each(%(digests)s))
"""
    # With one writer at a time, ids follow the order of commits: all changes have the number 0.
    OLDEST_RUNNING = NEXT = "1"
    BY_CODE_POINT = "BINARY"  # a collation
    HOLD_TABLES = ()  # a transaction is the only one that writes
    SNAPSHOT = "(SELECT CAST(coalesce(max(id), 0) AS text) FROM contacts_change)"
    UNSEEN = "id > CAST(%(seen)s AS integer)"
    IS_KNOWN_SNAPSHOT = "snapshot NOT GLOB '*[^0-9]*'"
    LOG = """
INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT 0, %(tenant)s, contact_id, kind, fields, "into",
    %(actor)s, %(request_id)s, %(change_set)s, coalesce(ended_at, %(at)s)
FROM (
    SELECT value AS contact_id, 'created' AS kind, '{}' AS fields, NULL AS "into", NULL AS ended_at
    FROM json_each(%(created)s)
    UNION ALL
    SELECT value ->> 0, value ->> 1, value -> 2, value ->> 3, value ->> 4
    FROM json_each(%(rows)s)
)
"""
    # Each entry brings its own cause, an object.
    LOG_CAUSED = """
INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT 0, %(tenant)s, value ->> 0, value ->> 1, value -> 2, NULL,
    value ->> '$[3].actor', value ->> '$[3].request_id', value ->> '$[3].change_set', %(at)s
FROM json_each(%(entries)s)
"""
    MAKE_TAGS = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT value ->> 0, %(tenant)s, value ->> 1, %(now)s FROM json_each(%(tags)s) WHERE true
ON CONFLICT DO NOTHING
"""
    FORMER_PHONES = """
SELECT given.value, former.phone
FROM json_each(%(ids)s) AS given
CROSS JOIN contacts_contact AS former
    ON former.tenant_id = %(tenant)s AND former.former_of_id = given.value
ORDER BY former.phone
"""
    # CROSS JOIN fixes the order of the join. Otherwise SQLite may read all pairs for each tag.
    LINK = """
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT %(tenant)s, pair.value ->> 0, tag.id
FROM json_each(%(pairs)s) AS pair
CROSS JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
WHERE true
ON CONFLICT DO NOTHING
"""
    UNLINK = """
DELETE FROM contacts_contacttag
WHERE +tenant_id = %(tenant)s AND contact_id IN (SELECT value FROM json_each(%(had_links)s))
AND (contact_id, tag_id) NOT IN (
    SELECT pair.value ->> 0, tag.id
    FROM json_each(%(pairs)s) AS pair
    CROSS JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
)
"""

    @classmethod
    def tag_params(cls, tenant_id: str, names: Iterable[str]) -> dict[str, Any]:
        return {
            "tenant": hex_id(tenant_id),
            "now": cls.moment(timezone.now()),
            "tags": json.dumps([(hex_id(new_ulid()), name) for name in names]),
        }

    @classmethod
    def link_params(cls, tags: dict[str, str], had_links: list[str]) -> dict[str, Any]:
        pairs = [(carrier, name) for carrier, names in tags.items() for name in names.split(",")]
        return {"pairs": json.dumps(pairs), "had_links": cls.words(had_links)}

    RETAG = """
UPDATE contacts_contact
SET tags = value ->> 1, updated_at = contacts_updated_after(updated_at, %(now)s)
FROM json_each(%(retagged)s)
WHERE contacts_contact.id = value ->> 0 AND +contacts_contact.tenant_id = %(tenant)s
"""

    @classmethod
    def retag_params(cls, tenant_id: str, tags: dict[str, str]) -> dict[str, Any]:
        return {
            "tenant": hex_id(tenant_id),
            "now": cls.moment(timezone.now()),
            "retagged": json.dumps([*tags.items()]),
        }

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int, *, are_new: bool) -> None:
        cursor.execute(cls.MAKE_TAGS, values)
        cursor.execute(cls.LINK, values)
