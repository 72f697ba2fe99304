"""Rows of a CSV, read strictly: a mistake with quotes costs the row that has the mistake, and no
other row. RFC 4180, and what other programs do: quotes escaped by a backslash (MySQL), a space
between delimiter and quote."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..columns import known_field
from ..records import UnreadableFile
from .decoding import line_ends

MAX_CELL = 1024 * 1024  # characters
MAX_RECORD = 4 * 1024 * 1024  # characters
# Characters. Each row with a mistake reads ahead, and the next row reads the same lines again:
# without this limit, a file of such rows would take hours.
MAX_READ_AGAIN = 64 * 1024 * 1024

BAD_QUOTE = (
    "A quoted cell does not end with a quote before a delimiter or the end of a line. Is a quote"
    " not closed? A quote inside a quoted cell is written twice."
)
SWALLOWED = "A quoted cell contains a line that is a record of its own. Is a quote not closed?"
TOO_LONG = f"A cell is longer than {MAX_CELL:,} characters. Is a quote not closed?"

# A cell that is a phone, as people and messaging systems write phones. Dates are none.
PHONE = re.compile(
    r"\W*(?!\d{4}-\d\d-\d\d|\d\d?[./-]\d\d?[./-]\d{4})"
    r"(?:(?:p|tel|whatsapp):\W*|https?://[^\d]{0,50})?\d[\d .()/-]{5,25}\d(?:@[a-z.]+|\.0)?\W*",
    re.IGNORECASE,
)
MAX_PHONE = 100  # characters


class Row(NamedTuple):
    """`line`: the line on which the row begins. `size`: characters. `mistake`: why the row cannot
    be read, as a sentence; the cells are then a guess, and only those of the first line."""

    line: int
    cells: list[str]
    size: int
    mistake: str = ""


class BadRow(Exception):
    """A row cannot be read. The message is the sentence for the user."""


class RowReader:
    """Reads rows from `lines`, which `TextFile.lines` returns.

    `titles`: the names of the columns, empty if the header is not known yet. A quoted cell with a
    line that has a cell for each column, and a phone, is a mistake: the quote was closed by the
    quote of another row.
    `read`: how many lines of the file are before `lines`.
    """

    def __init__(
        self, lines: Iterator[str], delimiter: str, titles: Sequence[str] = (), read: int = 0
    ) -> None:
        csv.field_size_limit(MAX_CELL)
        self.lines = lines
        self.delimiter = delimiter
        self.width = len(titles)
        self.named = max((n for n, title in enumerate(titles, 1) if title), default=0)
        self.phones = {n for n, title in enumerate(titles) if known_field(title) == "phone"}
        self.read = read
        self.again: deque[str] = deque()  # lines that a row with a mistake has read ahead
        self.read_again = 0  # characters
        self.taken: list[str] = []  # the lines of the current row
        self.size = 0  # characters in `taken`
        self.doubled = csv.reader(self, delimiter=delimiter, strict=True, skipinitialspace=True)
        self.backslashed = csv.reader(
            self, delimiter=delimiter, strict=True, skipinitialspace=True, escapechar="\\"
        )

    def rows(self) -> Iterator[Row]:
        """All rows that have a value. Raises `UnreadableFile`."""
        while text := self.next_line():
            if text[0] in "\r\n\x1a":  # a run of blank lines, or Ctrl-Z at the end of the file
                self.read += line_ends(text)
                continue
            line = self.read + 1
            if '"' in text:
                row = self.quoted(line, text)
            else:
                self.read = line
                row = Row(line, text.rstrip("\r\n").split(self.delimiter), len(text))
            if has_value(row.cells):
                yield row

    def next_line(self) -> str:
        return self.again.popleft() if self.again else next(self.lines, "")

    def quoted(self, line: int, text: str) -> Row:
        """The row that begins with `text`, in which there is a quote."""
        try:
            cells = self.cells(text)
        except BadRow as error:
            self.read = line
            self.read_again += sum(map(len, self.taken))
            if self.read_again > MAX_READ_AGAIN:
                raise UnreadableFile(
                    f"Too many quotes are not closed; the last one is in line {line:,}."
                ) from error
            self.again.popleft()  # the next row begins in the line after `text`
            return Row(line, guessed(text, self.delimiter), len(text), str(error))
        self.read += sum(map(lines_in, self.taken))
        return Row(line, cells, sum(map(len, self.taken)))

    def cells(self, text: str) -> list[str]:
        """The cells of the row that begins with `text`, with quotes doubled or, where only this
        works, escaped by a backslash. Raises `BadRow`; `again` then has the lines of the row."""
        self.again.appendleft(text)
        try:
            return self.fitting(self.doubled)
        except BadRow:
            if not self.has_backslash():
                raise
            return self.fitting(self.backslashed)

    def fitting(self, reader: Iterator[list[str]]) -> list[str]:
        """The next row of `reader`, if it can be right. Raises `BadRow`.

        A row over several lines that does not have a cell for each column has the wrong quotes. So
        may a row with too many cells: with doubled quotes, `"Ann \\"Lee\\", Bob"` is two cells.
        """
        cells = self.taken_by(reader)
        if self.named and not self.is_full(cells) and self.has_wrong_quotes(cells):
            self.again.extendleft(reversed(self.taken))
            raise BadRow(BAD_QUOTE)
        return cells

    def has_wrong_quotes(self, cells: list[str]) -> bool:
        return len(self.taken) > 1 or (len(cells) > self.width and self.has_backslash())

    def has_backslash(self) -> bool:
        return any('\\"' in line for line in self.taken)

    def taken_by(self, reader: Iterator[list[str]]) -> list[str]:
        """The next row of `reader`, which calls `__next__` for each line. Raises `BadRow`."""
        self.taken = []
        try:
            return next(reader)
        except BadRow:
            self.again.extendleft(reversed(self.taken))
            raise
        except csv.Error as error:
            self.again.extendleft(reversed(self.taken))
            raise BadRow(TOO_LONG if "limit" in str(error) else BAD_QUOTE) from error

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line of the current row, for `csv.reader`."""
        text = self.next_line()
        if not text:
            raise StopIteration
        self.taken.append(text)
        if len(self.taken) > 1:
            if self.named and self.is_record(text):
                raise BadRow(SWALLOWED)
            self.size += len(text)
            if self.size > MAX_RECORD:
                raise BadRow(BAD_QUOTE)
        else:
            self.size = len(text)
        return text

    def is_record(self, text: str) -> bool:
        """Whether `text`, a line of a quoted cell, would by itself be a record with a phone.

        The cell may end in this line, with the first quote of `text`. What follows is then of the
        same row as the cell: a phone there says nothing, unless the quotes of the whole line would
        be right if the line were a row. A phone before the quote is enough if the quote stands
        where another cell would begin.
        """
        inside, quote, _ = text.partition('"')
        parts = inside.rstrip("\r\n").split(self.delimiter)
        if not quote or self.is_full(parts):
            return self.is_row_with_phone(parts)
        opens_a_cell = not parts[-1].strip()
        cells = guessed(text, self.delimiter)
        return (has_phone(parts[:-1]) and (opens_a_cell or self.is_full(cells))) or (
            self.is_row_with_phone(cells) and is_strict(text, self.delimiter)
        )

    def is_row_with_phone(self, cells: list[str]) -> bool:
        """Whether `cells` would be a row with a phone. A row may lack its last cells: then a phone
        counts only in a column of phones, because a note of several lines may mention a phone."""
        if self.is_full(cells):
            return has_phone(cells)
        is_short = 1 < len(cells) < self.named
        return is_short and has_phone([cells[n] for n in self.phones if n < len(cells)])

    def is_full(self, cells: list[str]) -> bool:
        return len(cells) >= self.named and not has_value(cells[self.width :])


def lines_in(text: str) -> int:
    return line_ends(text) if text[0] in "\r\n" else 1


def has_value(cells: list[str]) -> bool:
    return any(map(str.strip, cells))


def guessed(text: str, delimiter: str) -> list[str]:
    """The cells of a line with wrong quotes. The error file shows these cells."""
    with suppress(csv.Error):
        return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter, skipinitialspace=True))
    return text.rstrip("\r\n").split(delimiter)


def has_phone(cells: list[str]) -> bool:
    return any(map(looks_like_phone, cells))


def looks_like_phone(cell: str) -> bool:
    """Whether the cell has 7 to 15 digits, as a phone has (E.164), and nothing but separators and
    the links of messaging systems."""
    if len(cell) > MAX_PHONE or not PHONE.fullmatch(cell):
        return False
    return 7 <= sum(map(str.isdigit, cell)) <= 15


def is_strict(text: str, delimiter: str) -> bool:
    """Whether each quote of the line opens or closes a cell, or is doubled."""
    quoted = re.escape(delimiter)
    cell = rf' *"(?:[^"]|"")*"|[^"{quoted}]*'
    return bool(re.fullmatch(rf"(?:{cell})(?:{quoted}(?:{cell}))*", text.rstrip("\r\n")))
