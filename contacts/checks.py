"""Deployment mistakes that this app can see, for `manage.py check`."""

import sqlite3
from typing import Any

from django.core.checks import Error, register
from django.db import connection


@register()
def check_sqlite_version(**kwargs: Any) -> list[Error]:
    """The upsert needs RETURNING (sqlite.org/lang_returning.html)."""
    if connection.vendor != "sqlite" or sqlite3.sqlite_version_info >= (3, 35):
        return []
    return [
        Error(
            f"SQLite {sqlite3.sqlite_version} is too old; 3.35 is needed.",
            hint="Use a newer Python build, or PostgreSQL: set DATABASE_URL.",
            id="contacts.E001",
        )
    ]
