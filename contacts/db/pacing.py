"""Pauses in bulk work, so that other writers get their turn on SQLite.

SQLite has one writer at a time. A transaction of bulk work makes all other writers wait until it
ends, and SQLite does not queue the waiting writers: each of them looks every few milliseconds
whether the database is free (`qyvo.sqlite`). Therefore bulk work runs in short transactions with
pauses between them. PostgreSQL locks rows and needs no pauses.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

HELD = 0.08  # seconds that a transaction should take; some take three times as long
FEWEST = 20  # items per transaction: with fewer, most of the time goes into commits
GROWTH = 1.25  # limit from one transaction to the next: the last one may have been fast by chance
FIRST = 100  # items of the first transaction, when the time per item is not known yet
# Seconds. Long enough for each waiting writer to look several times, on slow machines too.
PAUSE = 0.03


class Pace:
    """Measures the transactions of bulk work and says how many items the next one may take.

    `size`: the number of items for the next transaction, at most `most`. On PostgreSQL always
    `most`.

    Threads must not share an object on SQLite, where `size` changes: one thread writes there.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_shared = connection.vendor == "sqlite"
        self.size = min(FIRST, most) if self.is_shared else most
        self.held = 0.0  # seconds that the last transaction took

    @contextmanager
    def turn(self, items: int = 0) -> "Iterator[Turn]":
        """Wraps one transaction: pauses before it if others wait, and measures how long it takes.

        `items`: how many items the transaction writes. If the number is known only later, the block
        sets `items` of the turn that it receives.
        """
        is_alone = not self.is_shared or connection.in_atomic_block
        if self.held and not is_alone:
            give_way(self.held)
        turn = Turn(items)
        if is_alone:
            yield turn
            return
        with connection.execute_wrapper(turn):
            yield turn
        self.held = time.monotonic() - turn.began
        if turn.items:
            fitting = int(turn.items * HELD / max(self.held, 0.001))
            self.size = min(max(fitting, FEWEST), int(self.size * GROWTH), self.most)


class Turn:
    """One transaction of bulk work. `began`: the time at which it got the lock for writing.

    An `execute_wrapper` of Django: it sees the BEGIN that waits for the lock.
    """

    def __init__(self, items: int) -> None:
        self.items = items
        self.began = time.monotonic()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("BEGIN"):
            self.began = time.monotonic()
        return result


def give_way(held: float) -> None:
    """Waits until the other writers are done, but little longer than they had to wait.

    `held`: how many seconds the last transaction of bulk work made the others wait. The function
    waits for one pause, and then for further pauses while other connections commit.
    """
    end = time.monotonic() + held
    before = commits_of_others()
    while True:
        time.sleep(PAUSE)
        now = commits_of_others()
        if now == before or time.monotonic() > end:
            return
        before = now


def commits_of_others() -> int:
    """A number that changes when another connection commits (SQLite's PRAGMA data_version)."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return cursor.fetchone()[0]
