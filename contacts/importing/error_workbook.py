"""The error file of an import as a workbook. A spreadsheet program opens a CSV rightly only in some
countries: it expects the separator and the encoding of the country."""

import csv
from pathlib import Path
from typing import IO

from xlsxwriter import Workbook

from contacts.values.formulas import original

MAX_CELL = 32_767  # characters, a limit of XLSX


def write_workbook(errors: Path, output: IO[bytes], delimiter: str) -> None:
    """Writes the error file `errors`, a CSV with this `delimiter`, to `output` as XLSX. All cells
    are text: so phones keep their digits, and no formula runs."""
    options = {"constant_memory": True, "tmpdir": str(errors.parent)}
    with Workbook(output, options) as book, errors.open(encoding="utf-8", newline="") as file:
        sheet = book.add_worksheet()
        for number, row in enumerate(csv.reader(file, delimiter=delimiter)):
            for column, cell in enumerate(row):
                if cell:
                    sheet.write_string(number, column, original(cell)[:MAX_CELL])
