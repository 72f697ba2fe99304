"""Requests of one process that wait together are written together.

Each thread brings one row. The first thread of a queue becomes its writer; rows that come while it
writes wait, and are written together in the next round, by the thread that has waited longest. So a
row that comes alone is written at once, and rows are combined only when the database is busy.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

MOST = 64  # rows of a round
PATIENCE = 0.5  # seconds that a row waits for its round; see `Rounds.write`

Row = TypeVar("Row")


class Turn(Generic[Row]):
    """A thread that waits with its row. `key`: two rows with the same key are never written in one
    round. `is_done`: a round has had the row. `error`: what the whole round ended with."""

    __slots__ = ("error", "is_done", "is_writer", "key", "row", "wake")

    def __init__(self, key: Hashable, row: Row) -> None:
        self.key, self.row = key, row
        self.is_writer = self.is_done = False
        self.error: Exception | None = None
        self.wake = Lock()
        self.wake.acquire()


class Rounds(Generic[Row]):
    """`write`: writes the rows of a round. If it raises an error, each thread of the round gets
    that error. `before_waiting`: called by a thread that is going to wait."""

    def __init__(
        self, write: Callable[[Sequence[Row]], None], before_waiting: Callable[[], object]
    ) -> None:
        self.write_rows = write
        self.before_waiting = before_waiting
        self.lock = Lock()
        # By queue; a queue is there as long as somebody writes for it.
        self.waiting: dict[Hashable, deque[Turn[Row]]] = {}

    def write(self, queue: Hashable, key: Hashable, row: Row) -> None:
        """Returns after `write` was called with the row and perhaps with others of the same queue.
        `key`: see `Turn`.

        Returns without that if the row has waited for `PATIENCE` and no round has taken it: the
        caller then writes the row without the others. So a round that hangs holds up nobody else.
        """
        turn = Turn(key, row)
        if self.begins(queue, turn) or self.waits_to_write(queue, turn):
            self.lead(queue, turn)
        if turn.error:
            # A copy: threads would add their tracebacks to one object.
            raise type(turn.error)(*turn.error.args) from turn.error.__cause__

    def begins(self, queue: Hashable, turn: Turn[Row]) -> bool:
        """Whether nobody writes for the queue, so that this thread does; otherwise lines up."""
        with self.lock:
            if (waiting := self.waiting.get(queue)) is not None:
                waiting.append(turn)
                return False
            self.waiting[queue] = deque()
            return True

    def waits_to_write(self, queue: Hashable, turn: Turn[Row]) -> bool:
        """Waits until a round has had the row, or until this thread is to write the next round;
        returns whether it is."""
        self.before_waiting()
        if not turn.wake.acquire(timeout=PATIENCE):
            with self.lock:
                waiting = self.waiting.get(queue, ())
                if turn in waiting:
                    self.waiting[queue].remove(turn)
                    return False
            turn.wake.acquire()  # a round has taken the row at this moment
        return turn.is_writer

    def lead(self, queue: Hashable, own: Turn[Row]) -> None:
        """Writes a round, and hands the queue on to the thread that has waited longest."""
        others = self.take(queue, own)
        error = None
        try:
            self.write_rows([own.row, *(turn.row for turn in others)])
        except Exception as failure:  # noqa: BLE001 - raised again, in each thread of the round
            error = failure
        finally:
            self.hand_on(queue)
            for turn in [own, *others]:
                turn.error = error
                turn.wake.release()

    def take(self, queue: Hashable, own: Turn[Row]) -> list[Turn[Row]]:
        """The turns that wait, without those of a key that the round has already: these stay in
        their order."""
        with self.lock:
            waiting = self.waiting[queue]
            if not waiting:
                return []
            keys, taken, left = {own.key}, list[Turn[Row]](), deque[Turn[Row]]()
            for turn in waiting:
                if turn.key in keys or len(taken) + 1 == MOST:
                    left.append(turn)
                else:
                    keys.add(turn.key)
                    taken.append(turn)
            self.waiting[queue] = left
            return taken

    def hand_on(self, queue: Hashable) -> None:
        with self.lock:
            if waiting := self.waiting[queue]:
                heir = waiting.popleft()
                heir.is_writer = True
                heir.wake.release()
            else:
                del self.waiting[queue]
