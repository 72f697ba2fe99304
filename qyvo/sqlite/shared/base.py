"""The SQLite backend for requests: the threads of a process share its connections.

SQLite keeps the pages that it has read for each connection, up to 2 MB, and forgets them as soon as
another connection writes. With one connection for each thread, a process took 20 MiB more.
Commands and workers use `qyvo.sqlite`: they start other processes, which must not inherit an open
connection.
"""

import math
import time
from typing import Any, NamedTuple

from qyvo.adopting import begin_anew
from qyvo.sqlite import base

MOST_IDLE = 4  # connections that are kept open


class Idle(NamedTuple):
    """A connection that nobody uses. `ends`: when it is closed, a time of `time.monotonic`."""

    raw: Any
    ends: float


idle: list[Idle] = []  # used last in, first out: the last one has the most pages


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.get_connection_params()  # sets `transaction_mode`
        self.ends = 0.0

    def connect(self) -> None:
        """Continues with a connection that another thread has used, or opens one."""
        try:
            self.connection, self.ends = idle.pop()
        except IndexError:
            super().connect()
            age = self.settings_dict["CONN_MAX_AGE"]
            self.ends = math.inf if age is None else time.monotonic() + age
        else:
            begin_anew(self)

    def _close(self) -> None:
        """Keeps the connection for other threads; closes it if it may not be as a new one."""
        raw: Any = self.connection
        if raw is None:
            return
        is_sound = not (raw.in_transaction or self.errors_occurred)
        if is_sound and len(idle) < MOST_IDLE and time.monotonic() < self.ends:
            idle.append(Idle(raw, self.ends))
        else:
            with self.wrap_database_errors:
                raw.close()

    def close_if_unusable_or_obsolete(self) -> None:
        """At the end of each request: other threads use the connection."""
        self.give_back()

    def give_back(self) -> None:
        """Before this thread waits for another one."""
        if not self.in_atomic_block:
            self.close()
