"""The database of a run: its address and its role."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection, transaction

from tests.support.paths import ROOT

DATABASE = pytest.StashKey[str]()


def migrated_sqlite(config: pytest.Config) -> Path:
    """Where a run keeps the SQLite database that it has migrated. Processes of later runs copy the
    file, because migrating takes six seconds of each. Its name is a digest of all that a migration
    may read: the project's modules, the lock, and SQLite's version."""
    digest = sha256(sqlite3.sqlite_version.encode())
    modules = [
        path for app in ("qyvo", "tenants", "contacts") for path in ROOT.glob(f"{app}/**/*.py")
    ]
    for path in [ROOT / "requirements-dev.txt", *sorted(modules)]:
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return config.cache.mkdir("migrated") / f"{digest.hexdigest()}.sqlite3"


def keep_migrated(cursor: Any, template: Path) -> None:
    """Keeps the database, if it is not kept, and none of an earlier state of the project."""
    if template.exists():
        return
    for old in template.parent.glob("*.sqlite3"):
        old.unlink(missing_ok=True)
    new = template.with_suffix(f".{os.getpid()}")
    cursor.execute("VACUUM INTO %s", [str(new)])
    new.replace(template)


def wait_for(template: str) -> None:
    """Until `tests.support.postgres` has migrated the database, and given it this name."""
    sql = "SELECT 1 FROM pg_database WHERE datname = %s"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        for _ in range(6000):
            if server.execute(sql, [template]).fetchone():
                return
            time.sleep(0.05)
    pytest.fail("The database has not been migrated for five minutes.")


@contextmanager
def connected_as(role: str | None, django_db_blocker: Any) -> Iterator[None]:
    """As `name:password`, who does not own the tables; or as whoever made them."""
    if role is None:
        yield
        return
    name, _, password = role.partition(":")
    settings = connection.settings_dict
    owner = {key: settings[key] for key in ("USER", "PASSWORD")}
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            grant_rights(cursor, name)
        connection.close()
    settings |= {"USER": name, "PASSWORD": password}
    yield
    with django_db_blocker.unblock():
        connection.close()
    settings |= owner


def grant_rights(cursor: Any, role: str) -> None:
    """On all that is there. TRUNCATE is for the tests, which empty the tables."""
    rights = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"
    cursor.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role}")
    cursor.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}")


KEPT = {"django_content_type", "django_migrations", "auth_permission"}  # filled by `migrate`


def empty_tables() -> None:
    """Deletes all rows but those that a migration makes."""
    found = set(connection.introspection.django_table_names(only_existing=True)) - KEPT
    tables = [connection.ops.quote_name(table) for table in sorted(found)]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql" and are_large(cursor, tables):
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
            return
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def are_large(cursor: Any, tables: list[str]) -> bool:
    """Whether rows that are deleted, or were rolled back, make every later test slow. TRUNCATE
    makes new files, which takes 20 times as long as deleting a few rows."""
    cursor.execute(
        "SELECT max(pg_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name", [tables]
    )
    return cursor.fetchone()[0] > 1_000_000


def wait_until_alone(cursor: Any) -> None:
    """Servers that have just ended may still be saying goodbye, and the database is not deleted
    while somebody is connected to it."""
    others: list[Any] = []
    for _ in range(1200):
        cursor.execute(
            "SELECT pid, state, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        if not (others := cursor.fetchall()):
            return
        time.sleep(0.05)
    pytest.fail(f"Connections that nobody has closed: {others}")


# Tests that change tables, where the others connect as somebody who may not.
of_the_owner = pytest.mark.skipif("TEST_ROLE" in os.environ, reason="is about the owner of tables")


def test_database_url() -> str:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    url = urlsplit(os.environ["DATABASE_URL"])
    if role := os.environ.get("TEST_ROLE"):
        url = url._replace(netloc=f"{role}@{url.netloc.rpartition('@')[2]}")
    return url._replace(path=f"/{name}").geturl()


test_database_url.__test__ = False  # type: ignore[attr-defined]
