"""CSV: the delimiter is detected, the first row with a value is the header."""

import csv
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ..records import Record, UnreadableFile
from .decoding import MAX_LINE
from .format import InputFile, TextFormat
from .header import column_names

DELIMITERS = ",;\t|"
MAX_CELL = 1024 * 1024  # characters; a longer cell comes from a quote that is not closed
MAX_RECORD = 4 * 1024 * 1024  # characters
MAX_HEADER_LINES = 100  # the quoted name of a column may span several lines

# A line, or a run of blank lines. A line of spaces is not blank: in a CSV it has one cell.
LINES = re.compile(r"[\r\n]*\n|[^\n]+\n?")


class CSVFormat(TextFormat):
    name = "CSV"
    suffixes = (".csv", ".tsv", ".txt")
    media_types = ("text/csv",)
    is_json = False
    has_header = True
    errors = "csv"
    max_in_request = 8 * 1024 * 1024

    def __init__(self, file: InputFile) -> None:
        csv.field_size_limit(MAX_CELL)
        super().__init__(file)
        self.delimiter = file.delimiter or self.find_delimiter()
        if "header" in file.known:
            self.header = file.known["header"]

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return not file.is_binary

    def found(self) -> dict[str, Any]:
        header = {"header": self.header} if "header" in vars(self) else {}
        return super().found() | {"delimiter": self.delimiter} | header

    def find_delimiter(self) -> str:
        """The delimiter that gives the header the most columns."""
        start: list[str] = []
        for line in self.text.lines(LINES):
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
        """Raises `UnreadableFile`."""
        header = next((row for _, row in self.rows()), None)
        if header is None:
            raise UnreadableFile("The file is empty.")
        return column_names(header)

    def rows(self, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Each row that has a value, with the number of the line on which the row begins.

        `skip`: how many lines at the beginning of the file are left out. A row must end with the
        last of them.
        """
        lines = RowLines(self.text.lines(LINES, skip), skip)
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

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""
        rows = self.rows(first_line - 1)
        if first_line == 1:
            next(rows, None)
        width = len(self.header)
        for line, row in rows:
            cells: dict[Any, Any] = dict(zip(self.header, row, strict=False))
            if len(row) > width:
                cells[None] = row[width:]
            yield Record(line, cells, sum(map(len, row)))


class RowLines:
    """The lines that `csv.reader` reads, without the blank lines between rows.

    `size`: how many characters of the current row were read. The caller sets `size` to 0 before
    each row. `begin`: the line on which the current row begins. `read`: how many lines were read.
    """

    def __init__(self, lines: Iterator[str], read: int) -> None:
        self.lines = lines
        self.read = read
        self.size = self.begin = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            text = next(self.lines)
            if not self.size:
                self.begin = self.read + 1
            self.read += text.count("\n")
            if self.size or text.strip("\r\n"):
                break
        self.size += len(text)
        if self.size > MAX_RECORD:
            raise UnreadableFile(
                f"A record is longer than {MAX_RECORD:,} characters. Is a quote not closed?"
            )
        return text


def one_character(delimiter: str) -> str:
    r"""The delimiter that the user has typed; `\t` means the tab. Raises `UnreadableFile`."""
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UnreadableFile("The delimiter is one character, such as ; or \\t.")
    return delimiter
