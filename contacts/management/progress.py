"""How far a long command is: what is done, of how much, and how long the rest will take."""

import time
from collections.abc import Callable
from shutil import get_terminal_size
from typing import Self

from tenants.management.base import BaseCommand

ON_TERMINAL = 0.2  # seconds between two states of the line
IN_LOG = 30.0  # seconds between two lines, where nobody looks and every line is kept
CLEAR = "\r\x1b[K"  # back to the beginning of the line, which becomes empty


class Progress:
    """Shows the progress of `command` on its standard error, so that its standard output has the
    result alone. On a terminal, one line is written again and again, and the end of the context
    clears it. Elsewhere, such as in the log of cron, there is a line every 30 seconds: none if the
    command is fast. With --quiet there is none at all.

    Work may have several stages; `begin` starts the next one.
    """

    def __init__(self, command: BaseCommand, *, is_shown: bool = True) -> None:
        self.stream = command.stderr
        self.is_shown = is_shown and not command.is_quiet
        self.is_terminal = self.stream.isatty()
        self.interval = ON_TERMINAL if self.is_terminal else IN_LOG
        self.due = time.monotonic() + self.interval
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.clear()

    def begin(self, stage: str = "", total: int | None = None, unit: str = "contacts") -> None:
        """`total`: None if it is not known; then there is no time left either."""
        self.stage, self.total, self.unit = stage, total, unit
        self.done = 0
        self.began = time.monotonic()

    def add(self, number: int = 1) -> None:
        self.done += number
        if self.is_shown and time.monotonic() >= self.due:
            self.show()
            self.due = time.monotonic() + self.interval

    def show(self) -> None:
        if self.is_terminal:
            # Shorter than a line of the terminal: `CLEAR` would leave what has come onto the next.
            self.stream.write(CLEAR + str(self)[: get_terminal_size().columns - 1], str, "")
            self.stream.flush()
        else:
            self.stream.write(str(self), str)

    def above(self, write: Callable[[str], object]) -> Callable[[str], None]:
        """`write` for lines that appear while the progress is shown."""

        def write_above(line: str) -> None:
            self.clear()
            write(line)

        return write_above

    def clear(self) -> None:
        if self.is_shown and self.is_terminal:
            self.stream.write(CLEAR, str, "")
            self.stream.flush()
            self.due = 0.0

    def __str__(self) -> str:
        stage = f"{self.stage}: " if self.stage else ""
        if not self.total:
            return f"{stage}{self.done:,} {self.unit}"
        total = max(self.total, self.done)  # more may have come since they were counted
        share = f"{100 * self.done // total} %"
        parts = [f"{stage}{self.done:,} of {total:,} {self.unit}", share]
        if self.done:
            passed = time.monotonic() - self.began
            parts.append(f"{duration(passed / self.done * (total - self.done))} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """In the units that people use for a time of this length."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
