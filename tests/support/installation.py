"""An installation of its own, whose database and server can be broken for real: no test process is
connected to it."""

import atexit
import logging
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from copy import copy
from itertools import count
from pathlib import Path
from threading import Condition, Thread
from typing import Any, NamedTuple, Self

import httpx
import psutil
import psycopg

from tests.support.api import CREATE
from tests.support.paths import ROOT
from tests.support.postgres import new_server
from tests.support.processes import STARTED, free_port, wait_for, wait_until
from tests.support.versions import CURRENT, Version

SERVE = re.search(r"^SERVE := \S+/python (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
THREADS = 4  # of a process of the server on SQLite; on PostgreSQL more, with 8 connections
phones = count()
logging.getLogger("httpx").setLevel(logging.WARNING)  # of a load it says too much
LONGEST = 20  # seconds that a request may take, whatever happens
PATIENCE = 60  # seconds for a machine that is busy with other things


class Postgres:
    """A cluster that can be stopped, killed and frozen."""

    def __init__(self, folder: str) -> None:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # read when the module is imported
        self.server = new_server(Path(folder) / "data")
        self.server.start()
        self.url = self.server.get_uri()
        self.configure("fsync = off", "max_connections = 40")
        self.restart(signal.SIGINT)

    @property
    def postmaster(self) -> int:
        pid = self.server.get_pid()
        assert pid is not None
        return pid

    @property
    def processes(self) -> list[int]:
        return [self.postmaster, *(c.pid for c in psutil.Process(self.postmaster).children())]

    def configure(self, *settings: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for setting in settings:
                connection.execute(f"ALTER SYSTEM SET {setting}")
            self.reload(connection)

    def reload(self, connection: Any) -> None:
        """Waits until all processes have the new settings: the postmaster signals those that run
        before it starts another."""
        before = self.rows("SELECT pg_conf_load_time()")
        connection.execute("SELECT pg_reload_conf()")
        give_up = time.monotonic() + PATIENCE
        while self.rows("SELECT pg_conf_load_time()") == before:
            assert time.monotonic() < give_up
            time.sleep(0.01)

    def restart(self, how: signal.Signals) -> None:
        """SIGINT: ends all transactions; SIGQUIT: at once, recovering when it starts."""
        process = psutil.Process(self.postmaster)
        process.send_signal(how)
        process.wait(PATIENCE)
        self.server.ensure_postgres_running()

    def kill_a_backend(self) -> None:
        """As the kernel does when memory runs out: all others end, and PostgreSQL recovers."""
        [[pid]] = self.rows(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() LIMIT 1"
        )
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and says nothing any more, as behind a network that is gone."""
        stopped = self.processes
        try:
            self.signal(stopped, signal.SIGSTOP)
            yield
        finally:
            self.signal(stopped, signal.SIGCONT)

    @staticmethod
    def signal(processes: list[int], what: signal.Signals) -> None:
        for pid in processes:
            with suppress(ProcessLookupError):  # some come and go
                os.kill(pid, what)

    @contextmanager
    def locked(self, phone: str) -> Iterator[None]:
        """Somebody else holds the contact with this phone."""
        with psycopg.connect(self.url) as connection:
            wanted = "SELECT 1 FROM contacts_contact WHERE phone = %s FOR UPDATE"
            assert connection.execute(wanted, [phone]).fetchone()
            yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self.configure("default_transaction_read_only = on")
        try:
            yield
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("SET default_transaction_read_only = off")
                connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
                self.reload(connection)

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """All connections are taken, and those of the server are gone."""
        taken: list[Any] = [psycopg.connect(self.url, autocommit=True)]
        taken[0].execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(self.url))
        try:
            yield
        finally:
            for connection in taken[1:]:
                connection.close()
            # A process of PostgreSQL ends a moment after its client has closed the connection.
            left = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            while taken[0].execute(left).fetchone() != (1,):
                time.sleep(0.05)
            taken[0].close()

    @contextmanager
    def on(self, disk: Path) -> Iterator["Postgres"]:
        """With its contacts on that `disk`."""
        folder = disk / "tablespace"
        folder.mkdir()
        if user := self.server.system_user:
            shutil.chown(folder, user)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
            connection.execute("ALTER TABLE contacts_contact SET TABLESPACE small")
            try:
                yield self
            finally:
                connection.execute("ALTER TABLE contacts_contact SET TABLESPACE pg_default")
                connection.execute("DROP TABLESPACE small")

    def rows(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()


class SQLite:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "qyvo.sqlite3"
        self.url = f"sqlite:///{self.path}"

    @contextmanager
    def locked(self, phone: str) -> Iterator[None]:
        """Somebody else is writing, this contact or another: that is the same here."""
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close()

    @contextmanager
    def on(self, disk: Path) -> Iterator["SQLite"]:
        """A copy of it on that `disk`, made by SQLite itself: a server may be writing."""
        moved = SQLite(disk)
        with (
            closing(sqlite3.connect(self.path, timeout=PATIENCE)) as source,
            closing(sqlite3.connect(moved.path)) as copied,
        ):
            source.backup(copied)
        yield moved

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection:
            return connection.execute(sql).fetchall()


class Installation:
    """A migrated database with a tenant, and the production server on it."""

    def __init__(
        self, database: Postgres | SQLite, folder: Path, version: Version = CURRENT
    ) -> None:
        self.database, self.version = database, version
        self.data_dir = folder
        self.log = folder / "log"
        self.read_from = 0  # bytes of the log that are an old story
        self.manage("migrate", "-v0")
        shown = self.manage("create_demo")
        self.token = re.findall(r"QYVO_TOKEN=(\S+)", shown)[0]
        self.password = re.findall(r"password (\S+)", shown)[0]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": self.database.url, "DATA_DIR": str(self.data_dir),
            "RATELIMIT_DEFAULT": "", "LOG_LEVEL": "WARNING",  # not a line for each request
        }  # fmt: skip

    def manage(self, *words: str) -> str:
        """What the command prints; it has to succeed."""
        run = subprocess.run(
            [self.version.python, "manage.py", *words], cwd=self.version.folder,
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    @contextmanager
    def server(self, workers: int = 2) -> Iterator["Server"]:
        """As `make serve` starts it; it has ended when the block ends, of itself or killed."""
        port = free_port()
        assert SERVE
        words = SERVE[1].replace("$(HOST)", "127.0.0.1").replace("$(PORT)", str(port))
        command = [sys.executable, *shlex.split(words)]
        with self.log.open("ab") as output:
            started = len(self.logged(STARTED)) + workers
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment | {"GRANIAN_WORKERS": str(workers)},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        server = Server(process, f"http://127.0.0.1:{port}", self)
        try:
            wait_for(server.url, process, self.log)
            # One process answers; another may still be loading, and would end without a word when
            # the server stops.
            wait_until(lambda: len(self.logged(STARTED)) >= started)
            yield server
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=PATIENCE)
        finally:
            server.kill()

    @contextmanager
    def on(self, disk: Path) -> Iterator["Installation"]:
        """With its database and the files of its own on that `disk`."""
        moved = copy(self)
        with self.database.on(disk) as moved.database:
            moved.data_dir = disk
            yield moved

    def forget_log(self) -> None:
        self.read_from = self.log.stat().st_size if self.log.exists() else 0

    def logged(self, text: str = "") -> list[str]:
        """The lines with `text`."""
        log = self.log.read_bytes()[self.read_from :].decode().splitlines()
        return [line for line in log if text in line]

    def lines(self, text: str = "") -> list[str]:
        """Those with `text` that the project has logged, not the server program."""
        return [line for line in self.logged(text) if not line.startswith("[INFO]")]

    def check(self, load: "Load") -> None:
        """The ledger: each contact that a client got an answer for is there once."""
        stored = self.database.rows("SELECT phone, id, tags FROM contacts_contact")
        ids = {phone: str(key).replace("-", "") for phone, key, _ in stored}
        assert len(ids) == len(stored), "each phone once"
        promised = load.promised
        assert {phone: ids.get(phone) for phone in promised} == promised, "a 201 was lost"
        logged = self.database.rows(
            "SELECT contact_id, count(*) FROM contacts_change WHERE kind = 'created'"
            " GROUP BY contact_id"
        )
        created = {str(key).replace("-", ""): number for key, number in logged}
        assert created == dict.fromkeys(ids.values(), 1), "each was created once, and logged"
        linked = self.database.rows("SELECT count(*) FROM contacts_contacttag")
        tags = [name for _, _, names in stored for name in names.split(",") if name]
        assert linked == [(len(tags),)], "each with all of its tags"


class Server(NamedTuple):
    process: subprocess.Popen[bytes]
    url: str
    installation: Installation

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.installation.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE)

    @property
    def workers(self) -> list[int]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # one that was killed
                if "resource_tracker" not in str(child.cmdline()):
                    found.append(child.pid)
        return found

    def kill(self) -> None:
        """All its processes at once, as when a machine is switched off."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


class Answer(NamedTuple):
    status: int | None  # None: the connection broke
    seconds: float
    response: httpx.Response | None


def new_phone() -> str:
    return f"+1415{2_000_000 + next(phones)}"


class Load:
    """Callers that create contacts without a pause, and repeat what failed until it succeeds."""

    def __init__(self, server: Server, callers: int = 8) -> None:
        self.server = server
        self.answers: list[Answer] = []
        self.promised: dict[str, str] = {}  # phone -> id, as hexadecimal digits
        self.changed = Condition()
        self.is_over = False
        self.threads = [Thread(target=self.call) for _ in range(callers)]

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()

    def stop(self) -> None:
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()
        self.seconds = time.monotonic() - self.began

    def call(self) -> None:
        from tenants.fields import bits_of

        with self.server.client() as client:
            phone = new_phone()
            while not self.is_over:
                answer = self.ask(client, phone)
                with self.changed:
                    self.answers.append(answer)
                    if answer.status == 201:
                        assert answer.response
                        self.promised[phone] = f"{bits_of(answer.response.json()['id']):032x}"
                        phone = new_phone()
                    self.changed.notify_all()
                    if answer.status != 201:
                        self.changed.wait_for(lambda: self.is_over, timeout=0.1)

    def ask(self, client: httpx.Client, phone: str) -> Answer:
        began = time.monotonic()
        body = {"phone": phone, "name": "Ann", "tags": "vip, fr-FR", "metadata": {"city": "Paris"}}
        try:
            response = client.post(CREATE, json=body)
        except httpx.TransportError:
            return Answer(None, time.monotonic() - began, None)
        return Answer(response.status_code, time.monotonic() - began, response)

    def wait_for(self, status: int | None, number: int = 50) -> None:
        """Waits until so many more answers of that kind have come."""
        self.wait_until(status, self.counts[status] + number)

    def wait_until(self, status: int | None, wanted: int) -> None:
        """Waits until so many answers of that kind have come since the start."""
        with self.changed:
            come = self.changed.wait_for(lambda: self.counts[status] >= wanted, PATIENCE)
        assert come, self.counts

    @property
    def counts(self) -> Counter[int | None]:
        return Counter(answer.status for answer in self.answers)

    def figures(self, what: str) -> str:
        slowest = max(answer.seconds for answer in self.answers)
        counts = ", ".join(f"{kind}: {number}" for kind, number in self.counts.items())
        total = f"{len(self.answers)} requests in {self.seconds:.0f} s"
        return f"\n{what}: {total} ({counts}), slowest {slowest:.1f} s"


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own in `folder`, of that size. Raises `CalledProcessError` where one may not
    mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Somebody else's file takes up all that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (65_536, 4_096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def cluster() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="qyvo-faults-") as folder:
        postgres = Postgres(folder)
        with postgres.server:
            yield postgres
        atexit.unregister(postgres.server._cleanup)  # it would log after the tests' end
