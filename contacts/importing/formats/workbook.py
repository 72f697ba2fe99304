"""Workbooks: XLSX, XLS, ODS and XLSB. The first sheet with a header is read.

`sheet_program` reads the workbook in a process of its own, once, and this module keeps the rows in
a file: in `InputFile.cache`, or in a file that has no name.
"""

import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, NamedTuple

from ..columns import is_known
from ..records import Record, UnreadableFile
from .format import Format, InputFile
from .gzipped import is_gzip
from .header import MAX_HEADER_ROW, NO_HEADER, checked, header_row, is_data, titles_of, unique

MAX_UNPACKED = 1024**3  # bytes
MAX_TEXT = 2 * 1024**3  # bytes of the rows as text; one long text may stand in a million cells
SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # ZIP and OLE2
PROGRAM = Path(__file__).with_name("sheet_program.py")
TOO_LARGE = "The workbook is too large or damaged. Save it as CSV, or split it."


class Sheet(NamedTuple):
    """`rows`: the header and the rows below it, a line of JSON each: `[number, cell, …]`.
    `header_line`: the number of the header's row."""

    titles: list[str]
    header_line: int
    rows: IO[str]


class WorkbookFormat(Format):
    name = "workbook"
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

    @property
    def titles(self) -> list[str]:
        return self.sheet.titles

    @property
    def header_line(self) -> int:
        return self.sheet.header_line

    @property
    def names_columns(self) -> bool:
        return any(map(is_known, self.titles))

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records; the `line` of a record is the number of its row. Cells without a column are
        left out. Calling this method again ends the iterator of the call before."""
        header, rows = self.header, self.sheet.rows
        rows.seek(0)
        for text in islice(rows, 1, None):
            number, *cells = json.loads(text)
            if number >= first_line:
                yield Record(number, dict(zip(header, cells, strict=False)), len(text))

    @cached_property
    def sheet(self) -> Sheet:
        rows = self.rows()
        # Python warns of a file that nobody has closed.
        weakref.finalize(self, rows.close)
        rows.seek(0)
        number, *cells = json.loads(rows.readline())
        return Sheet(checked(titles_of(cells)), number, rows)

    def rows(self) -> IO[str]:
        cache = self.file.cache
        if cache and cache.exists():
            return cache.open(encoding="ascii")
        with unpacked_file(self.file) as file:
            rows = first_sheet(lines_of(file.name, self.file.max_unpacked), self.file.path)
        if cache:
            store(rows, cache)
        return rows


def store(rows: IO[str], path: Path) -> None:
    """Writes a copy of `rows` to `path`, whole or not at all."""
    rows.seek(0)
    with NamedTemporaryFile("w", dir=path.parent, encoding="ascii", delete=False) as file:
        shutil.copyfileobj(rows, file)
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


def lines_of(name: str, max_unpacked: float) -> Iterator[str]:
    """The lines that `sheet_program` writes about the workbook `name`, without the last."""
    most = str(int(min(max_unpacked, MAX_UNPACKED)))
    command = [sys.executable, "-P", str(PROGRAM), name, most]
    line = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii"
    ) as process:
        try:
            for line in process.stdout or ():
                if line[:1] in {"[", "n"}:
                    yield line
        finally:
            process.kill()
    end = json.loads(line) if line.endswith("\n") else None
    if isinstance(end, dict):
        raise UnreadableFile(end["refused"])
    if end != "done":
        raise UnreadableFile(TOO_LARGE)


def first_sheet(lines: Iterator[str], path: Path) -> IO[str]:
    """The rows of the first sheet with a header, from the header on. If no sheet has a known
    column, it is the first sheet with values, and its first row is the header.

    `path`: see `folder_beside`. Raises `UnreadableFile`.
    """
    spare: IO[str] | None = None
    has_values = False
    for is_end, sheet in groupby(lines, "null\n".__eq__):
        if is_end:
            continue
        head = [*islice(sheet, MAX_HEADER_ROW)]
        cells = [json.loads(line)[1:] for line in head]
        header = header_row(cells)
        if header is None and (spare or is_data(cells[0])):
            has_values = True
            continue
        rows = kept(chain(head[header or 0 :], sheet), path)  # noqa: B031 - `head` has the first ones
        if header is not None:
            if spare:
                spare.close()
            return rows
        spare = rows
    if spare is None:
        raise UnreadableFile(NO_HEADER if has_values else "The workbook has no sheet with values.")
    return spare


def kept(lines: Iterable[str], path: Path) -> IO[str]:
    rows = TemporaryFile("w+", dir=folder_beside(path), encoding="ascii")  # noqa: SIM115 - closed by `sheet`
    size = 0
    for line in lines:
        size += len(line)
        if size > MAX_TEXT:
            rows.close()
            raise UnreadableFile(TOO_LARGE)
        rows.write(line)
    return rows
