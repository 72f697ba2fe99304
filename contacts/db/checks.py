"""Deployment mistakes that this app can see, for `manage.py check`."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from django.core.checks import Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DatabaseError, connection

from . import trigrams


@register()
def check_sqlite_version(**kwargs: Any) -> list[Error]:
    """The upsert needs RETURNING and IS DISTINCT FROM (sqlite.org/releaselog/3_39_0.html)."""
    if connection.vendor != "sqlite" or sqlite3.sqlite_version_info >= (3, 39):
        return []
    return [
        Error(
            f"SQLite {sqlite3.sqlite_version} is too old; 3.39 is needed.",
            hint="Use a newer Python build, or PostgreSQL: set DATABASE_URL.",
            id="contacts.E001",
        )
    ]


@register(Tags.database, deploy=True)
def check_trigrams(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Warning]:
    """Warns if searches on PostgreSQL cannot use the trigram index. Empty for a database that
    cannot be reached, which other checks report."""
    if not databases or connection.vendor != "postgresql":
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {trigrams.HAS_INDEX}, {trigrams.MAY_EXECUTE}")
            has_index, may_execute = cursor.fetchone()
    except DatabaseError:
        return []
    if not has_index:
        hint = "Install the extension pg_trgm; see docs/operations.md#postgresql."
    elif connection.is_restricted and may_execute is False:  # type: ignore[attr-defined]
        hint = "Grant the role EXECUTE on the functions; see docs/operations.md#isolation."
    else:
        return []
    return [
        Warning(
            "Searches read all contacts of a tenant: they cannot use the trigram index.",
            hint=hint,
            id="contacts.W003",
        )
    ]
