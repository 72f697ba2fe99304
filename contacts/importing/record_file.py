"""Files of records, as people and programs export them: CSV or NDJSON, perhaps gzipped.

A CSV's encoding and delimiter are found out: UTF-8 or UTF-16 by its byte order mark, UTF-8 where
all of it is, else Windows-1252; the delimiter is what parts the header into most columns.
"""

import codecs
import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

from contacts.values import strict_json
from contacts.values.formulas import original
from contacts.values.strict_json import UNSTORABLE

from .formats.csv import (
    CSV_LINES,
    DELIMITERS,
    MAX_CELL,
    MAX_HEADER_LINES,
    RowLines,
    one_character,
)
from .formats.decoding import BOMS, MAX_LINE, text_encoding
from .formats.gzipped import BLOCK, is_gzip
from .formats.ndjson import JSON_LINES, is_column
from .records import GaveWay, Record, UnreadableFile, refuse_too_much

LOOK = 8 * 1024 * 1024  # bytes that are looked at to show what a file is like
KEYED = 1000  # records of NDJSON whose keys are looked at for that


class Source:
    """The records of the file at `path`. Reading it again gives the same ones.

    `encoding`, `delimiter`: where the guess would be wrong. `at_most`: bytes that a gzip file may
    unpack to. `head`: what `found` returned for the same file before: to find it out again would
    take as long as reading the file. Raises `UnreadableFile`, here and wherever the file is read.
    """

    FOUND = ("encoding", "newline", "is_json", "delimiter", "header", "keys", "since")

    keyed: int | None = None  # records of NDJSON whose keys are the columns; else of all
    goes_on = False  # behind what is read of it

    def __init__(
        self,
        path: Path,
        encoding: str = "",
        delimiter: str = "",
        at_most: float = inf,
        head: dict[str, Any] | None = None,
    ) -> None:
        csv.field_size_limit(MAX_CELL)
        self.path = path
        self.at_most = at_most
        self.must_give_way: Callable[[], bool] = lambda: False  # asked while keys are looked for
        # How far the keys of NDJSON are known: those of the records before line `since`.
        self.keys: list[str] = []
        self.since = 1
        if head:
            vars(self).update(head)
            return
        self.encoding = text_encoding(encoding) if encoding else self.find_encoding()
        start = next(self.decoded(), "")
        self.newline = "\r" if "\r" in start and "\n" not in start else "\n"  # old Macintosh
        self.is_json = self.first_character() == "{"
        self.delimiter = one_character(delimiter) if delimiter else self.find_delimiter()

    def found(self) -> dict[str, Any]:
        """What was found out about the file so far, as JSON can hold it."""
        return {name: vars(self)[name] for name in self.FOUND if name in vars(self)}

    def blocks(self) -> Iterator[bytes]:
        at_most = self.at_most if is_gzip(self.path) else inf
        size = 0
        try:
            with gzip.open(self.path) if is_gzip(self.path) else self.path.open("rb") as opened:
                while block := opened.read(BLOCK):
                    size += len(block)
                    if size > at_most:
                        raise UnreadableFile(
                            f"The gzip file unpacks to more than {at_most:,} bytes; split it."
                        )
                    yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableFile(f"The gzip file is damaged: {error}.") from error

    def find_encoding(self) -> str:
        """By the byte order mark or the zeros of UTF-16, or by reading all of it as UTF-8."""
        start = next(self.blocks(), b"")
        if start.startswith(b"PK\x03\x04"):
            raise UnreadableFile("This is a workbook or an archive; save it as CSV first.")
        for bom, encoding in BOMS.items():
            if start.startswith(bom):
                return encoding
        if b"\x00" in start[:2]:
            return "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for block in self.blocks():
                decoder.decode(block)
            decoder.decode(b"", final=not self.goes_on)
        except UnicodeDecodeError:
            return "cp1252"
        return "utf-8"

    def decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        try:
            for block in self.blocks():
                yield decoder.decode(block)
            yield decoder.decode(b"", final=not self.goes_on)
        except UnicodeError as error:
            raise UnreadableFile(
                f"The file is not {self.encoding} as a whole; name its encoding."
            ) from error

    def whole_lines(self) -> Iterator[str]:
        """All of the file, in pieces that end with a line; the last one may have no end."""
        rest: list[str] = []
        length = 0
        for text in self.decoded():
            whole, newline, begun = text.replace(self.newline, "\n").rpartition("\n")
            if newline:
                yield "".join([*rest, whole, newline])
                rest, length = [], 0
            rest.append(begun)
            length += len(begun)
            if length > MAX_LINE:
                raise UnreadableFile(f"A line is longer than {MAX_LINE:,} characters.")
        if length and not self.goes_on:
            yield "".join(rest)

    def lines(self, skip: int = 0) -> Iterator[str]:
        """Lines with their ends, parted at one kind of end only: a cell may hold any other.

        Blank lines that follow each other come as one text, because millions of texts would take
        minutes. `skip`: the number of lines at the beginning that are left out.
        """
        for text in self.whole_lines():
            if skip and (number := text.count("\n")) <= skip:
                skip -= number
                continue
            pieces = JSON_LINES if self.is_json else CSV_LINES
            yield from pieces.findall(text.split("\n", skip)[skip])
            skip = 0

    def first_character(self) -> str:
        return next((start[0] for text in self.decoded() if (start := text.lstrip())), "")

    def find_delimiter(self) -> str:
        if self.is_json:
            return ""
        start: list[str] = []
        for line in self.lines():
            if line.strip():
                start.append(line)
            if len(start) == MAX_HEADER_LINES or sum(map(len, start)) > MAX_LINE:
                break

        def columns(delimiter: str) -> int:
            try:
                return len(next(csv.reader(start, delimiter=delimiter), []))
            except csv.Error:
                return 0

        return max(DELIMITERS, key=columns)

    @cached_property
    def header(self) -> list[str]:
        """The columns: of a CSV, its first line; of NDJSON, the keys of all its records.

        Raises `GaveWay`; then `found` tells how far it was.
        """
        if self.is_json:
            return self.all_keys()
        header = next((row for _, row in self.rows()), None)
        if header is None:
            raise UnreadableFile("The file is empty.")
        names = [original(name.strip()) for name in header]
        refuse_too_much(names)
        repeated = next(
            (name for name, number in Counter(filter(None, names)).items() if number > 1), None
        )
        if repeated:
            raise UnreadableFile(f"Two columns are named “{repeated}”; rename one.")
        if unstorable := next((name for name in names if UNSTORABLE.search(name)), None):
            raise UnreadableFile(f"The column {unstorable!a} cannot be; is the encoding right?")
        return names

    def all_keys(self) -> list[str]:
        keys = dict.fromkeys(self.keys)
        records = islice(self.records(self.since), self.keyed)
        for number, record in enumerate(records):
            if number and self.must_give_way():
                self.keys, self.since = list(keys), record.line
                raise GaveWay
            keys |= dict.fromkeys(key for key in record.cells if is_column(key))
            refuse_too_much(keys)
        return list(keys)

    def rows(self, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Each row with a value in it, and the line on which it begins.

        `skip`: the number of lines at the beginning that are left out; a row ends with them.
        """
        lines = RowLines(self.lines(skip), skip)
        reader = csv.reader(lines, delimiter=self.delimiter)
        while True:
            lines.size = 0
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableFile(
                    f"Line {lines.begin} cannot be read: {error}. Is a quote not closed?"
                ) from error
            if any(row):
                yield lines.begin, row

    def records(self, since: int = 1) -> Iterator[Record]:
        """All records, blank lines left out; or those from the one on that begins in line `since`.

        What is wrong with a record is told by its cells: `None` holds what does not fit the
        columns.
        """
        if self.is_json:
            yield from self.json_records(since - 1)
            return
        rows = self.rows(since - 1)
        if since == 1:
            next(rows, None)
        width = len(self.header)
        for line, row in rows:
            cells: dict[Any, Any] = dict(zip(self.header, row, strict=False))
            if len(row) > width:
                cells[None] = row[width:]
            yield Record(line, cells, sum(map(len, row)))

    def json_records(self, skip: int) -> Iterator[Record]:
        number = skip + 1
        for line in self.lines(skip):
            if not line.isspace():
                try:
                    cells = strict_json.loads(line)
                except strict_json.MalformedJSON:
                    cells = None
                found: dict[Any, Any] = cells if isinstance(cells, dict) else {None: line.rstrip()}
                yield Record(number, found, len(line))
            number += line.count("\n")


class Start(Source):
    """What a file begins with: looking at it takes no longer and no more memory, however large the
    file is. One that is not larger than `LOOK` is read as `Source` reads it, but for the columns of
    more NDJSON than `KEYED` records."""

    keyed = KEYED

    def blocks(self) -> Iterator[bytes]:
        size = 0
        for block in super().blocks():
            if size >= LOOK:
                self.goes_on = True
                return
            yield block
            size += len(block)
