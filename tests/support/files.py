"""Files of contacts in several formats."""

import io
from collections.abc import Callable
from typing import Any

from xlsxwriter import Workbook


def card(*lines: str, version: str = "3.0") -> str:
    return "\r\n".join(["BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD", ""])


def table(*rows: list[Any], at: int = 0) -> bytes:
    def fill(book: Workbook) -> None:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows, at):
            sheet.write_row(number, 0, row)

    return xlsx(fill)


def xlsx(fill: Callable[[Workbook], Any]) -> bytes:
    file = io.BytesIO()
    with Workbook(file) as book:
        fill(book)
    return file.getvalue()
