"""Threads of a process stand in line for the write lock of SQLite."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from qyvo.sqlite.base import begin_in_line


def busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


class WriteLock:
    """A lock that is taken until `free` is set. `checked_by`: who has looked, each once."""

    def __init__(self) -> None:
        self.free, self.checked_by = Event(), list[str]()

    def begin(self, name: str) -> Callable[[], None]:
        def check() -> None:
            if name not in self.checked_by:
                self.checked_by.append(name)
            if not self.free.wait(0.001):
                raise busy()

        return check


def test_one_thread_checks_the_lock_and_the_others_stand_behind_it() -> None:
    lock = WriteLock()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(begin_in_line, lock.begin(name), 30) for name in "abc"]
        while not lock.checked_by:
            time.sleep(0.001)
        time.sleep(0.1)
        assert len(lock.checked_by) == 1
        lock.free.set()
        for each in waiting:
            each.result(30)
    assert sorted(lock.checked_by) == ["a", "b", "c"]


def test_nobody_waits_longer_than_its_timeout_in_line_and_for_the_lock_together() -> None:
    lock = WriteLock()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(begin_in_line, lock.begin("a"), 30)
        while not lock.checked_by:
            time.sleep(0.001)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_in_line(lock.begin("b"), 0.1)
        assert not first.done(), "which waits for 300 times as long"
        lock.free.set()
        first.result(30)
