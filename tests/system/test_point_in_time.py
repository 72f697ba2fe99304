"""The commands of docs/operations.md for pgBackRest: the database comes back as it was between two
writes. With Debian's PostgreSQL: its pgBackRest may know no newer one."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.support.cluster import as_somebody
from tests.support.documents import blocks
from tests.support.processes import free_port, need, wait_until

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is about PostgreSQL only"
)
[CONFIGURATION] = blocks("ini", "docs/operations.md")
[POSTGRESQL_CONF] = blocks("conf", "docs/operations.md")
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

    def start(self) -> None:
        self.run(program("pg_ctl"), "-D", str(self.data), "-w", "start")

    def stop(self) -> None:
        self.run(program("pg_ctl"), "-D", str(self.data), "-m", "fast", "-w", "stop")

    def rows(self, sql: str) -> list[tuple]:
        url = f"postgres://postgres@/postgres?host={self.folder}&port={self.port}"
        with psycopg.connect(url, autocommit=True) as own:
            cursor = own.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


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
            yield server
        finally:
            with suppress(AssertionError):  # it may have stopped already
                server.stop()


def test_the_database_comes_back_as_it_was_between_two_writes(server: Server) -> None:
    server.rows("CREATE TABLE written (what text)")
    server.shell(BACKUP)
    time.sleep(1.1)  # pgBackRest knows the end of a backup to the second
    server.rows("INSERT INTO written VALUES ('before')")
    time.sleep(0.1)
    [[moment]] = server.rows("SELECT clock_timestamp()::text")
    time.sleep(0.1)
    server.rows("INSERT INTO written VALUES ('after')")
    server.stop()
    server.shell(RESTORE, MOMENT=moment)
    server.start()
    wait_until(lambda: server.rows("SELECT pg_is_in_recovery()") == [(False,)])
    assert server.rows("SELECT what FROM written") == [("before",)]
