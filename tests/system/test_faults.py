"""What breaks for real: the database, the disk, the server. Each is put back, and then all is well.

On an installation of its own: nothing else can be tested on a database that is killed.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from django.db import connection

from qyvo.postgresql.pool import SIZE
from qyvo.serve import STOP_SECONDS, join
from tests.support.api import ACTIONS, CREATE, assert_error
from tests.support.installation import (
    LONGEST,
    PATIENCE,
    THREADS,
    Installation,
    Load,
    Postgres,
    Server,
    SQLite,
    cluster,
    full,
    mounted,
    new_phone,
)
from tests.support.paths import ROOT
from tests.support.processes import begun, wait_until, wait_until_ready

on_postgresql = pytest.mark.skipif(connection.vendor == "sqlite", reason="breaks PostgreSQL")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="breaks SQLite")
# The last one where a thread that has no connection yet opens one.
NO_SPACE = ("No space left on device", "(SQLITE_FULL)", "(SQLITE_IOERR_SHMSIZE)")
METADATA = {"noise": secrets.token_hex(30_000)}  # which does not fit where there is no space


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres | SQLite]:
    if connection.vendor == "sqlite":
        yield SQLite(tmp_path_factory.mktemp("sqlite"))
        return
    with cluster() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def installation(
    database: Postgres | SQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """No rule of the contacts is broken at its end."""
    installation = Installation(database, tmp_path_factory.mktemp("data"))
    yield installation
    installation.manage("check_contacts", "--all-tenants")


@pytest.fixture(scope="module")
def running(installation: Installation) -> Iterator[Server]:
    with installation.server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """One for the tests that leave it alive."""
    running.installation.forget_log()
    return running


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small one."""
    with tempfile.TemporaryDirectory(prefix="qyvo-disk-") as folder:
        Path(folder).chmod(0o755)
        try:
            with mounted(Path(folder) / "disk", megabytes=8) as disk:
                yield disk
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk may be mounted here: {error.stderr!r}")


def create(client: httpx.Client, phone: str, **fields: Any) -> httpx.Response:
    return client.post(CREATE, json={"phone": phone, **fields})


def remount(disk: Path, how: str) -> None:
    """A server closes its database a moment after it has answered; until then the disk is busy."""
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    wait_until(lambda: subprocess.run(command, check=False).returncode == 0)


