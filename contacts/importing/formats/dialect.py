"""How a CSV is written: its delimiter, and which row is the header."""

import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from ..columns import is_known
from .decoding import MAX_LINE
from .header import MAX_HEADER_ROW, header_row, is_data, numbered, titles_of
from .quoting import BACKSLASHED, DOUBLED, PHP, UNQUOTED, Row, RowReader, has_phone, has_value

DELIMITERS = ",;\t|"
MAX_FIRST_LINES = 100
MIN_EVIDENCE = 2  # rows
SINGLE_QUOTE = re.compile(rf"(?:^|[{DELIMITERS}]) *'")  # before a cell
# A line with single quotes around each cell, or a cell with two of them inside
QUOTED_CELL = r"'(?:[^']|'')*'"
QUOTED = re.compile(
    rf"^{QUOTED_CELL}(?:[{DELIMITERS}]{QUOTED_CELL})+[\r\n]*$"
    rf"|(?:^|[{DELIMITERS}])'(?:[^']|'')*[^'{DELIMITERS}]''(?:[^']|'')*'(?:[{DELIMITERS}\r\n]|$)"
)
# With this line, Excel names the delimiter of the file.
SEP_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
ROW_NUMBER = re.compile(r'"[0-9]{1,9}"')


class Dialect(NamedTuple):
    """`titles`: the names of the columns as the file writes them. Some may be empty; none: the
    file has no header. `header_line`: the line on which the header begins. `is_known`: whether a
    title is the name of a known column. `is_empty`: whether the file has no rows. `skipped`: how
    many lines are above the first row. `quote`: what cells are quoted with. `escapes`: the ways of
    using escape characters that the first rows have, see `quoting`."""

    delimiter: str
    titles: list[str]
    header_line: int = 0
    is_known: bool = False
    is_empty: bool = False
    skipped: int = 0
    quote: str = '"'
    escapes: Sequence[str] = ()


def find_dialect(
    lines: Iterator[str], delimiter: str = "", header_line: int | None = None
) -> Dialect:
    """The dialect of a CSV that begins with `lines`.

    `delimiter`: given by the user; if it is empty, a `sep=` line names the delimiter, or else the
    delimiters are compared by how they part the first rows, see `Quality`. `header_line`: given by
    the user; 0 means that the file has no header, None that the header is found out.
    """
    first = first_lines(lines)
    named = SEP_LINE.fullmatch(first[0]) if first else None
    skipped = 1 if named else 0
    candidates = delimiter or (named[1] if named else DELIMITERS)
    may_be_single = "'" not in candidates and any(map(SINGLE_QUOTE.search, first))
    quotes = "\"'" if may_be_single else '"'
    rows = {each: rows_by(*each, first, skipped) for each in product(candidates, quotes)}
    dialects = {
        (each, quote): dialect_of(each, found, header_line)._replace(quote=quote)
        for (each, quote), found in rows.items()
    }
    qualities = {each: quality(dialect, rows[each]) for each, dialect in dialects.items()}
    is_quoted = any(map(QUOTED.search, first))

    def ragged(each: tuple[str, str]) -> int:
        return len(rows[each]) - qualities[each].whole

    def may_be(each: tuple[str, str]) -> bool:
        """Not with single quotes that part rows which double quotes leave whole: an apostrophe in a
        quoted cell would turn a record of several lines into two rows."""
        double = (each[0], '"')
        parts_rows = len(rows[each]) > len(rows[double]) or ragged(each) > ragged(double)
        return each == double or not (parts_rows or any(row.mistake for row in rows[each]))

    chosen = max(
        filter(may_be, rows),
        key=lambda each: (*qualities[each], is_quoted and each[1] == "'"),
    )
    best = dialects[chosen]
    best = best._replace(skipped=skipped, titles=without_empty_columns(best, rows[chosen]))
    if has_row_numbers(best, rows[chosen], first):
        best = best._replace(titles=["", *best.titles])
    return best._replace(escapes=escapes_of(best, first[skipped:]))


def without_empty_columns(dialect: Dialect, rows: list[Row]) -> list[str]:
    """The titles without columns at the end that have no name, and mostly no value: delimiters at
    the end of the lines are no columns. Otherwise a row with a delimiter in a cell that is not
    quoted would have as many cells as columns, and its cells would come into wrong fields."""
    titles = [*dialect.titles]
    data = [row.cells for row in rows if row.line > dialect.header_line and not row.mistake]
    while titles and not titles[-1]:
        place = len(titles) - 1
        if 2 * sum(has_value(cells[place:][:1]) for cells in data) > len(data):
            break
        titles.pop()
    return titles


