"""What every file format is, and what a format is given to read."""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..records import Record
from .decoding import TextFile, text_encoding, utf_16_by_zeros
from .gzipped import unpacked

CONTROL = bytes({*range(32)} - {*b"\t\n\r\f\x1a"})
UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class InputFile:
    """The file at `path`, and how to read it.

    `encoding`, `delimiter`, `sheet`: as the user gave them; empty if they are to be found out.
    `header_line`: as the user gave it; 0 means that no line is a header, None that the header is
    to be found out. `is_head`: whether only the first rows of a workbook are read.
    `max_unpacked`: the number of bytes that the file may unpack to.
    `known`: what `RecordFile.found` returned for the same file in an earlier turn.
    `text_class`: how much of a text is read: all of it, or its beginning.
    `cache`: where a format may keep what it has made of the file, for the next `InputFile`; the
    caller removes it together with the file.
    `searched_records`: how many records are searched for columns, if the file has no header;
    `None` means all records. `turn_is_over`: asked after each of these records.
    """

    def __init__(
        self,
        path: Path,
        encoding: str = "",
        delimiter: str = "",
        max_unpacked: float = inf,
        *,
        header_line: int | None = None,
        sheet: str = "",
        known: dict[str, Any] | None = None,
        cache: Path | None = None,
        text_class: type[TextFile] = TextFile,
        is_head: bool = False,
        searched_records: int | None = None,
        turn_is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.known = known or {}
        self.path = path
        self.encoding = self.known.get("encoding", encoding)
        self.delimiter = self.known.get("delimiter", delimiter)
        self.header_line = header_line
        self.sheet = sheet
        self.max_unpacked = max_unpacked
        self.cache = cache
        self.text_class = text_class
        self.is_head = is_head
        self.searched_records = searched_records
        self.turn_is_over = turn_is_over

    def blocks(self) -> Iterator[bytes]:
        return unpacked(self.path, self.max_unpacked)

    @cached_property
    def start(self) -> bytes:
        """The first bytes of the file, unpacked."""
        return next(self.blocks(), b"")

    @cached_property
    def start_text(self) -> str:
        """The first characters that are not blank. Characters outside ASCII may be wrong, because
        the encoding of the file is not known yet."""
        decoder = codecs.getincrementaldecoder(self.rough_encoding())("ignore")
        found = (decoder.decode(block).lstrip("\ufeff \t\r\n") for block in self.blocks())
        try:
            return next(filter(None, found), "").removeprefix("\xef\xbb\xbf").lstrip()
        except UnicodeError:  # the user gave a wrong encoding; `TextFile` says so
            return ""

    @property
    def is_binary(self) -> bool:
        """Whether more than a tenth of the first bytes are control characters. UTF-16 has as many
        zeros as that."""
        is_utf_16 = self.rough_encoding() != "latin-1"
        return not is_utf_16 and len(self.start.translate(None, CONTROL)) < 0.9 * len(self.start)

    def rough_encoding(self) -> str:
        if self.encoding:
            return text_encoding(self.encoding)
        if self.start[:2] in UTF_16:
            return UTF_16[self.start[:2]]
        return utf_16_by_zeros(self.start) or "latin-1"

    @cached_property
    def text(self) -> TextFile:
        return self.text_class(self.path, self.encoding, self.max_unpacked)


class FirstRow(NamedTuple):
    """A row at the beginning of a table, and the line on which the row begins."""

    line: int
    cells: list[str]


class Format(ABC):
    """A file of one format. The class is made for one `InputFile`."""

    name: ClassVar[str]  # as people call the format
    suffixes: ClassVar[tuple[str, ...]]  # of the names of such files
    media_types: ClassVar[tuple[str, ...]]  # of such files as the body of a request
    has_delimiter: ClassVar[bool] = False
    # Exports put an apostrophe before a cell that a spreadsheet would run or a reader would change.
    has_apostrophes: ClassVar[bool] = False
    has_header: ClassVar[bool]  # otherwise the columns are the keys of all records
    errors: ClassVar[str]  # csv, ndjson or xlsx: what its users can correct failed records in
    max_in_request: ClassVar[int]  # bytes; a request reads the columns of a file of this size

    encoding: str  # empty if the file is not text
    delimiter: str  # of a CSV; otherwise as the user gave it

    @abstractmethod
    def __init__(self, file: InputFile) -> None: ...

    @classmethod
    @abstractmethod
    def recognises(cls, file: InputFile) -> bool:
        """Whether the file begins as files of this format do."""

    @property
    @abstractmethod
    def header(self) -> list[str]:
        """A unique name for each column. Raises `UnreadableFile`, and `TurnEnded` if finding the
        names takes longer than the turn."""

    @property
    def titles(self) -> list[str]:
        """The names of the columns as they are in the file, in the order of `header`: two may be
        equal. Raises as `header` does."""
        return self.header

    @property
    def header_line(self) -> int:
        """The line on which the header begins; 0 without a header."""
        return 0

    @property
    def names_columns(self) -> bool:
        """Whether a name in `header` is the name of a known column. If not, the header may be the
        record of a person, and no message may show it."""
        return True

    @abstractmethod
    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""

    @property
    def first_rows(self) -> list[FirstRow]:
        """The rows among which the header is; none in a file without a header."""
        return []

    @property
    def sheet(self) -> str:
        """The name of the sheet that is read; empty if the file has no sheets."""
        return ""

    @property
    def sheets(self) -> list[str]:
        """The names of all sheets that have rows."""
        return []

    def found(self) -> dict[str, Any]:
        """What was found out about the file so far, as JSON can hold it. The next turn of the same
        import has these values in `InputFile.known`, so that nothing is searched twice."""
        return {}


class TextFormat(Format):
    """What the formats share that are text."""

    has_header = False
    max_in_request = 0

    def __init__(self, file: InputFile) -> None:
        self.text = file.text
        self.encoding = file.text.encoding
        self.delimiter = file.delimiter

    def found(self) -> dict[str, Any]:
        return {"encoding": self.encoding}
