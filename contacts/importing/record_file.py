"""A file of records, as people and programs export it: CSV or NDJSON, gzipped or not."""

from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

from .formats import Format
from .formats.csv import CSVFormat, one_character
from .formats.decoding import TextFile, TextHead
from .formats.ndjson import NDJSONFormat
from .records import Record

HEAD_RECORDS = 1000  # `FileHead` searches so many records of NDJSON for columns


class RecordFile:
    """The records of the file at `path`. Reading the file again gives the same records.

    `encoding`, `delimiter`: given by the user where detecting them would fail.
    `max_unpacked`: the number of bytes that a gzip file may unpack to.
    `found`: what `found` returned for the same file in an earlier turn. Without this argument,
    finding the same facts again would take as long as reading the file.
    `turn_is_over`: asked while the columns of NDJSON are collected, which can take minutes.

    Raises `UnreadableFile`, also wherever the file is read.
    """

    text_class: type[TextFile] = TextFile
    searched_records: int | None = None  # of NDJSON, for columns; None: all records

    def __init__(
        self,
        path: Path,
        encoding: str = "",
        delimiter: str = "",
        max_unpacked: float = inf,
        *,
        found: dict[str, Any] | None = None,
        turn_is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        known = found or {}
        self.path = path
        self.text = self.text_class(path, known.get("encoding", encoding), max_unpacked)
        self.encoding = self.text.encoding
        is_json: bool | None = known.get("is_json")
        self.is_json = self.text.first_character() == "{" if is_json is None else is_json
        self.delimiter = known.get("delimiter", delimiter and one_character(delimiter))
        if self.is_json:  # the delimiter, if there is one, is for the error file
            self.format: Format = NDJSONFormat(
                self.text,
                searched_records=self.searched_records,
                turn_is_over=turn_is_over,
                **{name: known[name] for name in ("header", "keys", "since") if name in known},
            )
        else:
            csv = CSVFormat(self.text, self.delimiter, known.get("dialect"))
            self.format, self.delimiter = csv, csv.delimiter

    def found(self) -> dict[str, Any]:
        """What was found out about the file so far, as JSON can hold it."""
        return {
            "encoding": self.encoding,
            "is_json": self.is_json,
            "delimiter": self.delimiter,
        } | self.format.found()

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
    def names_columns(self) -> bool:
        """Whether a name in the header is known. If not, the header may be somebody's record, and
        no message may show it."""
        return self.format.names_columns

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records without blank lines, from the record on that begins in `first_line`; 1 means
        all records. A record that cannot be read has the key `None`, see `Record`."""
        return self.format.records(first_line)


class FileHead(RecordFile):
    """The beginning of a file: looking at it takes the same time and memory for a file of any size.

    A file that is not larger than `decoding.HEAD` is read like a `RecordFile`, except that the
    columns of NDJSON are the keys of its first `HEAD_RECORDS` records.
    """

    text_class = TextHead
    searched_records = HEAD_RECORDS
