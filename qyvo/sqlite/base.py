"""SQLite, with another way to wait for its one writer.

SQLite itself looks ever more seldom whether the lock is free, in the end ten times a second. Behind
a writer that takes the lock again at once, such as an import, it finds the lock taken nearly each
time, until its timeout. This backend looks every few milliseconds.
"""

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.backends.sqlite3 import base

LOCK_TIMEOUT = 1.0  # seconds that a request may wait for the lock
# Milliseconds after which SQLite gives up, to be asked again: it looks after 1, 3 and 5.
BUSY_TIMEOUT = 5
# Before its next transaction a connection pauses for this part of the time that the last one took:
# long enough for those who wait to see that the lock is free.
PAUSE = 0.1


def when_free(execute: Callable[[], Any], timeout: float) -> Any:
    """What `execute` returns, tried again for `timeout` seconds while another connection writes.

    Raises the error of the last try.
    """
    give_up = time.monotonic() + timeout
    while True:
        try:
            return execute()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up:
                raise


class Cursor(base.SQLiteCursorWrapper):
    timeout: float  # seconds

    def execute(self, query: str, params: Any = None) -> Any:
        return when_free(partial(super().execute, query, params), self.timeout)

    def executemany(self, query: str, param_list: Any) -> Any:
        return when_free(partial(super().executemany, query, [*param_list]), self.timeout)


class DatabaseWrapper(base.DatabaseWrapper):
    began: float | None = None  # when the current transaction did; of `time.monotonic`
    pause_ends = 0.0

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.timeout = float(self.settings_dict["OPTIONS"]["timeout"])
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        time.sleep(max(0, self.pause_ends - time.monotonic()))
        super()._start_transaction_under_autocommit()  # type: ignore[misc] # the stubs lack it
        self.began = time.monotonic()

    def _set_autocommit(self, autocommit: bool) -> None:
        """Django calls this at the end of each transaction, and for a new connection."""
        super()._set_autocommit(autocommit)  # type: ignore[misc] # the stubs lack it
        if self.began:
            now = time.monotonic()
            self.pause_ends = now + PAUSE * (now - self.began)
            self.began = None
