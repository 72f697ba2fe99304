"""Contacts as CSV."""

import csv
import io
from typing import Any

from contacts.importing.cells import tags_text
from contacts.values import rules
from contacts.values.formulas import neutral

from .plain_values import plain


def header(fields: list[str]) -> str:
    return text([fields])


def page(contacts: list[dict[str, Any]], fields: list[str]) -> str:
    return text([[cell(contact[name]) for name in fields] for contact in contacts])


def cell(value: Any) -> str:
    """`value` as a cell that no spreadsheet runs as a formula; an import reads the same value."""
    if isinstance(value, dict):
        return rules.spelled(value) if value else ""
    if isinstance(value, list):
        return neutral(tags_text(value))
    return neutral(plain(value) or "")


def text(rows: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
