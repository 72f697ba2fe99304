"""Workbooks: XLSX, XLS, ODS and XLSB. One sheet is read: the one that the user names, or the first
sheet with a header.

`sheet_program` reads the workbook in a process of its own, first the heads of all sheets, then all
rows of the sheet that is chosen. This module keeps both in files: beside and in `InputFile.cache`,
or in a file that has no name.
"""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any, NamedTuple

from contacts.values.strict_json import UNSTORABLE
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop, grouped

from ..columns import is_known, shortened
from ..records import Record, UnreadableFile
from .format import FirstRow, Format, InputFile
from .gzipped import is_gzip
from .header import (
    MAX_HEADER_ROW,
    NO_HEADER,
    NO_SUCH_HEADER,
    checked,
    header_row,
    is_data,
    numbered,
    titles_of,
    unique,
)

MAX_UNPACKED = 1024**3  # bytes
MAX_SHEET_NAME = 255  # characters, as the option `sheet` may have
MAX_TEXT = 2 * 1024**3  # bytes of the rows as text; one long text may stand in a million cells
SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # ZIP and OLE2
PROGRAM = Path(__file__).with_name("sheet_program.py")
TOO_LARGE = gettext_noop("The workbook is too large or damaged. Save it as CSV, or split it.")


class SheetHead(NamedTuple):
    """`rows`: the first rows with a value, a line of JSON each: `[number, cell, …]`. `place`: of
    the sheet in the workbook, from 0. `is_whole`: whether these are all rows."""

    name: str
    place: int
    is_whole: bool
    rows: list[str]

    @property
    def first_rows(self) -> list[FirstRow]:
        rows = map(json.loads, self.rows[:MAX_HEADER_ROW])
        return [FirstRow(number, cells) for number, *cells in rows]

    @property
    def header(self) -> FirstRow | None:
        """The first row that names a known column."""
        rows = self.first_rows
        index = header_row([row.cells for row in rows])
        return None if index is None else rows[index]


