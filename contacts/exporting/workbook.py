"""Contacts as an Excel workbook (XLSX), for people: each cell is text, so that a spreadsheet
neither runs a formula nor turns a phone into a number."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError, FileSizeError
from xlsxwriter.utility import xl_range
from xlsxwriter.worksheet import Worksheet

from contacts.jobs.files import data_folder
from contacts.values.translation import gettext as _
from contacts.values.translation import grouped

from .cells import readable, row
from .formats import NotExportable, Page

CHUNK = 256 * 1024  # bytes
# The limits of Excel. A cell counts UTF-16 units.
MAX_CONTACTS = 1_048_575  # and the row of the names
MAX_CELL = 32_767
WIDTHS = {"phone": 18, "name": 28, "email": 30, "tags": 24, "metadata": 40}  # characters
WIDTH = 12


class Sheet(Worksheet):
    def _xml_rich_inline_string(self, string: str, attributes: Any) -> None:
        """XlsxWriter copies a text such as `<r>Ann</r>` into the file as markup of its own. Such a
        name would damage the workbook, and cells of an export have no markup."""
        self._xml_inline_string(string, True, attributes)

    def take_rows(self, following: int) -> bytes:
        """Takes the rows out of the sheet that were written since the last call, as they stand in
        the file. `following`: the number of the next row, from 0."""
        self._write_single_row(following)  # XlsxWriter keeps the last row back until the next one
        file = self.row_data_fh
        file.seek(0)
        rows = file.read()
        file.seek(0)
        file.truncate()
        return str(rows).encode()

    def put_rows(self, rows: gzip.GzipFile, following: int) -> None:
        """Puts rows from `take_rows` below those that were written."""
        self._write_single_row(following)
        self.row_data_fh.flush()
        copyfileobj(rows, self.row_data_fh.buffer, CHUNK)
        self.dim_rowmax = following - 1


class Xlsx:
    """The rows wait in files of the data folder, because the beginning of a workbook is known last.
    `/tmp` may be in memory."""

    label = "Excel (XLSX)"
    extension = "xlsx"
    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    is_streamed = False
    is_table = True

    def pieces(self, pages: Iterable[Page], fields: list[str]) -> Iterator[bytes]:
        with TemporaryDirectory(dir=data_folder("exports")) as folder:
            path = Path(folder) / "workbook.xlsx"
            with opened(path, fields) as (book, sheet):
                write_rows(sheet, chain.from_iterable(pages), fields)
                save(book)
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk

    def parts(
        self, pages: Iterable[Page], fields: list[str], contacts: int | None
    ) -> Iterator[bytes]:
        """The rows of each page, gzipped: as text they take ten times as much."""
        written = contacts or 0
        with (
            TemporaryDirectory(dir=data_folder("exports")) as folder,
            opened(Path(folder) / "unused", fields) as (_, sheet),
        ):
            sheet.take_rows(written + 1)  # the header
            for page in pages:
                write_rows(sheet, page, fields, written)
                written += len(page)
                yield gzip.compress(sheet.take_rows(written + 1), compresslevel=1)

    def complete(self, parts: Path, fields: list[str], contacts: int) -> Path:
        """This takes a tenth of the time that the rows have taken."""
        path = parts.with_name("workbook.xlsx")
        with opened(path, fields) as (book, sheet):
            if contacts:
                with gzip.open(parts) as rows:
                    sheet.put_rows(rows, contacts + 1)
            save(book)
        return path


@contextmanager
def opened(path: Path, fields: list[str]) -> Iterator[tuple[Workbook, Sheet]]:
    """A new workbook with one sheet that has the names of the columns. Only one row at a time is in
    memory."""
    book = Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
    sheet = book.add_worksheet("Contacts", worksheet_class=Sheet)
    try:
        style(book, sheet, fields)
        yield book, sheet
    finally:
        sheet._opt_close()  # the file with the rows, which stays open if the workbook is given up


def save(book: Workbook) -> None:
    try:
        book.close()
    except FileSizeError as error:
        raise NotExportable(
            _("The workbook would be larger than 4 GB. Export the contacts as CSV or NDJSON.")
        ) from error
    except FileCreateError as error:  # such as a full disk
        raise OSError(str(error)) from error


def write_rows(
    sheet: Sheet, page: Iterable[dict[str, Any]], fields: list[str], above: int = 0
) -> None:
    """`above`: how many contacts the sheet has already."""
    for number, contact in enumerate(page, start=above + 1):
        if number > MAX_CONTACTS:
            raise NotExportable(
                _(
                    "A workbook holds at most %(most)s contacts. Export the contacts as CSV or"
                    " NDJSON."
                )
                % {"most": grouped(MAX_CONTACTS)}
            )
        for column, text in enumerate(row(contact, fields, readable)):
            if text and sheet.write_string(number, column, text) != 0:
                raise too_long(contact, fields[column])


def style(book: Workbook, sheet: Worksheet, fields: list[str]) -> None:
    """The names of the columns, which stay visible. Cells that people add later are text too."""
    text = book.add_format({"num_format": "@"})
    for column, name in enumerate(fields):
        sheet.set_column(column, column, WIDTHS.get(name, WIDTH), text)
    sheet.freeze_panes(1, 0)
    cells = xl_range(0, 0, MAX_CONTACTS, len(fields) - 1)
    sheet.ignore_errors({"number_stored_as_text": cells})
    sheet.write_row(0, 0, fields, book.add_format({"bold": True, "num_format": "@"}))


def too_long(contact: dict[str, Any], field: str) -> NotExportable:
    return NotExportable(
        _(
            "The %(field)s of %(phone)s has more than %(most)s characters, and a cell of a workbook"
            " holds no more. Export the contacts as CSV or NDJSON."
        )
        % {"field": _(field), "phone": contact["phone"], "most": grouped(MAX_CELL)}
    )
