"""CSV: the delimiter and the header are found out, see `dialect`; rows are read strictly, see
`quoting`."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from contacts.values.strict_json import UNSTORABLE

from ..records import Mistake, Record, UnreadableFile, refuse_too_many
from .decoding import TextFile
from .dialect import Dialect, find_dialect, unique
from .quoting import Row, RowReader, has_value

NO_HEADER = (
    "No row names the columns. Write names such as “phone” and “name” into the first row of the"
    " file."
)


class CSVFormat:
    """`text` as CSV. `delimiter`: found out if it is empty. `dialect`: as `found` returned it."""

    def __init__(self, text: TextFile, delimiter: str = "", dialect: list[Any] | None = None):
        self.text = text
        self.dialect = Dialect(*dialect) if dialect else find_dialect(text.lines(), delimiter)
        self.delimiter = self.dialect.delimiter

    def found(self) -> dict[str, Any]:
        return {"dialect": self.dialect, "header_line": self.header_line}

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
            raise UnreadableFile("The file is empty.")
        titles = self.dialect.titles
        if not titles:
            raise UnreadableFile(NO_HEADER)
        refuse_too_many(titles)
        if unstorable := next((title for title in titles if UNSTORABLE.search(title)), None):
            raise UnreadableFile(
                f"The column {unstorable!a} cannot be stored. Is the encoding right?"
            )
        return titles

    @cached_property
    def header(self) -> list[str]:
        """The keys of the cells, see `unique`. Raises `UnreadableFile`."""
        return unique(self.titles)

    def rows(self, first_line: int) -> Iterator[Row]:
        lines = self.text.lines(first_line - 1)
        return RowReader(lines, self.delimiter, self.titles, first_line - 1).rows()

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""
        header, width = self.header, len(self.header)
        for line, row, size, mistake in self.rows(first_line):
            if line <= self.header_line:
                continue
            cells: dict[Any, Any] = dict(zip(header, row, strict=False))
            if mistake:
                cells[None] = Mistake(mistake)
            elif len(row) > width and has_value(row[width:]):
                cells[None] = row[width:]
            yield Record(line, cells, size)


def one_character(delimiter: str) -> str:
    r"""The delimiter that the user has typed; `\t` means the tab. Raises `UnreadableFile`."""
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UnreadableFile("The delimiter is one character, such as ; or \\t.")
    return delimiter
