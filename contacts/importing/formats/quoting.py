"""Rows of a CSV, read strictly: a mistake with quotes costs the row that has the mistake, and no
other row. RFC 4180, and what other programs do: quotes escaped by a backslash (MySQL), quotes left
as they are after a backslash (PHP), delimiters escaped instead of quoted cells, single quotes, a
space between delimiter and quote. One class, because each way of reading a row shares the lines
that another way has read ahead."""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from contacts.values import formulas
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop, grouped

from ..columns import known_field
from ..records import UnreadableFile
from .decoding import line_ends

# How a row may be written: quotes inside quoted cells are doubled, but not after a backslash, which
# is text; or a backslash escapes them; or no cell is quoted, and a backslash escapes delimiters.
DOUBLED, PHP, BACKSLASHED, UNQUOTED = "doubled", "php", "backslashed", "unquoted"

MAX_CELL = 1024 * 1024  # characters
MAX_RECORD = 4 * 1024 * 1024  # characters
# Characters. Each row with a mistake reads ahead, and the next row reads the same lines again:
# without this limit, a file of such rows would take hours.
MAX_READ_AGAIN = 64 * 1024 * 1024

BAD_QUOTE = gettext_noop(
    "A quoted cell does not end with a quote before a delimiter or the end of a line. Is a quote"
    " not closed? A quote inside a quoted cell is written twice."
)
SWALLOWED = gettext_noop(
    "A quoted cell contains a line that is a record of its own. Is a quote not closed?"
)
OTHER_QUOTE = gettext_noop(
    "A cell seems to be quoted with ', which does not quote the first cells of the file. Quote"
    ' cells with ".'
)
IN_DOUBT = gettext_noop(
    "A backslash before a delimiter, a quote or the end of a line may be text or an escape"
    ' character. Write the file with cells quoted with ", and quotes inside them written twice.'
)
# The number is `MAX_CELL`.
TOO_LONG = gettext_noop("A cell is longer than 1,048,576 characters. Is a quote not closed?")

ESCAPED = re.compile(r"\\(.)")
NULL = "\\N"  # an empty cell, as MySQL and PostgreSQL write it
# The beginning and the end of a text that is quoted with ' and has been parted
OPENED = re.compile(r" *'(?:.*[^'])? *", re.DOTALL)
CLOSED = re.compile(r"[^']*' *", re.DOTALL)
# A cell that is a phone, as people and messaging systems write phones. Dates are none.
PHONE = re.compile(
    r"\W*(?!\d{4}-\d\d-\d\d|\d\d?[./-]\d\d?[./-]\d{4})"
    r"(?:(?:p|tel|whatsapp):\W*|https?://[^\d]{0,50})?\d[\d .()/-]{5,25}\d(?:@[a-z.]+|\.0)?\W*",
    re.IGNORECASE,
)
MAX_PHONE = 100  # characters


class Row(NamedTuple):
    """`line`: the line on which the row begins. `size`: characters. `mistake`: why the row cannot
    be read, as a sentence in English; the cells are then a guess, from the first line only."""

    line: int
    cells: list[str]
    size: int
    mistake: str = ""


class BadRow(Exception):
    """A row cannot be read. The message is the sentence for the user, in English."""


