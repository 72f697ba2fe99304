"""How long bulk work keeps other writers of SQLite waiting.

`python -m tests.benchmarks.locks [STORED] [CHANGED]`: 100,000 and 12,570 by default. Imports a file
of that many stored contacts with other names, then gives as many a tag, each in a process of its
own, as an operator and the worker do. Meanwhile one thread asks for the write lock every
millisecond: that tells how long it is held. Another one writes as a request does, every 50
milliseconds, and waits a second at most.
"""

import csv
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 1.0  # seconds
MOST = 300  # seconds, after which a run is given up


class Others:
    """Who else writes: `held`: the longest time that nobody else could; `waits`: of each write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = 0.0
        self.waits: list[float] = []
        self.refused = 0
        self.is_over = Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [Thread(target=self.watch), Thread(target=self.write)]
        for thread in threads:
            thread.start()
        yield
        self.is_over.set()
        for thread in threads:
            thread.join()

    def watch(self) -> None:
        database = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        free = time.monotonic()
        while not self.is_over.wait(0.001):
            with suppress(sqlite3.OperationalError):
                database.execute("BEGIN IMMEDIATE")
                self.held = max(self.held, time.monotonic() - free)
                database.execute("ROLLBACK")
                free = time.monotonic()
        self.held = max(self.held, time.monotonic() - free)

    def write(self) -> None:
        database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        while not self.is_over.wait(0.05):
            start = time.monotonic()
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                self.refused += 1
            else:
                self.waits.append(time.monotonic() - start)
                database.execute("UPDATE tenants_tenant SET name = name WHERE slug = 'other'")
                database.execute("COMMIT")


def measure(name: str, path: Path, command: list[str]) -> None:
    others, start = Others(path), time.monotonic()
    with others.writing():
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            ended = f"status {process.wait(MOST)}"
        except subprocess.TimeoutExpired:
            process.kill()
            ended = "given up"
    took = time.monotonic() - start
    waits = sorted(others.waits) or [took]
    middle, longest, held = (
        f"{seconds * 1000:.0f} ms" for seconds in (statistics.median(waits), waits[-1], others.held)
    )
    print(
        f"{name:12} {took:6.1f} s ({ended}); the lock was held for {held} at most; others waited"
        f" {middle} in the middle, {longest} at most; {len(waits)} wrote, {others.refused} gave up",
        flush=True,
    )


def main() -> None:
    stored, changed = (
        int(text) for text in (sys.argv[1:] + ["100000", "12570"][len(sys.argv) - 1 :])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qyvo.sqlite3"
        settings = {"DJANGO_SETTINGS_MODULE": "qyvo.settings", "ENV_FILE": "/dev/null"}
        os.environ |= settings | {"DATABASE_URL": f"sqlite:///{path}", "DATA_DIR": folder}
        django.setup()
        run(path, stored, changed)


def run(path: Path, stored: int, changed: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from contacts.jobs import bulk_actions
    from tenants.models import Tenant
    from tests.support.crowd import fill

    call_command("migrate", verbosity=0)
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    Tenant.objects.create(name="Other", slug="other")
    fill(connection, tenant, stored)
    some: Any = tenant.contacts.order_by("phone").values_list("pk", "phone")[:: stored // changed]
    pks, phones = zip(*[*some][:changed], strict=True)
    file = path.with_name("names.csv")
    with file.open("w", newline="") as text:
        csv.writer(text).writerows([["phone", "name"], *([phone, "Bob"] for phone in phones)])
    manage = [sys.executable, "manage.py"]
    print(f"SQLite {sqlite3.sqlite_version}, {stored:,} contacts, {len(pks):,} changed")
    measure("import", path, [*manage, "import_contacts", str(file), "--tenant", "acme"])
    action = bulk_actions.plan(tenant, "user:1", "add_tag", "new", [*pks])
    bulk_actions.enqueue(action.pk)
    measure("bulk action", path, [*manage, "worker", "--once"])
    action.refresh_from_db()
    print(f"changed by it: {action.changed:,}")


if __name__ == "__main__":
    main()
