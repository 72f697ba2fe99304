"""Behind a pooler that gives every transaction another connection: nothing outlives one.

Debian's PgBouncer may be older than 1.21 and know no prepared statements: the stricter case.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import connection

from contacts.api.urls import actions
from contacts.models import Contact, Import
from tests.support.api import ACTIONS
from tests.support.concurrency import all_at_once
from tests.support.documents import COMPOSE
from tests.support.processes import (
    PATIENCE,
    free_port,
    need,
    post,
    serving,
    wait_until,
    wait_until_ready,
    worker,
)

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is about PostgreSQL only"
)
OPTIONS = COMPOSE["services"]["app"]["environment"]["DATABASE_URL"].rpartition("?")[2]
CALLERS = 8
CONNECTIONS = 2  # for all of them


@pytest.fixture
def pooler(django_db_setup: None, tmp_path: Path) -> Iterator[str]:
    """The URL of the test database behind the PgBouncer of compose.yaml, with fewer connections."""
    params = connection.get_connection_params()
    with reachable(params.get("host", "")) as host:
        port, user = free_port(), params["user"]
        config, users = tmp_path / "pgbouncer.ini", tmp_path / "userlist.txt"
        users.write_text('"qyvo" "hunter2"')
        upstream = f"host={host} port={params.get('port') or 5432} user={user}"
        if password := params.get("password"):
            upstream += f" password={password}"
        config.write_text(
            COMPOSE["configs"]["pgbouncer.ini"]["content"]
            .replace("qyvo = host=postgres port=5432", f"* = {upstream}")
            .replace("/etc/pgbouncer/userlist.txt", str(users))
            .replace("listen_port = 6432", f"listen_port = {port}\nadmin_users = qyvo")
            .replace("default_pool_size = 20", f"default_pool_size = {CONNECTIONS}")
        )
        command = [need("pgbouncer"), *as_nobody(), str(config)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        url = f"postgres://qyvo:hunter2@127.0.0.1:{port}/{params['dbname']}?{OPTIONS}"
        try:
            wait_until_pooling(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def as_nobody() -> list[str]:
    """PgBouncer refuses to run as root."""
    return [] if os.getuid() else ["-u", "nobody"]


@contextmanager
def reachable(host: str) -> Iterator[str]:
    """`host`, where it is the folder of a socket too, for somebody who may not look into it."""
    if not host.startswith("/") or os.getuid():
        yield host
        return
    closed = [folder for folder in [Path(host), *Path(host).parents] if not mode(folder) & 0o1]
    before = {folder: mode(folder) for folder in closed}
    for folder in closed:
        folder.chmod(before[folder] | 0o11)
    try:
        yield host
    finally:
        for folder in closed:
            folder.chmod(before[folder])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def wait_until_pooling(url: str, process: subprocess.Popen) -> None:
    def pools() -> bool:
        assert process.poll() is None, "PgBouncer did not start"
        with suppress(psycopg.OperationalError):
            psycopg.connect(url.partition("?")[0]).close()
            return True
        return False

    wait_until(pools)


def asked(url: str, command: str) -> list[dict[str, Any]]:
    """What PgBouncer says of itself."""
    console = urlsplit(url)._replace(path="/pgbouncer", query="").geturl()
    with psycopg.connect(console, autocommit=True, cursor_factory=psycopg.ClientCursor) as own:
        cursor = own.execute(command.encode())
        names = [column.name for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def every_action(web: httpx.Client, number: int) -> list[tuple[str, int]]:
    """Calls each of the API for a phone of one's own, and create-contact for one of all."""
    key = {"phone": f"+1415555{2000 + number}"}
    rows = [{"phone": f"+1415555{3000 + row}", "tags": ["b", "a"]} for row in range(20)]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("create-contact", key | {"name": "Ada", "tags": "vip, b", "metadata": {"n": number}}),
        ("create-contact", {"phone": "+14155550123", "name": str(number), "tags": "vip"}),
        ("create-contacts", {"contacts": rows if number % 2 else rows[::-1]}),
        ("update-contact", key | {"name": "Eva", "metadata": {"m": 1}}),
        ("get-contact", key),
        ("search-contacts", {"query": "Eva", "tag": "vip"}),
        ("get-contacts", {"phones": [key["phone"], "+14155550123"]}),
        ("list-fields", {}),
        ("list-views", {}),
        ("record-message", key),
        ("list-contacts", {"limit": 5, "filter": {"tags_any": ["vip"]}}),
        ("list-changes", {}),
        ("list-changes", key),
        ("add-tag", key | {"tag": "new"}),
        ("remove-tag", key | {"tag": "b"}),
        ("list-tags", {}),
        ("record-consent", key | {"status": "opted_out"}),
        ("add-tag", key | {"tag": f"mine-{number}"}),
        ("bulk-update", {"filter": {"tags_all": [f"mine-{number}"]}, "locale": "fr"}),
        ("rename-tag", {"tag": f"mine-{number}", "new_tag": f"ours-{number}"}),
        ("merge-tags", {"tags": [f"ours-{number}"], "into": f"yours-{number}"}),
        ("delete-tag", {"tag": f"yours-{number}"}),
        ("bulk-delete", {"filter": {"tags_all": [f"yours-{number}"]}}),
    ]
    other = {"phone": f"+1415555{2500 + number}"}
    answers = [(name, post(web, ACTIONS + name, body)) for name, body in bodies]
    ids = [post(web, ACTIONS + "create-contact", phone).json()["id"] for phone in (key, other)]
    both = {"contact_id": ids[0], "merge_ids": ids[1:]}
    merged = post(web, ACTIONS + "merge-contacts", both)
    released = {"contact_id": ids[0]} | other
    rest: list[tuple[str, dict[str, Any]]] = [
        ("undo", {"change_set": merged.json()["change_set"]}),
        ("merge-contacts", both),
        ("remove-former-phone", released),
        ("delete-contact", key),
        ("create-contact", key),
        ("erase-contact", key),
    ]
    answers += [(name, post(web, ACTIONS + name, body)) for name, body in rest]
    return [(name, answer.status_code) for name, answer in answers]


def test_every_action_works_behind_a_pooler_by_transaction(
    pooler: str, transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": pooler, "RATELIMIT_DEFAULT": ""}
    with (
        serving(tmp_path / "log", workers=2, **variables) as url,
        httpx.Client(base_url=url, headers=acme.api.headers, timeout=60) as web,
    ):
        told = [*all_at_once(lambda number: every_action(web, number), CALLERS)]
        csv = {"Content-Type": "text/csv"}
        file = b"phone,name\n" + b"".join(b"+1415555%d,x\n" % n for n in range(4000, 4100))
        assert web.post("/api/v1/imports", content=file, headers=csv).status_code == 202
        wait_until_ready(web)
        servers = asked(pooler, "SHOW SERVERS")
        clients = asked(pooler, "SHOW CLIENTS")
    wrong = [call for calls in told for call in calls if call[1] not in (200, 201, 202)]
    assert not wrong, (tmp_path / "log").read_text()
    assert {name for name, _ in told[0]} == {pattern.name for pattern in actions}
    assert len(servers) <= CONNECTIONS < len(clients), "they have shared connections"
    with worker(tmp_path, tmp_path / "worker", "--once", **variables) as process:
        assert process.wait(timeout=PATIENCE) == 0, (tmp_path / "worker").read_text()
    assert Import.objects.get().created == 100
    assert Contact.objects.count() == 1 + 20 + 100
