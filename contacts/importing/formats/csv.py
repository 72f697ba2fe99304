"""CSV: the delimiter and the header are found out, see `dialect`; rows are read strictly, see
`quoting`."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from contacts.values.translation import gettext as _

from ..records import Mistake, Record, UnreadableFile
from .dialect import Dialect, find_dialect, first_lines, rows_by
from .format import FirstRow, InputFile, TextFormat
from .header import MAX_HEADER_ROW, NO_HEADER, NO_SUCH_HEADER, checked, unique
from .quoting import Row, RowReader, has_value


class CSVFormat(TextFormat):
    name = "CSV"
    suffixes = (".csv", ".tsv", ".txt")
    media_types = ("text/csv",)
    has_delimiter = True
    has_apostrophes = True
    has_header = True
    errors = "csv"
    max_in_request = 8 * 1024 * 1024

    def __init__(self, file: InputFile) -> None:
        super().__init__(file)
        known = file.known.get("dialect")
        self.no_header = NO_SUCH_HEADER if file.header_line else NO_HEADER
        self.dialect = (
            Dialect(*known)
            if known
            else find_dialect(self.text.lines(), file.delimiter, file.header_line)
        )
        self.delimiter = self.dialect.delimiter

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return not file.is_binary

    def found(self) -> dict[str, Any]:
        return super().found() | {"dialect": self.dialect, "header_line": self.header_line}

    @property
    def header_line(self) -> int:
        """The line on which the header begins; 0 without a header."""
        return self.dialect.header_line

    @property
    def names_columns(self) -> bool:
        """Whether the header has the name of a known column. If not, the header may be a record:
        no message may show it."""
        return self.dialect.is_known

    @cached_property
    def titles(self) -> list[str]:
        """The names of all columns as they are in the file. Raises `UnreadableFile`."""
        if self.dialect.is_empty:
            raise UnreadableFile(_("The file is empty."))
        titles = self.dialect.titles
        if not titles:
            raise UnreadableFile(_(self.no_header))
        return checked(titles)

    @cached_property
    def header(self) -> list[str]:
        """The keys of the cells, see `unique`. Raises `UnreadableFile`."""
        return unique(self.titles)

    @property
    def first_rows(self) -> list[FirstRow]:
        rows = rows_by(
            self.delimiter, self.dialect.quote, first_lines(self.text.lines()), self.dialect.skipped
        )
        return [FirstRow(row.line, row.cells) for row in rows[:MAX_HEADER_ROW]]

    def rows(self, first_line: int) -> Iterator[Row]:
        lines = self.text.lines(first_line - 1)
        found = self.dialect
        return RowReader(
            lines, self.delimiter, self.titles, first_line - 1, found.quote, found.escapes
        ).rows()

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""
        header, width = self.header, len(self.header)
        for line, row, size, mistake in self.rows(first_line):
            if line <= self.header_line or line <= self.dialect.skipped:
                continue
            cells: dict[Any, Any] = dict(zip(header, row, strict=False))
            if mistake:
                cells[None] = Mistake(_(mistake))
            elif len(row) > width and has_value(row[width:]):
                cells[None] = row[width:]
            yield Record(line, cells, size)


def one_character(delimiter: str) -> str:
    r"""The delimiter that the user has typed; `\t` means the tab. Raises `UnreadableFile`."""
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UnreadableFile(_("The delimiter is one character, such as ; or \\t."))
    return delimiter