class WorkbookFormat(Format):
    name = gettext_noop("workbook")  # pages translate it
    suffixes = (".xlsx", ".xls", ".ods", ".xlsb")
    media_types = (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.ms-excel",
        "application/vnd.oasis.opendocument.spreadsheet",
    )
    has_apostrophes = True
    has_header = True
    errors = "xlsx"
    max_in_request = 1024 * 1024
    encoding = ""

    def __init__(self, file: InputFile) -> None:
        self.file = file
        self.delimiter = file.delimiter

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return file.start.startswith(SIGNATURES)

    @cached_property
    def header(self) -> list[str]:
        """Raises `UnreadableFile`."""
        return unique(self.titles)

    @cached_property
    def titles(self) -> list[str]:
        if self.header_row is None:
            return checked(numbered([json.loads(row)[1:] for row in self.head.rows]))
        return checked(titles_of(self.header_row.cells))

    @property
    def header_line(self) -> int:
        return self.header_row.line if self.header_row else 0

    @cached_property
    def header_row(self) -> FirstRow | None:
        """The row that names the columns; None if the user says that there is none. Raises
        `UnreadableFile`."""
        line, rows = self.file.header_line, self.first_rows
        if line == 0:
            return None
        if line is None:
            return self.head.header or rows[0]
        if found := next((row for row in rows if row.line == line), None):
            return found
        raise UnreadableFile(_(NO_SUCH_HEADER))

    @property
    def first_rows(self) -> list[FirstRow]:
        return self.head.first_rows

    @property
    def sheet(self) -> str:
        return self.head.name

    @property
    def sheets(self) -> list[str]:
        return [head.name for head in self.heads]

    @cached_property
    def head(self) -> SheetHead:
        """The beginning of the sheet that is read. Raises `UnreadableFile`."""
        if not self.heads:
            raise UnreadableFile(_("The workbook has no sheet with values."))
        if self.file.sheet:
            return named(self.file.sheet, self.heads)
        return first_with_header(self.heads, is_given=self.file.header_line is not None)

    @cached_property
    def heads(self) -> list[SheetHead]:
        """The sheets that have rows."""
        cache = self.file.cache and self.file.cache.with_name("sheets")
        if cache and cache.exists():
            return [SheetHead(*each) for each in json.loads(cache.read_text(encoding="ascii"))]
        with unpacked_file(self.file) as file:
            heads = [*heads_of(lines_of(file.name, self.file.max_unpacked, "heads"))]
        if cache:
            replace_text(cache, [json.dumps(heads)])
        return heads

    @property
    def names_columns(self) -> bool:
        return any(map(is_known, self.titles))

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records; the `line` of a record is the number of its row. Cells without a column are
        left out. Calling this method again ends the iterator of the call before."""
        header, header_line = self.header, self.header_line
        for text in self.rows():
            number, *cells = json.loads(text)
            if number >= first_line and number > header_line:
                row: dict[Any, Any] = dict(zip(header, cells, strict=False))
                # The width of a sheet without a header is a guess from its first rows.
                if not header_line and len(cells) > len(header):
                    row[None] = cells[len(header) :]
                yield Record(number, row, len(text))

    def rows(self) -> Iterable[str]:
        """All rows of the sheet; of a `FileHead`, the first ones."""
        if self.file.is_head or self.head.is_whole:
            return self.head.rows
        self.spooled.seek(0)
        return islice(self.spooled, 1, None)

    @cached_property
    def spooled(self) -> IO[str]:
        """A file with all rows of the sheet, below a line that says which sheet."""
        title = json.dumps({"sheet": self.head.place}) + "\n"
        rows = cached_rows(self.file.cache, title) or self.spool(title)
        # Python warns of a file that nobody has closed.
        weakref.finalize(self, rows.close)
        return rows

    def spool(self, title: str) -> IO[str]:
        cache = self.file.cache
        with unpacked_file(self.file) as file:
            lines = lines_of(file.name, self.file.max_unpacked, str(self.head.place))
            if cache:
                replace_text(cache, chain([title], lines))
                return cache.open(encoding="ascii")
            rows = TemporaryFile("w+", dir=folder_beside(self.file.path), encoding="ascii")  # noqa: SIM115 - closed by `spooled`
            rows.writelines(chain([title], lines))
        return rows


def cached_rows(cache: Path | None, title: str) -> IO[str] | None:
    """The rows that are kept in `cache`, if they are of the sheet that `title` says."""
    if not cache or not cache.exists():
        return None
    rows = cache.open(encoding="ascii")
    if rows.readline() == title:
        return rows
    rows.close()
    return None


def replace_text(path: Path, lines: Iterable[str]) -> None:
    """Writes `lines` to `path`, all or none."""
    with NamedTemporaryFile("w", dir=path.parent, encoding="ascii", delete=False) as file:
        try:
            file.writelines(lines)
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def unpacked_file(file: InputFile) -> IO[bytes]:
    """The workbook as a file that is not gzipped."""
    if not is_gzip(file.path):
        return file.path.open("rb")
    unpacked = NamedTemporaryFile(dir=folder_beside(file.path))  # noqa: SIM115 - the caller closes it
    unpacked.writelines(file.blocks())
    unpacked.flush()
    return unpacked


def folder_beside(path: Path) -> Path | None:
    """The folder of `path` for temporary files, which has room for files of this size; None, the
    folder of the system, if nobody may write there."""
    return path.parent if os.access(path.parent, os.W_OK) else None


def lines_of(name: str, max_unpacked: float, sheet: str) -> Iterator[str]:
    """The lines that `sheet_program` writes about the workbook `name`, without the last. `sheet`:
    the index of a sheet, or `heads`. Raises `UnreadableFile`."""
    most = str(int(min(max_unpacked, MAX_UNPACKED)))
    command = [sys.executable, "-P", str(PROGRAM), name, most, sheet]
    line, size = "", 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii"
    ) as process:
        try:
            for line in process.stdout or ():
                size += len(line)
                if size > MAX_TEXT:
                    raise UnreadableFile(_(TOO_LARGE))
                if not line.startswith(('"', '{"refused"')):
                    yield line
        finally:
            process.kill()
    end = json.loads(line) if line.endswith("\n") else None
    if isinstance(end, dict):
        numbers = {name: grouped(number) for name, number in end["numbers"].items()}
        raise UnreadableFile(_(end["refused"]) % numbers)
    if end != "done":
        raise UnreadableFile(_(TOO_LARGE))


def heads_of(lines: Iterable[str]) -> Iterator[SheetHead]:
    """The sheets that have rows. A database cannot store some characters that a name may have."""
    rows: list[str] = []
    for line in lines:
        if line.startswith("["):
            rows.append(line)
            continue
        end = json.loads(line)
        if rows:
            name = UNSTORABLE.sub("�", end["name"]).strip()[:MAX_SHEET_NAME]
            yield SheetHead(name, end["index"], end["is_whole"], rows)
        rows = []


def named(name: str, heads: list[SheetHead]) -> SheetHead:
    """Raises `UnreadableFile` if no sheet has this name."""
    if found := next((head for head in heads if head.name == name), None):
        return found
    names = ", ".join(f"“{shortened(head.name)}”" for head in heads[:10])
    raise UnreadableFile(
        _("No sheet with values has the name “%(name)s”. Choose: %(names)s.")
        % {"name": shortened(name), "names": names}
    )


def first_with_header(heads: list[SheetHead], *, is_given: bool) -> SheetHead:
    """The first sheet with a known column; if there is none, the first sheet whose first row may
    be a header, because the user may map its columns. `is_given`: whether the user has said which
    row is the header. Raises `UnreadableFile`."""
    if found := next((head for head in heads if head.header), None):
        return found
    for head in heads:
        if is_given or not is_data(head.first_rows[0].cells):
            return head
    raise UnreadableFile(_(NO_HEADER))
