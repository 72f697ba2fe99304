"""Deployment mistakes that this app can see, for `manage.py check`."""

import sqlite3
from typing import Any

from django.core.checks import Error, register
from django.db import connection


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
