"""System checks for the deployment as a whole: `manage.py check --deploy --database default`.

Django's own checks find DEBUG (security.W018) and a weak SECRET_KEY (security.W009).
"""

import os
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import connections

from contacts.db import replica
from contacts.jobs.files import store
from tenants import keys

from . import catalogues
from .environment import env


def processes() -> int:
    """How many server processes to start: GRANIAN_WORKERS, or else a default.

    On PostgreSQL the default is one process per processor, which served the most requests in
    measurements. On SQLite it is one, because SQLite has one writer at a time.
    """
    given = os.environ.get("GRANIAN_WORKERS", "")
    if given.isdecimal():
        return int(given)
    is_sqlite = connections["default"].vendor == "sqlite"
    return 1 if is_sqlite else os.cpu_count() or 1


def threads() -> int:
    """How many requests a server process handles at the same time.

    Many, because requests that wait together are written together. On PostgreSQL they share the
    connections of `qyvo.postgresql.pool`.
    """
    return 32


@register(deploy=True)
def check_keys(**kwargs: Any) -> list[Warning | Error]:
    """Keys that only DATA_DIR has. Where the machines share no DATA_DIR, each of them has other
    keys: a login on one server is then unknown to the others, and a worker cannot sign webhooks."""
    kind, number = (Error, "qyvo.E001") if store().is_shared else (Warning, "qyvo.W001")
    in_files = {"SECRET_KEY": not env("SECRET_KEY")}
    in_files["DATA_KEY"] = not env("DATA_KEY") and (settings.DATA_DIR / keys.DATA).exists()
    return [
        kind(
            f"{variable} was generated and exists only in DATA_DIR.",
            hint=f"Set {variable}, the same on every machine, and keep a copy elsewhere. Without "
            "the keys, the secrets of webhooks and two-factor logins are lost.",
            id=number,
        )
        for variable, is_in_file in in_files.items()
        if is_in_file
    ]


@register(deploy=True)
def check_hosts(**kwargs: Any) -> list[Warning]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS accepts every host name.",
            hint="List the host names of this service. With *, a caller chooses the host name in "
            "links.",
            id="qyvo.W002",
        )
    ]


@register(deploy=True)
def check_processes(**kwargs: Any) -> list[Warning]:
    number, found = processes(), []
    if number > 1 and connections["default"].vendor == "sqlite":
        found.append(
            Warning(
                f"{number} server processes use SQLite, which has one writer at a time.",
                hint="Set GRANIAN_WORKERS=1, or use PostgreSQL (DATABASE_URL).",
                id="qyvo.W003",
            )
        )
    if number > 1 and settings.RATELIMIT_DEFAULT and settings.RATELIMIT_STORAGE_URL == "memory://":
        found.append(
            Warning(
                f"Each of {number} processes has a rate limit of its own.",
                hint="Set RATELIMIT_STORAGE_URL=redis://host:6379/0, so that they share one.",
                id="qyvo.W004",
            )
        )
    return found


@register(deploy=True)
def check_catalogues(**kwargs: Any) -> list[Warning]:
    return [
        Warning(
            f"The texts in {source} are not compiled, or were changed after that.",
            hint="Run `python -m qyvo.catalogues`, as the user that the code belongs to.",
            id="qyvo.W007",
        )
        for source in catalogues.stale()
    ]


@register(Tags.database, deploy=True)
def check_role_of_replica(databases: Any = None, **kwargs: Any) -> list[Warning]:
    if not databases or not replica.is_configured() or not replica.is_less_restricted():
        return []
    return [
        Warning(
            "Row-level security does not hold for the database role in READ_DATABASE_URL.",
            hint="Use the role of DATABASE_URL.",
            id="qyvo.W006",
        )
    ]


@register(Tags.database, deploy=True)
def check_replica(databases: Any = None, **kwargs: Any) -> list[Warning]:
    reason = replica.objection() if databases and replica.is_configured() else ""
    if not reason:
        return []
    return [
        Warning(
            f"The database in READ_DATABASE_URL is not read: {reason}",
            hint="Let READ_DATABASE_URL name a standby of the database in DATABASE_URL.",
            id="qyvo.W008",
        )
    ]


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
                        "The database role in DATABASE_URL is a superuser of PostgreSQL.",
                        hint="CREATE ROLE qyvo LOGIN PASSWORD '…'; make it own the database. "
                        "docs/operations.md#isolation describes the role of the servers.",
                        id="qyvo.W005",
                    )
                )
    return found
