"""Files of records, as people and programs export them: CSV or NDJSON, perhaps gzipped.

A CSV's encoding and delimiter are found out: UTF-8 or UTF-16 by its byte order mark, UTF-8 where
all of it is, else Windows-1252; the delimiter is what parts the header into most columns.
"""

import codecs
import csv
import gzip
import zlib
from collections.abc import Iterator, Sized
from functools import cached_property
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from . import strict_json
from .strict_json import UNSTORABLE

DELIMITERS = ",;\t|"
MAX_CELL = 1024 * 1024  # characters; longer ones come of a quote that is not closed
MAX_LINE = 2 * 1024 * 1024  # characters
MAX_RECORD = 4 * 1024 * 1024  # characters
MAX_COLUMNS = 1000
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
MAX_HEADER_LINES = 100  # a quoted column may go over several
BLOCK = 64 * 1024  # bytes
LOOK = 8 * 1024 * 1024  # bytes that are looked at to show what a file is like
KEYED = 1000  # records of NDJSON whose keys are looked at for that

# What a spreadsheet takes for a formula at the beginning of a cell (OWASP, CSV injection).
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


class Record(NamedTuple):
    """`line`: of the file, where the record begins, from 1. `cells`: by column; in a CSV text."""

    line: int
    cells: dict[str, Any]


class Source:
    """The records of the file at `path`. Reading it again gives the same ones.

    `encoding`, `delimiter`: where the guess would be wrong. `at_most`: bytes that a gzip file may
    unpack to. Raises `UnreadableFile`, here and wherever it is read.
    """

    keyed: int | None = None  # records of NDJSON whose keys are the columns; else of all
    goes_on = False  # behind what is read of it

    def __init__(
        self, path: Path, encoding: str = "", delimiter: str = "", at_most: float = inf
    ) -> None:
        csv.field_size_limit(MAX_CELL)
        self.path = path
        self.at_most = at_most
        self.encoding = text_encoding(encoding) if encoding else self.find_encoding()
        start = next(self.decoded(), "")
        self.newline = "\r" if "\r" in start and "\n" not in start else "\n"  # old Macintosh
        self.is_json = self.first_character() == "{"
        self.delimiter = one_character(delimiter) if delimiter else self.find_delimiter()

    def blocks(self) -> Iterator[bytes]:
        size = 0
        try:
            with gzip.open(self.path) if is_gzip(self.path) else self.path.open("rb") as opened:
                while block := opened.read(BLOCK):
                    yield block
                    size += len(block)
                    if size > self.at_most:
                        raise UnreadableFile("The gzip file unpacks to too much; split it.")
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

    def lines(self) -> Iterator[str]:
        """Lines with their ends, parted at one kind of end only: a cell may hold any other."""
        rest = ""
        for text in self.decoded():
            *whole, rest = (rest + text).split(self.newline)
            for line in whole:
                yield line + "\n"
            if len(rest) > MAX_LINE:
                raise UnreadableFile(f"A line is longer than {MAX_LINE:,} characters.")
        if rest and not self.goes_on:
            yield rest

    def first_character(self) -> str:
        return next((text[0] for line in self.lines() if (text := line.strip())), "")

    def find_delimiter(self) -> str:
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

        return "" if self.is_json else max(DELIMITERS, key=columns)

    @cached_property
    def header(self) -> list[str]:
        """The columns: of a CSV, its first line; of NDJSON, the keys of all its records."""
        if self.is_json:
            keys: dict[str, None] = {}
            for record in islice(self.records(), self.keyed):
                keys |= dict.fromkeys(key for key in record.cells if is_column(key))
                refuse_too_many(keys)
            return list(keys)
        header = next((row for _, row in self.rows()), None)
        if header is None:
            raise UnreadableFile("The file is empty.")
        refuse_too_many(header)
        names = [original(name.strip()) for name in header]
        repeated = next((name for name in names if name and names.count(name) > 1), None)
        if repeated:
            raise UnreadableFile(f"Two columns are named “{repeated}”; rename one.")
        if unstorable := next((name for name in names if UNSTORABLE.search(name)), None):
            raise UnreadableFile(f"The column {unstorable!a} cannot be; is the encoding right?")
        return names

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        size = 0

        def counted() -> Iterator[str]:
            nonlocal size
            for text in self.lines():
                size += len(text)
                if size > MAX_RECORD:
                    raise UnreadableFile(
                        f"A record is longer than {MAX_RECORD:,} characters. Is a quote not closed?"
                    )
                yield text

        reader = csv.reader(counted(), delimiter=self.delimiter)
        while True:
            size = 0
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableFile(
                    f"Line {line} cannot be read: {error}. Is a quote not closed?"
                ) from error
            if any(row):
                yield line, row

    def records(self) -> Iterator[Record]:
        """All records, blank lines left out. What is wrong with one is told by its cells:
        `None` holds what does not fit the columns."""
        if self.is_json:
            yield from self.json_records()
            return
        rows = self.rows()
        next(rows, None)
        width = len(self.header)
        for line, row in rows:
            cells: dict[Any, Any] = dict(zip(self.header, row, strict=False))
            if len(row) > width:
                cells[None] = row[width:]
            yield Record(line, cells)

    def json_records(self) -> Iterator[Record]:
        for number, line in enumerate(self.lines(), 1):
            if line.strip():
                try:
                    cells = strict_json.loads(line)
                except strict_json.MalformedJSON:
                    cells = None
                yield Record(number, cells if isinstance(cells, dict) else {None: line.rstrip()})  # type: ignore[dict-item]


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


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def text_encoding(name: str) -> str:
    try:
        if codecs.lookup(name)._is_text_encoding:  # others turn bytes into bytes
            return name
    except LookupError:
        pass
    raise UnreadableFile(f"There is no encoding “{name}”; try utf-8, cp1252 or utf-16.")


def one_character(delimiter: str) -> str:
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UnreadableFile("The delimiter is one character, such as ; or \\t.")
    return delimiter


def is_column(key: Any) -> bool:
    return isinstance(key, str) and not UNSTORABLE.search(key)


def refuse_too_many(columns: Sized) -> None:
    if len(columns) > MAX_COLUMNS:
        raise UnreadableFile(f"There are more than {MAX_COLUMNS:,} columns.")


def neutral(cell: str) -> str:
    """`cell` so that no spreadsheet runs it: an apostrophe before what would be a formula.

    Before what begins with apostrophes and a formula too: so `original` undoes it exactly.
    """
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA) else cell


def original(cell: str) -> str:
    """What `neutral` was given."""
    if not cell.startswith("'"):
        return cell
    return cell[1:] if cell.lstrip("'").startswith(FORMULA) else cell
