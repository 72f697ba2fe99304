"""The SQL of PostgreSQL on a Citus cluster, which refuses a chain of writing statements in one, and
functions that are not immutable in RETURNING."""

import re
from typing import Any

from django.db.backends.utils import CursorWrapper

from .postgresql import PostgreSQL
from .rows import inserting

INSERT = re.compile(
    r"\s*(INSERT INTO \w+\s*\([^)]*\))\s*(SELECT\b.*?)((ON CONFLICT|RETURNING)\b.*)?\Z", re.DOTALL
)


class ValuesCursor(CursorWrapper):
    """A cursor that turns INSERT … SELECT, of parameters only, into SELECT and INSERT … VALUES.

    Citus sends VALUES of one tenant to one node. What a SELECT returns, it would send with COPY,
    which PostgreSQL refuses under row-level security.
    """

    def execute(self, sql: Any, params: Any = None) -> Any:
        parts = INSERT.match(sql)
        if not parts:
            return super().execute(sql, params)
        head, select, tail = parts[1], parts[2], parts[3] or ""
        super().execute(select, params)
        rows = self.cursor.fetchall()
        if not rows:
            return None
        given = {
            f"{row}_{place}": value
            for row, values in enumerate(rows)
            for place, value in enumerate(values)
        }
        places = ", ".join(
            f"({', '.join(f'%({row}_{place})s' for place in range(len(rows[0])))})"
            for row in range(len(rows))
        )
        return super().execute(f"{head} VALUES {places} {tail}", {**params, **given})


class Citus(PostgreSQL):
    """Each statement is for one tenant, so that Citus sends it to one node."""

    HAS_NODES = True
    CONSENT = "ARRAY[opted_in_at, opted_out_at]"
    # Citus refuses a subquery in an INSERT. `contacts.db.distribution` makes the function.
    ADDED_TAGS = "contacts_added_tags(contacts_contact.tags, EXCLUDED.tags)"

    @staticmethod
    def consent_given(returned: Any) -> list[Any]:
        return [at and at.isoformat() for at in returned]

    @staticmethod
    def as_part(write: str) -> str:
        return write

    @staticmethod
    def as_statement(ctes: str) -> str:
        return ctes

    @classmethod
    def upsert(
        cls,
        values: dict[str, str],
        conflict: str,
        logged: tuple[str, ...],
        returned: tuple[str, ...],
    ) -> tuple[str, str]:
        """As on SQLite, the statement before it returns the old values. It locks the rows; a row
        that another writer creates in between is neither changed nor returned."""
        was = cls.array(logged)
        before = (
            f"SELECT phone, {was}::text FROM contacts_contact"  # noqa: S608 - no user input
            " WHERE tenant_id = %(tenant)s::uuid AND phone = ANY(%(phones)s::text[])"
            " ORDER BY phone FOR UPDATE"
        )
        shown = ", ".join([*returned, "NULL AS was", "NULL AS now", "NULL AS seen"])
        known = "contacts_contact.phone = ANY(%(known)s::text[])"
        return before, f"{inserting(values)} {cls.ROWS} {conflict} AND {known} RETURNING {shown}"

    MAKE_TAGS = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT id, %(tenant)s::uuid, name, %(now)s::timestamptz
FROM unnest(%(ids)s::uuid[], string_to_array(%(names)s, ',')) AS given (id, name)
ON CONFLICT DO NOTHING
"""
    LOCK_TAGS = """
SELECT 1 FROM contacts_tag
WHERE tenant_id = %(tenant)s::uuid AND name = ANY(string_to_array(%(names)s, ','))
ORDER BY name FOR KEY SHARE
"""
    LINK = f"""
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT tag.tenant_id, pair.contact_id, tag.id
FROM ({PostgreSQL.PAIRS}) AS pair JOIN contacts_tag AS tag ON tag.name = pair.name
WHERE tag.tenant_id = %(tenant)s::uuid
ON CONFLICT DO NOTHING
"""  # noqa: S608 - no user input

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int, *, are_new: bool) -> None:
        locked = 0
        while locked < tags:
            ValuesCursor(cursor.cursor, cursor.db).execute(cls.MAKE_TAGS, values)
            cursor.execute(cls.LOCK_TAGS, values)
            locked = len(cursor.fetchall())
        cursor.execute(cls.LINK, values)
