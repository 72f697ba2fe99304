"""How bulk work leaves room for everybody else on SQLite, which has one writer at a time.

A transaction of bulk work keeps all other writers waiting until it ends, and SQLite does not queue
them: each looks every few milliseconds whether the database is free (`qyvo.sqlite`). So bulk work
is done in short transactions, and pauses between two of them. PostgreSQL locks rows, and needs none
of this.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

HELD = 0.08  # seconds that a transaction is to keep others waiting: it may take three times as long
FEWEST = 20  # items a transaction: most of the time would go into commits otherwise
GROWTH = 1.25  # at most, from one transaction to the next: the last one may have been lucky
FIRST = 100  # items, while nobody knows yet how long they take
PAUSE = 0.03  # seconds: several looks of everybody who waits, also on a machine that is busy


class Pace:
    """The number of items that the next transaction of bulk work takes: `size`, at most `most`.

    Not for several threads, where it changes: on SQLite there is one that writes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_shared = connection.vendor == "sqlite"
        self.size = min(FIRST, most) if self.is_shared else most
        self.held = 0.0  # seconds, by the last transaction

    @contextmanager
    def turn(self, items: int = 0) -> "Iterator[Turn]":
        """Around one transaction with so many items, which may also be told inside the block."""
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
    """One transaction of bulk work. `began`: when it had waited for the lock and got it."""

    def __init__(self, items: int) -> None:
        self.items = items
        self.began = time.monotonic()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("BEGIN"):
            self.began = time.monotonic()
        return result


def give_way(held: float) -> None:
    """Lets others write, after a transaction of `held` seconds: for a pause, and as long as they go
    on writing, but not much longer than they had to wait."""
    end = time.monotonic() + held
    before = commits_of_others()
    while True:
        time.sleep(PAUSE)
        now = commits_of_others()
        if now == before or time.monotonic() > end:
            return
        before = now


def commits_of_others() -> int:
    """A number that changes whenever another connection has written."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return cursor.fetchone()[0]
