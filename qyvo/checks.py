"""Mistakes of the deployment as a whole, for `manage.py check --deploy --database default`.

Django's own find DEBUG (security.W018) and a weak SECRET_KEY (security.W009).
"""

import os
from typing import Any

from django.conf import settings
from django.core.checks import Tags, Warning, register  # noqa: A004 - Django's name
from django.db import connections

from .environment import env


def processes() -> int:
    """How many processes serve where nothing else is said. Measured: on PostgreSQL one for each
    processor answers most; SQLite has one writer at a time."""
    given = os.environ.get("GRANIAN_WORKERS", "")
    if given.isdecimal():
        return int(given)
    is_sqlite = connections["default"].vendor == "sqlite"
    return 1 if is_sqlite else os.cpu_count() or 1


@register(deploy=True)
def check_secret_key(**kwargs: Any) -> list[Warning]:
    if env("SECRET_KEY"):
        return []
    return [
        Warning(
            "SECRET_KEY is made up, and kept in DATA_DIR only.",
            hint="Set one that you keep elsewhere too, the same on every machine: without it "
            "the secrets of webhooks and two-factor logins are lost.",
            id="qyvo.W001",
        )
    ]


@register(deploy=True)
def check_hosts(**kwargs: Any) -> list[Warning]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS admits every name.",
            hint="List those that the service has: links are made of what a caller says.",
            id="qyvo.W002",
        )
    ]


@register(deploy=True)
def check_processes(**kwargs: Any) -> list[Warning]:
    number, found = processes(), []
    if number > 1 and connections["default"].vendor == "sqlite":
        found.append(
            Warning(
                f"{number} processes serve from SQLite, which has one writer at a time.",
                hint="Set GRANIAN_WORKERS=1, or DATABASE_URL to a PostgreSQL.",
                id="qyvo.W003",
            )
        )
    if number > 1 and settings.RATELIMIT_DEFAULT and settings.RATELIMIT_STORAGE_URL == "memory://":
        found.append(
            Warning(
                f"Each of {number} processes counts for the rate limit by itself.",
                hint="Set RATELIMIT_STORAGE_URL=redis://host:6379/0, which counts for all.",
                id="qyvo.W004",
            )
        )
    return found


@register(Tags.database, deploy=True)
def check_database_role(databases: Any = None, **kwargs: Any) -> list[Warning]:
    found = []
    for alias in databases or []:
        if connections[alias].vendor != "postgresql":
            continue
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            if cursor.fetchone() == (True,):
                found.append(
                    Warning(
                        "The role of DATABASE_URL is a superuser of PostgreSQL.",
                        hint="CREATE ROLE qyvo LOGIN PASSWORD '…'; make it owner of the database. "
                        "docs/operations.md#isolation describes the role of the servers.",
                        id="qyvo.W005",
                    )
                )
    return found
