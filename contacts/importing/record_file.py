"""A file of records, as people and programs export it, in any format that `formats` has."""

from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

from .formats import Format, format_of
from .formats.csv import one_character
from .formats.decoding import TextFile, TextHead
from .formats.format import FirstRow, InputFile
from .records import Record

HEAD_RECORDS = 1000  # `FileHead` searches so many records for columns


class RecordFile:
    """The records of the file at `path`. Reading the file again gives the same records.

    `encoding`, `delimiter`, `header_line`, `sheet`: given by the user where detecting them would
    fail. `header_line`: 0 means that no line names the columns, None that the line is detected.
    `max_unpacked`: the number of bytes that a gzip file or a workbook may unpack to.
    `found`: what `found` returned for the same file in an earlier turn. Without this argument,
    finding the same facts again would take as long as reading the file.
    `cache`: where the rows of a workbook are kept for the next time.
    `turn_is_over`: asked while the columns of a file without a header are collected, which can take
    minutes.

    Raises `UnreadableFile`, also wherever the file is read.
    """

    text_class: type[TextFile] = TextFile
    is_head = False
    searched_records: int | None = None  # for columns, if the file has no header; None: all records

    def __init__(
        self,
        path: Path,
        encoding: str = "",
        delimiter: str = "",
        max_unpacked: float = inf,
        *,
        header_line: int | None = None,
        sheet: str = "",
        found: dict[str, Any] | None = None,
        cache: Path | None = None,
        turn_is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = path
        file = InputFile(
            path,
            encoding,
            delimiter and one_character(delimiter),
            max_unpacked,
            header_line=header_line,
            sheet=sheet,
            known=found,
            cache=cache,
            text_class=self.text_class,
            is_head=self.is_head,
            searched_records=self.searched_records,
            turn_is_over=turn_is_over,
        )
        self.kind = format_of(file)
        self.format: Format = self.kind(file)

    def found(self) -> dict[str, Any]:
        """What was found out about the file so far, as JSON can hold it."""
        return {"format": self.kind.name, "delimiter": self.delimiter} | self.format.found()

    @property
    def encoding(self) -> str:
        return self.format.encoding

    @property
    def delimiter(self) -> str:
        return self.format.delimiter

    @property
    def header(self) -> list[str]:
        """The names of the columns. Raises `TurnEnded`; then `found` has what is known so far."""
        return self.format.header

    @property
    def titles(self) -> list[str]:
        """The names of the columns as they are in the file: two may be equal. `header` has a
        unique key for each."""
        return self.format.titles

    @property
    def header_line(self) -> int:
        """The line on which the header begins; 0 in a file without a header, such as NDJSON."""
        return self.format.header_line

    @property
    def first_rows(self) -> list[FirstRow]:
        """The rows among which the header is; none in a file without a header."""
        return self.format.first_rows

    @property
    def sheet(self) -> str:
        """The name of the sheet that is read; empty if the file has no sheets."""
        return self.format.sheet

    @property
    def sheets(self) -> list[str]:
        """The names of all sheets that have rows."""
        return self.format.sheets

    @property
    def names_columns(self) -> bool:
        """Whether a name in the header is known. If not, the header may be somebody's record, and
        no message may show it."""
        return self.format.names_columns

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records without blank lines, from the record on that begins in `first_line`; 1 means
        all records. A record that cannot be read has the key `None`, see `Record`."""
        return self.format.records(first_line)


class FileHead(RecordFile):
    """The beginning of a file: looking at it takes the same time and memory for a text of any size.
    Of a workbook, the first rows of each sheet are read.

    A file that is not larger than `decoding.HEAD` is read like a `RecordFile`, except that the
    columns of a file without a header are the keys of its first `HEAD_RECORDS` records.
    """

    text_class = TextHead
    is_head = True
    searched_records = HEAD_RECORDS
