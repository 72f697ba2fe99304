"""A record of a file, and why a file cannot be read."""

from collections.abc import Collection
from typing import Any, NamedTuple

MAX_COLUMNS = 1000
MAX_COLUMN_NAME = 1000  # characters


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


class GaveWay(Exception):
    """Another tenant waits: what is done with the file goes on at the tenant's next turn."""


class Record(NamedTuple):
    """`line`: of the file, where the record begins, from 1. `cells`: by column; in a CSV text.
    `size`: characters that the file has of it."""

    line: int
    cells: dict[str, Any]
    size: int


def refuse_too_much(columns: Collection[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        raise UnreadableFile(f"There are more than {MAX_COLUMNS:,} columns.")
    if long := next((name for name in columns if len(name) > MAX_COLUMN_NAME), ""):
        raise UnreadableFile(
            f"The column “{long[:50]}…” has a name of more than {MAX_COLUMN_NAME:,} characters."
        )
