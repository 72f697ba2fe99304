"""Contacts as CSV: for programs, or for people who open it in a spreadsheet."""

import csv
import io

from contacts.values.formulas import neutral

from .cells import readable, row
from .formats import Page, TextFormat

BYTE_ORDER_MARK = "\ufeff"  # without it, Excel takes UTF-8 for the code page of the computer


class Csv(TextFormat):
    """`for_spreadsheets`: with a byte order mark, and with an apostrophe before each cell that a
    spreadsheet would run as a formula. Otherwise programs get the values as they are."""

    label = "CSV"
    extension = "csv"
    content_type = "text/csv; charset=utf-8"
    is_table = True

    def __init__(self, *, for_spreadsheets: bool = False) -> None:
        self.guard = neutral if for_spreadsheets else readable
        self.mark = BYTE_ORDER_MARK if for_spreadsheets else ""

    def header(self, fields: list[str]) -> str:
        return self.mark + text([fields])

    def page(self, contacts: Page, fields: list[str]) -> str:
        return text([row(contact, fields, self.guard) for contact in contacts])


def text(rows: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
