"""The connections of a process, which its threads share: each request borrows one for as long as it
needs it. So a process can have many threads, and PostgreSQL few connections."""

import time
from threading import Semaphore
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

SIZE = 8  # connections of a process
PATIENCE = 5  # seconds that a thread waits for one
PAUSE = 1  # second without new connections to a server that has not answered
TRUSTED = 1  # second without use after which a connection is checked


class Idle(NamedTuple):
    """A connection that nobody uses. `ends`: when it is closed, because it is old; `since`: when it
    was given back. Both are times of `time.monotonic`."""

    raw: psycopg.Connection[Any]
    ends: float
    since: float
    is_restricted: bool  # see `tenants.isolation`


class Pool:
    def __init__(self, size: int = SIZE) -> None:
        self.idle: list[Idle] = []  # used last in, first out: so some are not used, and grow old
        self.free = Semaphore(size)
        self.broke_at = self.silent_until = 0.0

    def take(self) -> Idle | None:
        """An idle connection, or None: then the caller may open one. Either must be given back.
        Raises psycopg's `OperationalError` if all are in use for too long."""
        if not self.free.acquire(timeout=PATIENCE):
            raise psycopg.OperationalError(f"all connections are in use for {PATIENCE} seconds")
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def give_back(self, idle: Idle | None) -> None:
        """`idle`: None where the connection was not opened, or is closed."""
        if idle:
            self.idle.append(idle)
        self.free.release()

    def pause_connecting(self) -> None:
        """Refuses new connections for `PAUSE` seconds. Otherwise the next requests would wait for
        the timeout one after the other."""
        self.silent_until = time.monotonic() + PAUSE

    def is_trusted(self, idle: Idle) -> bool:
        """Whether the connection needs no check. After one has broken, the others may be broken."""
        return idle.since > max(self.broke_at, time.monotonic() - TRUSTED)

    def keep(self, raw: psycopg.Connection[Any], ends: float, *, is_restricted: bool) -> None:
        """Gives back a connection; closes it if it is broken, old or inside a transaction."""
        now, status = time.monotonic(), raw.pgconn.transaction_status
        is_kept = status == TransactionStatus.IDLE and raw.autocommit and now < ends
        if status == TransactionStatus.UNKNOWN:
            self.broke_at = now
        try:
            if not is_kept:
                raw.close()
        finally:
            self.give_back(Idle(raw, ends, now, is_restricted) if is_kept else None)
