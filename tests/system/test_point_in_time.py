"""The commands of docs/operations.md for pgBackRest: after them the service is as it was before a
deletion. With Debian's PostgreSQL: its pgBackRest may know no newer one."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.support.api import ACTIONS, CREATE
from tests.support.cluster import as_somebody
from tests.support.documents import blocks
from tests.support.installation import Installation
from tests.support.paths import ROOT
from tests.support.processes import free_port, need, wait_until

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is about PostgreSQL only"
)
[CONFIGURATION] = blocks("ini", "docs/operations.md")
[POSTGRESQL_CONF] = blocks("conf", "docs/operations.md")
CHANGES, DELETE, LIST = (
    ACTIONS + name for name in ("list-changes", "delete-contact", "list-contacts")
)
BACKUP, RESTORE = blocks("shell", "docs/operations.md")


class Server:
    """A PostgreSQL of Debian that sends its log to pgBackRest."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        configuration = folder / "pgbackrest.conf"
        # The port of the documentation is the default one.
        text = (
            CONFIGURATION.replace("/var/lib/pgbackrest", str(folder / "repository"))
            .replace("/var/lib/postgresql/data", str(self.data))
            .replace("/var/run/postgresql", f"{folder}\npg1-port={self.port}\npg1-user=postgres")
            .replace("[global]", f"[global]\nlock-path={folder}/lock\nlog-path={folder}/log")
        )
        configuration.write_text(text)
        self.variables = {"PGBACKREST_CONFIG": str(configuration)}

    def run(self, *command: str, **variables: str) -> None:
        """As the user of PostgreSQL."""
        environment = os.environ | self.variables | variables
        log = self.folder / "output"
        with log.open("ab") as output:
            done = subprocess.run(
                as_somebody(*command), cwd=self.folder, env=environment, check=False,
                stdout=output, stderr=output,
            )  # fmt: skip
        assert done.returncode == 0, log.read_text()[-3000:]

    def shell(self, block: str, **variables: str) -> None:
        self.run("bash", "-euo", "pipefail", "-c", block, **variables)

    def initialize(self) -> None:
        self.run(program("initdb"), "--no-sync", "-U", "postgres", "-D", str(self.data))
        settings = f"port = {self.port}\nlisten_addresses = ''\n"
        settings += f"unix_socket_directories = '{self.folder}'\n"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(settings + POSTGRESQL_CONF)

    def create_database(self) -> None:
        psql = [program("psql"), "-h", str(self.folder), "-p", str(self.port), "-U", "postgres"]
        self.run(*psql, "-f", str(ROOT / "docs/cluster/role.sql"), QYVO_PASSWORD="-")

    def start(self) -> None:
        self.run(program("pg_ctl"), "-D", str(self.data), "-w", "start")

    def stop(self) -> None:
        self.run(program("pg_ctl"), "-D", str(self.data), "-m", "fast", "-w", "stop")

    @property
    def url(self) -> str:
        return f"postgres://qyvo@/qyvo?host={self.folder}&port={self.port}"

    def rows(self, sql: str) -> list[tuple]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def content(self) -> dict[str, Any]:
        """Of each table, the number of its rows and a digest of them."""
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = "SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {} AS t"
        return {name: self.rows(rows.format(name)) for (name,) in tables}


def program(name: str) -> str:
    """Of the newest PostgreSQL of Debian, which keeps them out of the search path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        need(name)
    return str(folders[-1] / name)


@pytest.fixture
def server() -> Iterator[Server]:
    need("pgbackrest")
    program("initdb")
    # Not in the folder of pytest, which other users may not read.
    with tempfile.TemporaryDirectory(prefix="qyvo-pitr-") as name:
        if not os.getuid():
            shutil.chown(name, "nobody")
        server = Server(Path(name))
        server.initialize()
        server.start()
        try:
            server.create_database()
            yield server
        finally:
            with suppress(AssertionError):  # it may have stopped already
                server.stop()


def test_the_service_comes_back_as_it_was_before_a_deletion(server: Server, tmp_path: Path) -> None:
    installation = Installation(server, tmp_path)  # type: ignore[arg-type]
    phones = [f"+1415555{2000 + number}" for number in range(40)]
    server.shell(BACKUP)
    time.sleep(1.1)  # pgBackRest knows the end of a backup to the second
    with installation.server(1) as web, web.client() as client:
        for phone in phones:
            assert client.post(CREATE, json={"phone": phone, "tags": "vip"}).status_code == 201
        content = server.content()
        time.sleep(0.1)
        [[moment]] = server.rows("SELECT clock_timestamp()::text")
        time.sleep(0.1)
        for phone in phones:
            assert client.post(DELETE, json={"phone": phone}).status_code == 200
        lost = client.post(CHANGES, json={}).json()
        assert [change["kind"] for change in lost["data"]] == ["created"] * 40 + ["deleted"] * 40
    server.stop()
    server.shell(RESTORE, MOMENT=moment)
    server.start()
    wait_until(lambda: server.rows("SELECT pg_is_in_recovery()") == [(False,)])
    assert server.content() == content
    installation.manage("migrate", "-v0")
    installation.manage("settle_changes")
    installation.manage("check", "--database", "default", "--fail-level", "WARNING")
    with installation.server(1) as web, web.client() as client:
        assert client.get("/readyz").json()["migrations"] == "up"
        assert len(client.post(LIST, json={}).json()["data"]) == 40
        assert client.post(CREATE, json={"phone": "+14155559999"}).status_code == 201
        changes = client.post(CHANGES, json={"cursor": lost["next_cursor"]}).json()["data"]
        assert [change["kind"] for change in changes] == ["created"], "no reader misses a change"
