"""How a CSV is written: its delimiter, and which row is the header."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..columns import is_known
from .decoding import MAX_LINE
from .header import MAX_HEADER_ROW, header_row, is_data, numbered, titles_of
from .quoting import Row, RowReader, has_phone

DELIMITERS = ",;\t|"
MAX_FIRST_LINES = 100
# With this line, Excel names the delimiter of the file.
SEP_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


class Dialect(NamedTuple):
    """`titles`: the names of the columns as the file writes them. Some may be empty; none: the
    file has no header. `header_line`: the line on which the header begins. `is_known`: whether a
    title is the name of a known column. `is_empty`: whether the file has no rows. `skipped`: how
    many lines are above the first row."""

    delimiter: str
    titles: list[str]
    header_line: int = 0
    is_known: bool = False
    is_empty: bool = False
    skipped: int = 0


def find_dialect(
    lines: Iterator[str], delimiter: str = "", header_line: int | None = None
) -> Dialect:
    """The dialect of a CSV that begins with `lines`.

    `delimiter`: given by the user; if it is empty, a `sep=` line names the delimiter, or else the
    delimiters are compared by how they part the first rows, see `quality`. `header_line`: given by
    the user; 0 means that the file has no header, None that the header is found out.
    """
    first = first_lines(lines)
    named = SEP_LINE.fullmatch(first[0]) if first else None
    skipped = 1 if named else 0
    candidates = delimiter or (named[1] if named else DELIMITERS)
    rows = {each: rows_by(each, first, skipped) for each in candidates}
    dialects = [dialect_of(each, rows[each], header_line) for each in candidates]
    best = max(dialects, key=lambda found: quality(found, rows[found.delimiter]))
    return best._replace(skipped=skipped)


def first_lines(lines: Iterator[str]) -> list[str]:
    first: list[str] = []
    size = 0
    for line in lines:
        first.append(line)
        size += len(line)
        if len(first) == MAX_FIRST_LINES or size > MAX_LINE:
            break
    return first


def rows_by(delimiter: str, lines: list[str], skipped: int) -> list[Row]:
    return [*RowReader(iter(lines[skipped:]), delimiter, read=skipped).rows()]


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


def quality(dialect: Dialect, rows: list[Row]) -> tuple[Any, ...]:
    """How well the delimiter parts the rows: the better of two delimiters has the greater tuple.

    A delimiter must part the header. Then count, in this order: known columns, rows in which a
    cell is a phone and nothing else, rows with as many cells as the header, and columns.
    """
    width = len(dialect.titles)
    data = [row.cells for row in rows if row.line > dialect.header_line]
    return (
        width > 1 and dialect.is_known,
        sum(map(has_phone, data)),
        width > 1 and sum(len(cells) == width for cells in data),
        sum(map(is_known, dialect.titles)),
        width,
    )
