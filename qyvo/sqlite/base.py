"""Django's SQLite backend with another way to wait for the write lock.

SQLite itself checks less and less often whether the lock is free, in the end ten times a second. If
another connection takes the lock again and again, as an import does, SQLite finds the lock taken
nearly every time, until its timeout. This backend checks every few milliseconds, so it notices the
pauses that bulk work makes (`contacts.db.pacing`).

Only one thread of a process checks; the others wait for their turn. If all threads checked, chance
would decide who gets the lock, and some requests would wait until their timeout.
"""

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

from django.db.backends.sqlite3 import base

LOCK_TIMEOUT = 1.0  # seconds that a request may wait for the lock
# Milliseconds after which SQLite gives up and this backend tries again. SQLite checks the lock
# after 1, 3 and 5 milliseconds.
BUSY_TIMEOUT = 5
BEGIN = "BEGIN IMMEDIATE"  # takes the write lock
line = Lock()  # the thread that waits for the write lock for the others of this process


def retry_while_busy(execute: Callable[[], Any], timeout: float) -> Any:
    """Calls `execute` until no other connection holds the write lock, for at most `timeout`
    seconds. Returns its result, or raises the error of the last attempt."""
    give_up = time.monotonic() + timeout
    while True:
        try:
            return execute()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up:
                raise


def begin_in_line(begin: Callable[[], Any], timeout: float) -> Any:
    """`retry_while_busy` for the statement that takes the write lock: one thread at a time."""
    began = time.monotonic()
    is_first = line.acquire(timeout=timeout)
    try:
        return retry_while_busy(begin, timeout - (time.monotonic() - began))
    finally:
        if is_first:
            line.release()


class Cursor(base.SQLiteCursorWrapper):
    timeout: float  # seconds

    def execute(self, query: str, params: Any = None) -> Any:
        wait = begin_in_line if query == BEGIN else retry_while_busy
        return wait(partial(super().execute, query, params), self.timeout)

    def executemany(self, query: str, param_list: Any) -> Any:
        return retry_while_busy(partial(super().executemany, query, [*param_list]), self.timeout)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.timeout = float(self.settings_dict["OPTIONS"]["timeout"])
        return cursor
