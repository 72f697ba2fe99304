"""The statements that the ORM cannot say, and the one place where the two databases differ."""

import json
from collections.abc import Callable
from datetime import UTC
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from ulid import ULID

from tenants.fields import new_ulid

ATTEMPTS = 3
DEADLOCK = "40P01"  # PostgreSQL's SQLSTATE

Verb = TypeVar("Verb", bound=Callable[..., Any])


def transactional(verb: Verb) -> Verb:
    """Runs `verb` in a transaction; tried again where PostgreSQL ends it to resolve a deadlock.

    Every writer locks contacts, then tags, each in one order. Somebody who deletes tags that
    others are just creating anew can still close a circle of three. Inside another transaction
    there is no second try: that one is lost as a whole.
    """

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with transaction.atomic():
                    return verb(*args, **kwargs)
            except OperationalError as error:
                is_deadlock = getattr(error.__cause__, "sqlstate", "") == DEADLOCK
                if not is_deadlock or attempt == ATTEMPTS or connection.in_atomic_block:
                    raise
        raise AssertionError  # the last attempt returns or raises

    return cast("Verb", run)


@lru_cache(maxsize=64)
def upsert_sql(columns: tuple[str, ...], rows: int, changes: tuple[str, ...]) -> str:
    """INSERT … ON CONFLICT of contacts, for both databases.

    Its parameters are the `columns` of one row after the other, which are also what it
    returns. `changes`: the columns that an existing row gets. A row that has these values
    already is left alone and not returned. EXCLUDED.updated_at, not now(): that also runs on
    Citus.
    """
    action = "DO NOTHING"
    if changes:
        assignments = ", ".join(f"{name} = EXCLUDED.{name}" for name in [*changes, "updated_at"])
        stored = ", ".join(f"contacts_contact.{name}" for name in changes)
        given = ", ".join(f"EXCLUDED.{name}" for name in changes)
        action = f"DO UPDATE SET {assignments} WHERE ({stored}) IS DISTINCT FROM ({given})"
    row = f"({', '.join(['%s'] * len(columns))})"
    return (
        f"INSERT INTO contacts_contact ({', '.join(columns)}) "  # noqa: S608 - our own columns
        f"VALUES {', '.join([row] * rows)} "
        f"ON CONFLICT (tenant_id, phone) {action} "
        f"RETURNING {', '.join(columns)}"
    )


class SQLite:
    """One writer at a time. Lists are passed as JSON, ids are 32 hexadecimal digits."""

    MAKE_TAGS = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT value ->> 0, %(tenant)s, value ->> 1, %(now)s FROM json_each(%(tags)s) WHERE true
ON CONFLICT DO NOTHING
"""
    LINK = """
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT %(tenant)s, pair.value ->> 0, tag.id
FROM json_each(%(pairs)s) AS pair
JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
WHERE true
ON CONFLICT DO NOTHING
"""
    UNLINK = """
DELETE FROM contacts_contacttag
WHERE contact_id IN (SELECT value FROM json_each(%(had_links)s))
AND (contact_id, tag_id) NOT IN (
    SELECT pair.value ->> 0, tag.id
    FROM json_each(%(pairs)s) AS pair
    JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
)
"""

    @staticmethod
    def values(
        tenant_id: str, names: list[str], pairs: list[tuple[str, str]], had_links: list[str]
    ) -> dict[str, Any]:
        """The parameters of the statements above. `pairs`: contact ids and names of their tags."""
        return {
            "tenant": ULID.from_str(tenant_id).hex,
            "now": timezone.now().astimezone(UTC).replace(tzinfo=None).isoformat(" "),
            "tags": json.dumps([(ULID.from_str(new_ulid()).hex, name) for name in names]),
            "pairs": json.dumps([(ULID.from_str(contact).hex, name) for contact, name in pairs]),
            "had_links": json.dumps([ULID.from_str(contact).hex for contact in had_links]),
        }

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int) -> None:
        cursor.execute(cls.MAKE_TAGS, values)
        cursor.execute(cls.LINK, values)


class PostgreSQL:
    """Many writers at a time. Lists are passed as arrays."""

    # Django's foreign keys are checked, and lock what they point to, at commit only: too late
    # for a tag that is renamed or deleted meanwhile. Hence FOR KEY SHARE, a foreign key's lock.
    LINK = """
WITH known AS (
    SELECT id, name FROM contacts_tag
    WHERE tenant_id = %(tenant)s AND name = ANY(%(names)s::text[])
    ORDER BY name FOR KEY SHARE
), made AS (
    INSERT INTO contacts_tag (id, tenant_id, name, created_at)
    SELECT id, %(tenant)s, name, %(now)s
    FROM unnest(%(ids)s::uuid[], %(names)s::text[]) AS given (id, name)
    ON CONFLICT DO NOTHING RETURNING id, name
), tags AS (
    SELECT id, name FROM known UNION ALL SELECT id, name FROM made
), linked AS (
    INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
    SELECT %(tenant)s, pair.contact_id, tags.id
    FROM unnest(%(carriers)s::uuid[], %(carried)s::text[]) AS pair (contact_id, name)
    JOIN tags USING (name)
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM tags
"""
    UNLINK = """
DELETE FROM contacts_contacttag
WHERE contact_id = ANY(%(had_links)s::uuid[])
AND (contact_id, tag_id) NOT IN (
    SELECT pair.contact_id, tag.id
    FROM unnest(%(carriers)s::uuid[], %(carried)s::text[]) AS pair (contact_id, name)
    JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.name
)
"""

    @staticmethod
    def values(
        tenant_id: str, names: list[str], pairs: list[tuple[str, str]], had_links: list[str]
    ) -> dict[str, Any]:
        """The parameters of the statements above. `pairs`: contact ids and names of their tags."""
        return {
            "tenant": ULID.from_str(tenant_id).to_uuid(),
            "now": timezone.now(),
            "ids": [ULID.from_str(new_ulid()).to_uuid() for _ in names],
            "names": names,
            "carriers": [ULID.from_str(contact).to_uuid() for contact, _ in pairs],
            "carried": [name for _, name in pairs],
            "had_links": [ULID.from_str(contact).to_uuid() for contact in had_links],
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


DIALECTS: dict[str, type[SQLite] | type[PostgreSQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
}