def has_row_numbers(dialect: Dialect, rows: list[Row], lines: list[str]) -> bool:
    """Whether each row has one cell more than the header, in front, with the quoted number of the
    row: so writes R's `write.table`. A number without quotes may be an id, and the cell too many a
    part of a name, such as “Lee, Ann”; a program that quotes numbers has quoted this name."""
    data = [row for row in rows if row.line > dialect.header_line]
    width = len(dialect.titles) + 1
    return (
        dialect.is_known
        and len(data) >= MIN_EVIDENCE
        and all(len(row.cells) == width and not row.mistake for row in data)
        and all(ROW_NUMBER.match(lines[row.line - 1]) for row in data)
        and len({row.cells[0] for row in data}) == len(data)
        and any(has_value(row.cells[-1:]) for row in data)  # else the lines end with a delimiter
    )


def escapes_of(dialect: Dialect, lines: list[str]) -> list[str]:
    """The ways of using escape characters without which several of these lines cannot be read; none
    if others contradict. One such line may be a mistake, and must not change other records."""
    used = ways_of(dialect, lines)
    found = [way for way in (BACKSLASHED, PHP, UNQUOTED) if used[way] >= MIN_EVIDENCE]
    if found == [BACKSLASHED] and has_inner_quotes(dialect, lines):
        return [PHP]  # no other program doubles quotes and escapes them
    is_contradicted = bool(found) and ways_of(dialect._replace(escapes=found), lines)[DOUBLED]
    return [] if is_contradicted and PHP not in found else found


def ways_of(dialect: Dialect, lines: list[str]) -> Counter[str]:
    reader = reader_of(dialect, lines)
    deque(reader.rows(), maxlen=0)
    return reader.used


def has_inner_quotes(dialect: Dialect, lines: list[str]) -> bool:
    return any(map(reader_of(dialect, lines).inner_quote.search, lines))


def reader_of(dialect: Dialect, lines: list[str]) -> RowReader:
    quote, escapes = dialect.quote, dialect.escapes
    return RowReader(iter(lines), dialect.delimiter, dialect.titles, quote=quote, escapes=escapes)


def first_lines(lines: Iterator[str]) -> list[str]:
    first: list[str] = []
    size = 0
    for line in lines:
        first.append(line)
        size += len(line)
        if len(first) == MAX_FIRST_LINES or size > MAX_LINE:
            break
    return first


def rows_by(delimiter: str, quote: str, lines: list[str], skipped: int) -> list[Row]:
    return [*RowReader(iter(lines[skipped:]), delimiter, read=skipped, quote=quote).rows()]


def dialect_of(delimiter: str, rows: list[Row], header_line: int | None = None) -> Dialect:
    """The dialect with this delimiter. `header_line`: see `find_dialect`."""
    if header_line == 0:
        return Dialect(delimiter, numbered([row.cells for row in rows]), is_empty=not rows)
    header = header_of(rows, header_line)
    if header is None:
        return Dialect(delimiter, [], is_empty=not rows)
    titles = titles_of(header.cells)
    return Dialect(delimiter, titles, header.line, any(map(is_known, titles)))


def header_of(rows: list[Row], header_line: int | None) -> Row | None:
    """The header: the row in `header_line`, or the first row that names a known column.

    If no row does, the header is the first row, because the user may map its columns. A row with
    a phone or an e-mail is no header, but somebody's data, unless the user says so.
    """
    first = rows[:MAX_HEADER_ROW]
    if header_line is not None:
        return next((row for row in first if row.line == header_line and not row.mistake), None)
    cells = [[] if row.mistake else row.cells for row in first]
    index = header_row(cells)
    if index is None and (not cells or not cells[0] or is_data(cells[0])):
        return None
    return first[index or 0]


class Quality(NamedTuple):
    """How well a dialect parts the rows: the better of two has the greater tuple.

    `is_known`: whether the delimiter parts the header, and a column is known. `phones`: rows in
    which a cell is a phone and nothing else. `whole`: rows with as many cells as the header.
    `known`: columns with known names. `width`: columns.
    """

    is_known: bool
    phones: int
    whole: int
    known: int
    width: int


def quality(dialect: Dialect, rows: list[Row]) -> Quality:
    width = len(dialect.titles)
    data = [row.cells for row in rows if row.line > dialect.header_line]
    return Quality(
        is_known=width > 1 and dialect.is_known,
        phones=sum(map(has_phone, data)),
        whole=sum(len(cells) == width for cells in data) if width > 1 else 0,
        known=sum(map(is_known, dialect.titles)),
        width=width,
    )