class RowReader:
    """Reads rows from `lines`, which `TextFile.lines` returns.

    `titles`: the names of the columns, empty if the header is not known yet. A quoted cell with a
    line that has a cell for each column, and a phone, is a mistake: the quote was closed by the
    quote of another row.
    `read`: how many lines of the file are before `lines`. `quote`: what cells are quoted with.
    `escapes`: the ways of using escape characters that the file is known to have. `used`: how
    many rows with escape characters, or what could be some, were read in each way.
    """

    def __init__(
        self,
        lines: Iterator[str],
        delimiter: str,
        titles: Sequence[str] = (),
        read: int = 0,
        quote: str = '"',
        escapes: Sequence[str] = (),
    ) -> None:
        self.lines = lines
        self.delimiter = delimiter
        self.quote = quote
        self.escapes = escapes
        self.used = Counter[str]()
        self.escaped_quote = f"\\{quote}"
        self.apostrophe = f"{delimiter}'"
        self.width = len(titles)
        self.named = max((n for n, title in enumerate(titles, 1) if title), default=0)
        self.phones = {n for n, title in enumerate(titles) if known_field(title) == "phone"}
        self.read = read
        self.again: deque[str] = deque()  # lines that a row with a mistake has read ahead
        self.read_again = 0  # characters
        self.taken: list[str] = []  # the lines of the current row
        self.size = 0  # characters in `taken`
        self.open = 0  # characters after the last quote in `taken`; of one cell, if it goes on
        self.way = DOUBLED  # in which the current row is tried
        self.doubt = ""  # the mistake of the current row, to which the next line may belong
        # A backslash before a sign that it may escape, which is not escaped itself.
        signs = re.escape(f"{delimiter}{quote}")
        self.open_end = re.compile(r"(?<!\\)(?:\\\\)*\\[\r\n]*$")
        self.escape = re.compile(rf"(?<!\\)(?:\\\\)*\\(?:[{signs}\r\n]|$)")
        end = re.escape(delimiter)
        self.unescaped = re.compile(rf"(?<!\\){end}")
        self.opening = re.compile(rf"(?:^|{end}) *{quote}")
        self.escapable = {delimiter, *"\"'\\\r"}
        self.null = re.compile(rf"(?:^|(?<={end}))\\N(?={end}|[\r\n]|$)")
        self.inner_quote = re.compile(rf"[^\s\\{signs}]{quote * 2}|{quote * 2}[^\s{signs}]")
        self.readers = self.reader_of_each_way()

    def reader_of_each_way(self) -> dict[str, Any]:
        given: Any = {"delimiter": self.delimiter, "quotechar": self.quote, "strict": True}
        escaped: Any = given | {"escapechar": "\\"}
        return {
            DOUBLED: csv.reader(self, skipinitialspace=True, **given),
            PHP: csv.reader(map(self.doubling, self), skipinitialspace=True, **given),
            BACKSLASHED: csv.reader(map(self.escaped, self), skipinitialspace=True, **escaped),
            UNQUOTED: csv.reader(map(self.escaped, self), quoting=csv.QUOTE_NONE, **escaped),
        }

    def rows(self) -> Iterator[Row]:
        """All rows that have a value. Raises `UnreadableFile`."""
        while text := self.next_line():
            if text[0] in "\r\n\x1a":  # a run of blank lines, or Ctrl-Z at the end of the file
                self.read += line_ends(text)
                continue
            line = self.read + 1
            doubt, self.doubt = self.doubt, ""
            if self.quote in text or ("\\" in text and self.may_escape(text)):
                row = self.quoted(line, text)
            else:
                self.read = line
                cells = text.rstrip("\r\n").split(self.delimiter)
                mistake = (
                    OTHER_QUOTE if self.apostrophe in text and self.has_other_quotes(cells) else ""
                )
                row = Row(line, cells, len(text), mistake)
            if doubt == IN_DOUBT or (doubt and not self.is_full(row.cells)):
                row = row._replace(mistake=row.mistake or doubt)
                self.doubt = self.doubt or (doubt if self.goes_on(text, doubt) else "")
            if NULL in row.cells:
                row = row._replace(cells=["" if cell == NULL else cell for cell in row.cells])
            if has_value(row.cells):
                yield row

    def next_line(self) -> str:
        return self.again.popleft() if self.again else next(self.lines, "")

    def quoted(self, line: int, text: str) -> Row:
        """The row that begins with `text`, in which there is a quote or an escape character."""
        try:
            cells = self.cells(text)
        except BadRow as error:
            self.read = line
            self.read_again += sum(map(len, self.taken))
            if self.read_again > MAX_READ_AGAIN:
                raise UnreadableFile(
                    _("Too many quotes are not closed; the last one is in line %(line)s.")
                    % {"line": grouped(line)}
                ) from error
            self.again.popleft()  # the next row begins in the line after `text`
            cells = guessed(text, self.delimiter, self.quote)
            return Row(line, cells, len(text), str(error))
        self.read += sum(map(lines_in, self.taken))
        return Row(line, cells, sum(map(len, self.taken)))

    def cells(self, text: str) -> list[str]:
        """The cells of the row that begins with `text`, read in the way that the file is known to
        have, or else with doubled quotes, or else in other ways. Raises `BadRow`; `again` then has
        the lines of the row."""
        self.again.appendleft(text)
        if self.may_go_on(text):
            return self.continued()
        for way in self.first_ways(text):
            with suppress(BadRow):
                return self.read_as(way)
        try:
            return self.read_as(DOUBLED)
        except BadRow as error:
            if not any("\\" in line for line in self.taken):
                raise
            usual_error = error
        for way in self.other_ways(text, known=False):
            with suppress(BadRow):
                return self.read_as(way)
        raise usual_error if self.quote in text else BadRow(IN_DOUBT)

    def may_go_on(self, text: str) -> bool:
        """Whether a backslash at the end of `text` may escape the line end: neither this line nor
        the next one, which must not be blank, has quotes."""
        if self.named < 2 or not self.open_end.search(text):
            return False
        following = self.following(1)
        return self.quote not in text + following and following[0] not in "\r\n\x1a"

    def goes_on(self, text: str, doubt: str) -> bool:
        """Whether the line after `text`, which is in doubt itself, may belong to the same row."""
        if doubt == IN_DOUBT:
            return bool(self.open_end.search(text))
        return not any(map(CLOSED.fullmatch, text.rstrip("\r\n").split(self.delimiter)))

    def following(self, number: int) -> str:
        """The line after the first `number` lines of `again`; a line end at the end of the file."""
        if len(self.again) == number and (line := next(self.lines, "")):
            self.again.append(line)
        return self.again[number] if len(self.again) > number else "\n"

    def continued(self) -> list[str]:
        """The cells of a row without quotes, if its first line ends with a backslash.

        MySQL writes a line end inside a cell in this way. If the next line has a cell for each
        column, the backslash is text. Raises `BadRow` if the next line has a phone besides: it may
        be a record that lacks cells, or a part of this one.
        """
        following = self.unescaped.split(self.again[1].rstrip("\r\n"))
        if self.is_full(following):
            return self.read_as(DOUBLED)
        if has_phone(following):
            self.doubt = IN_DOUBT
            self.taken = []
            raise BadRow(IN_DOUBT)
        with suppress(BadRow):
            return self.read_as(UNQUOTED)
        return self.read_as(DOUBLED)

    def read_as(self, way: str) -> list[str]:
        self.way = way
        try:
            cells = self.taken_by(self.readers[way])
            self.check(cells, way)
        except BadRow:
            self.again.extendleft(reversed(self.taken))
            raise
        if self.has_escape():
            self.used[way] += self.is_full(cells)
        return cells

    def first_ways(self, text: str) -> list[str]:
        """The ways that come before doubled quotes: those that the file is known to have. An
        escaped quote in a row without quoted cells is one: other programs would quote the cell."""
        known = self.other_ways(text, known=True) if self.escapes else []
        if self.escaped_quote in text and not self.opening.search(text):
            return [UNQUOTED]
        return known

    def other_ways(self, text: str, *, known: bool) -> list[str]:
        """The ways with escape characters in which the row that begins with `text` may be written,
        the likeliest first: those that the file is known to have, or the others."""
        if not self.opening.search(text):
            ways = [UNQUOTED]
        elif PHP in self.escapes or self.inner_quote.search(text):
            ways = [PHP, BACKSLASHED]
        else:
            ways = [BACKSLASHED]
        return [way for way in ways if (way in self.escapes) is known]

    def check(self, cells: list[str], way: str) -> None:
        """Raises `BadRow` if the row cannot be right.

        A row over several lines that does not have a cell for each column has the wrong quotes. So
        may a row with too many cells: with doubled quotes, `"Ann \\"Lee\\", Bob"` is two cells. A
        row with too few cells may go on in the next line, if a backslash escapes the line end.
        """
        if not self.named or self.is_full(cells):
            return
        is_wide = len(cells) > self.width
        has_other_way = is_wide or way in (DOUBLED, UNQUOTED)
        if len(self.taken) > 1 or (has_other_way and self.has_escape()):
            raise BadRow(BAD_QUOTE)

    def may_escape(self, text: str) -> bool:
        return UNQUOTED in self.escapes or bool(self.escape.search(text))

    def has_escape(self) -> bool:
        lines = "".join(self.taken)
        return "\\" in lines and bool(self.escape.search(lines))

    def escaped(self, line: str) -> str:
        """A line in which each backslash is an escape character. Some programs escape quotes, but
        no backslash: before another character, it is text. MySQL writes NULL as \\N."""
        if NULL in line:
            line = self.null.sub("", line)
        return ESCAPED.sub(self.escaped_pair, line) if "\\" in line else line

    def escaped_pair(self, pair: re.Match[str]) -> str:
        return pair[0] if pair[1] in self.escapable else f"\\{pair[0]}"

    def doubling(self, line: str) -> str:
        """A line of PHP, which leaves quotes after a backslash as they are, with these doubled."""
        return line.replace(self.escaped_quote, self.escaped_quote + self.quote)

    def has_other_quotes(self, cells: list[str]) -> bool:
        """Whether a cell begins with a single quote that seems to be closed in a later cell, or in
        a later line: the next line does not have a cell for each column. It fails, too. The single
        quote with which an export has disarmed a formula opens nothing."""
        if self.quote == "'":
            return False
        opened = [
            n
            for n, cell in enumerate(cells)
            if OPENED.fullmatch(cell) and formulas.original(cell) == cell
        ]
        if opened and any(map(CLOSED.fullmatch, cells[opened[0] + 1 :])):
            return True
        following = self.following(0)
        if self.named > 1 and len(cells) - 1 in opened and following[0] not in "\r\n\x1a":
            parts = following.rstrip("\r\n").split(self.delimiter)
            self.doubt = "" if self.is_full(parts) else OTHER_QUOTE
        return bool(self.doubt)

    def taken_by(self, reader: Iterator[list[str]]) -> list[str]:
        """The next row of `reader`, which calls `__next__` for each line. Raises `BadRow`."""
        self.taken = []
        self.size = self.open = 0
        try:
            cells = next(reader)
        except csv.Error as error:
            raise BadRow(BAD_QUOTE) from error
        if self.size > MAX_CELL and max(map(len, cells)) > MAX_CELL:
            raise BadRow(TOO_LONG)
        return cells

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line of the current row, for `csv.reader`."""
        if self.open > MAX_CELL and self.way != UNQUOTED:  # without quotes, it may be several cells
            raise BadRow(TOO_LONG)
        text = self.next_line()
        if not text:
            raise StopIteration
        self.taken.append(text)
        if len(self.taken) > 1:
            if self.named and self.is_record(text):
                raise BadRow(SWALLOWED)
            if self.size + len(text) > MAX_RECORD:
                raise BadRow(BAD_QUOTE)
        self.size += len(text)
        _, quote, rest = text.rpartition(self.quote)
        self.open = len(rest) + (0 if quote else self.open)
        return text

    def is_record(self, text: str) -> bool:
        """Whether `text`, a line of a quoted cell, would by itself be a record with a phone.

        The cell may end in this line, with the first quote of `text`. What follows is then of the
        same row as the cell: a phone there says nothing, unless the quotes of the whole line would
        be right if the line were a row. A phone before the quote is enough if the quote stands
        where another cell would begin.
        """
        inside, quote, _ = text.partition(self.quote)
        parts = self.parts(inside)
        if not quote or self.is_full(parts):
            return self.is_row_with_phone(parts)
        opens_a_cell = not parts[-1].strip()
        cells = guessed(text, self.delimiter, self.quote)
        return (has_phone(parts[:-1]) and (opens_a_cell or self.is_full(cells))) or (
            self.is_row_with_phone(cells) and is_strict(text, self.delimiter, self.quote)
        )

    def parts(self, text: str) -> list[str]:
        """The cells of a line without quotes, in the way that is tried."""
        line = text.rstrip("\r\n")
        if self.way == UNQUOTED:
            return self.unescaped.split(line)
        return line.split(self.delimiter)

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


def guessed(text: str, delimiter: str, quote: str) -> list[str]:
    """The cells of a line with wrong quotes. The error file shows these cells."""
    with suppress(csv.Error):
        line = text.rstrip("\r\n")
        given: Any = {"delimiter": delimiter, "quotechar": quote, "skipinitialspace": True}
        return next(csv.reader([line], **given))
    return text.rstrip("\r\n").split(delimiter)


def has_phone(cells: list[str]) -> bool:
    return any(map(looks_like_phone, cells))


def looks_like_phone(cell: str) -> bool:
    """Whether the cell has 7 to 15 digits, as a phone has (E.164), and nothing but separators and
    the links of messaging systems."""
    if len(cell) > MAX_PHONE or not PHONE.fullmatch(cell):
        return False
    return 7 <= sum(map(str.isdigit, cell)) <= 15


def is_strict(text: str, delimiter: str, quote: str) -> bool:
    """Whether each quote of the line opens or closes a cell, or is doubled."""
    end = re.escape(delimiter)
    cell = rf" *{quote}(?:[^{quote}]|{quote}{quote})*{quote}|[^{quote}{end}]*"
    return bool(re.fullmatch(rf"(?:{cell})(?:{end}(?:{cell}))*", text.rstrip("\r\n")))
