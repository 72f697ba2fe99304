"""The file formats that an import reads, a module each.

To add a format, write a class that is a `Format`, and let `RecordFile` choose it.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from ..records import Record


class Format(Protocol):
    @property
    def header(self) -> list[str]:
        """The names of the columns. Raises `UnreadableFile`, and `TurnEnded` if finding the names
        takes longer than the turn."""

    @property
    def titles(self) -> list[str]:
        """The names of the columns as they are in the file, in the order of `header`, which has a
        unique key for each. Raises as `header` does."""

    @property
    def header_line(self) -> int:
        """The line on which the header begins; 0 if the format has none."""

    @property
    def names_columns(self) -> bool:
        """Whether a name in `header` is the name of a known column. If not, the header may be the
        record of a person, and no message may show it."""

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""

    def found(self) -> dict[str, Any]:
        """What was found out about the file so far, as JSON can hold it. The next turn of the same
        import passes these values to the class again, so that nothing is searched twice."""