def assert_outage(answer: Any) -> None:
    assert_error(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


def assert_outage_page(client: httpx.Client) -> None:
    """In the admin, where the session is looked up before any view is."""
    page = client.get("/admin/", headers={"Cookie": f"sessionid={'x' * 32}"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Temporarily unavailable" in page.text


def assert_only_outages(load: Load, what: str, longest: float = LONGEST) -> None:
    """No answer but 201 and the contract's 503, none of which took long; nothing was lost."""
    load.stop()
    print(load.figures(what))
    assert set(load.counts) <= {201, 503, None}, load.counts
    for answer in load.answers:
        assert answer.seconds < longest
        if answer.status == 503:
            assert_outage(answer.response)
    load.server.installation.check(load)


# The database


@on_postgresql
def test_a_database_that_is_restarted_and_killed_under_load_loses_nothing(
    server: Server, database: Postgres
) -> None:
    with Load(server) as load:
        load.wait_for(201)
        for how in (signal.SIGINT, signal.SIGQUIT):
            database.restart(how)
            load.wait_for(201)
        failed = load.counts[503]
        database.kill_a_backend()
        load.wait_until(503, failed + 1)
        load.wait_for(201)
        assert_only_outages(load, "PostgreSQL restarted, stopped at once, a backend killed")
    assert load.counts[503]
    assert not load.counts[None], "the server itself has been there all the time"
    assert len(server.installation.lines("Answered 503: ")) == load.counts[503]
    assert len(server.installation.lines()) == load.counts[503], "a line each, and no other"


@on_postgresql
def test_a_database_that_is_frozen_holds_up_no_request_for_long(
    server: Server, database: Postgres
) -> None:
    with Load(server, callers=24) as load:
        load.wait_for(201)
        with database.frozen():
            load.wait_for(503, 100)
        load.wait_for(201)
        assert_only_outages(load, "PostgreSQL frozen")
    assert not load.counts[None]


def test_a_contact_that_is_locked_for_long_holds_up_nobody_else(
    server: Server, database: Postgres | SQLite
) -> None:
    phone, began = new_phone(), time.monotonic()
    with server.client() as client:
        assert create(client, phone).status_code == 201
        with database.locked(phone):
            assert_outage(create(client, phone, name="Ann"))
            assert time.monotonic() - began < LONGEST
            if isinstance(database, Postgres):
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                while database.rows(waiting) != [(0,)]:
                    assert time.monotonic() - began < LONGEST, "it was not cancelled there"
                    time.sleep(0.01)
                answers = [create(client, new_phone()) for _ in range(10)]
                assert {answer.status_code for answer in answers} == {201}
        assert create(client, phone, name="Ann").headers["Qyvo-Result"] == "updated"


def test_many_writers_of_a_contact_that_is_locked_hold_up_nobody_for_long(
    server: Server, database: Postgres | SQLite
) -> None:
    """Thirty had kept all threads for 28 s, when each waited for 7 s."""
    phone = new_phone()
    with server.client() as client, ThreadPoolExecutor(30) as pool:
        assert create(client, phone).status_code == 201
        with database.locked(phone):
            began = time.monotonic()
            writers = [pool.submit(create, client, phone, name=str(n)) for n in range(30)]
            for writer in writers:
                assert_outage(writer.result())
            assert time.monotonic() - began < 30 / (2 * THREADS) * 3  # seconds, each 1 at most
        assert create(client, phone, name="Ann").headers["Qyvo-Result"] == "updated"


@on_postgresql
def test_a_database_without_a_free_connection_is_waited_for(
    server: Server, database: Postgres
) -> None:
    with server.client() as client:
        with database.crowded():
            # A thread each finds that its own connection has gone, then that it gets no other.
            for _ in range(1 + THREADS):
                assert_outage(create(client, new_phone()))
            assert_outage_page(client)
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 503
        assert create(client, new_phone()).status_code == 201
        wait_until_ready(client)
    assert server.installation.lines("too many clients")


@on_postgresql
def test_a_database_that_takes_no_writes_is_still_read(server: Server, database: Postgres) -> None:
    phone = new_phone()
    with server.client() as client:
        assert create(client, phone).status_code == 201
        database.rows("UPDATE tenants_apitoken SET last_used_at = NULL RETURNING id")
        time.sleep(1)  # for what the server knows of the token to be forgotten
        with database.read_only():
            found = client.post(ACTIONS + "get-contact", json={"phone": phone})
            assert (found.status_code, found.json()["phone"]) == (200, phone)
            assert_outage(create(client, phone, name="Ann"))
        assert create(client, phone, name="Ann").headers["Qyvo-Result"] == "updated"
    [line] = server.installation.lines()
    assert "Answered 503: cannot execute" in line
    assert "read-only transaction" in line


@on_sqlite
def test_a_database_on_a_read_only_disk_is_waited_for(
    installation: Installation, disk: Path
) -> None:
    """A disk with a file that is open for writing cannot be made read-only here: so each request
    opens the database."""
    with ExitStack() as stack:
        moved = stack.enter_context(installation.on(disk))
        moved.database.url += "?conn_max_age=0"
        server = stack.enter_context(moved.server(workers=1))
        with server.client() as client:
            assert create(client, new_phone()).status_code == 201
            moved.forget_log()
            remount(disk, "ro")
            assert_outage(create(client, new_phone()))
            assert_outage_page(client)
            remount(disk, "rw")
            assert create(client, new_phone()).status_code == 201
        assert len(moved.lines()) == len(moved.lines("Answered 503: ")) == 2


# The disk


def test_a_full_disk_refuses_what_does_not_fit_until_there_is_space(
    installation: Installation, disk: Path
) -> None:
    with (
        installation.on(disk) as moved,
        moved.server(workers=1) as server,
        server.client() as client,
    ):
        assert create(client, new_phone()).status_code == 201
        moved.forget_log()
        csv = "phone\n" + f"{new_phone()}\n" * 20_000
        as_csv = {"Content-Type": "text/csv"}
        with full(disk):
            assert_outage(create(client, new_phone(), metadata=METADATA))
            assert_outage(client.post("/api/v1/imports", content=csv, headers=as_csv))
            assert len(moved.lines()) == len(moved.lines("Answered 503: ")) == 2
            assert all(any(why in line for why in NO_SPACE) for line in moved.lines())
        assert create(client, new_phone(), metadata=METADATA).status_code == 201
        assert client.post("/api/v1/imports", content=csv, headers=as_csv).status_code == 202


# The server


def test_64_writers_lose_nothing_when_a_process_ends_in_the_middle_of_a_round(
    installation: Installation, database: Postgres | SQLite
) -> None:
    """Their contacts are written together: whoever was answered is stored."""
    with installation.server() as server, Load(server, callers=64) as load:
        for _ in range(2):
            load.wait_for(201, 200)
            failed = load.counts[None]
            os.kill(server.workers[0], signal.SIGKILL)
            load.wait_until(None, failed + 1)
        load.wait_for(201, 200)
        assert_only_outages(load, "64 writers, a process killed twice")
    if isinstance(database, SQLite):
        numbers = "SELECT count(*) FROM contacts_change GROUP BY at ORDER BY 1 DESC LIMIT 1"
        commits = database.rows(numbers)
        assert commits > [(1,)], "many contacts are written in one commit"


@on_postgresql
def test_64_writers_lose_nothing_when_their_connections_end(
    installation: Installation, database: Postgres
) -> None:
    """Nobody waits for a round that has ended."""
    [[beginning]] = database.rows("SELECT clock_timestamp()::text")
    others = (  # not those of the server that other tests share, which would be counted too
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    ended = f"{others} AND backend_start > '{beginning}'"
    with installation.server() as server, Load(server, callers=64) as load:
        while not load.counts[503]:
            load.wait_for(201, 200)
            assert len(database.rows(ended)) <= 2 * SIZE
        load.wait_for(201, 200)
        assert_only_outages(load, "64 writers, their connections ended")


def test_a_server_that_is_killed_under_load_loses_nothing(
    installation: Installation, database: Postgres | SQLite
) -> None:
    with installation.server() as server, Load(server) as load:
        load.wait_for(201)
        server.kill()
        load.wait_for(None, 8)
        assert_only_outages(load, "The server killed")
    if isinstance(database, SQLite):
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
    with installation.server() as server, server.client() as client:
        assert create(client, new_phone()).status_code == 201


STOPPING = "Stopping worker-"  # what granian logs for each process that begins to stop


def test_a_server_that_is_stopped_under_load_finishes_what_it_has_begun(
    installation: Installation,
) -> None:
    body = json.dumps({"phone": new_phone()}).encode()
    with installation.server() as server, Load(server) as load:
        load.wait_for(201)
        with begun(server.url, server.installation.token, body) as web:
            wanted = len(installation.logged(STOPPING)) + len(server.workers)
            server.process.terminate()
            wait_until(lambda: len(installation.logged(STOPPING)) == wanted)
            web.sendall(body)
            assert web.recv(100).startswith(b"HTTP/1.1 201")
        assert server.process.wait(PATIENCE) == 0
        assert_only_outages(load, "The server stopped")


def test_a_process_of_the_server_is_replaced_however_often_it_is_killed(
    installation: Installation, database: Postgres | SQLite
) -> None:
    began = time.monotonic()
    with installation.server(workers=1) as server, Load(server) as load:
        start = time.monotonic() - began  # seconds, for which callers wait when nobody is left
        for _ in range(3):
            load.wait_for(201)
            [worker] = map(psutil.Process, server.workers)
            worker.kill()
            # No request may fail: the callers sometimes all prepare one at this moment.
            gone, _ = psutil.wait_procs([worker], timeout=PATIENCE)
            assert gone
        load.wait_for(201)
        assert_only_outages(load, "The server's process killed three times", LONGEST + start)


@pytest.mark.once
def test_a_port_is_served_by_one_server_until_its_last_process_has_ended(
    installation: Installation,
) -> None:
    with installation.server() as server:
        port = str(urlsplit(server.url).port)
        second = subprocess.run(
            [sys.executable, "-m", "qyvo.serve", "--port", port],
            cwd=ROOT, env=installation.environment, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert second.returncode == 1
        other = int(port) + 1
        sentence = f"Port {port} of 127.0.0.1 is in use. Use another port: make run PORT={other}\n"
        assert second.stderr == sentence
        assert httpx.get(f"{server.url}/healthz", timeout=PATIENCE).status_code == 200
        workers = [*map(psutil.Process, server.workers)]
        server.process.kill()  # the main one alone: the others would hold the port for ever
        _, left = psutil.wait_procs(workers, timeout=PATIENCE)
        assert not left
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz", timeout=PATIENCE)


def test_many_signals_stop_a_server_as_one_does(installation: Installation) -> None:
    """As Ctrl-C does, and service managers: to all processes, and more than once, until the last
    moment."""
    with installation.server() as server:
        began, workers = time.monotonic(), server.workers
        while server.process.poll() is None:
            for number in (signal.SIGINT, signal.SIGTERM):
                os.killpg(server.process.pid, number)
            time.sleep(0.001)
            assert time.monotonic() - began < PATIENCE
        assert server.process.returncode == 0
        assert time.monotonic() - began < STOP_SECONDS
        assert not any(map(psutil.pid_exists, workers))


@pytest.mark.once
def test_a_process_that_has_ended_is_not_taken_for_alive_when_the_server_stops() -> None:
    """Another thread has fetched its exit code, and is about to store it."""
    codes: list[int | None] = [None, None, 0]
    reader, writer = os.pipe()
    os.close(writer)

    class Ended:
        sentinel = reader

        def join(self, timeout: float | None) -> None:
            pass

        @property
        def exitcode(self) -> int | None:
            return codes.pop(0)

    join(SimpleNamespace(inner=Ended()))
    os.close(reader)
    assert codes == [], "it is known"
