"""Contacts → a file that an import takes back."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from contacts import schema
from contacts.db.expressions import IsAnyOf, packed_ids
from contacts.importing.tabular import neutral
from contacts.jobs.bulk_actions import WIDTH
from contacts.models import Contact, ContactQuerySet
from contacts.values import rules

FIELDS = [field.name for field in schema.FIELDS if field.is_exported]
FORMATS = ("csv", "ndjson")
PAGE = 2000  # contacts


def settle(contacts: ContactQuerySet) -> bytes:
    """The ids of `contacts` as they are now, `WIDTH` bytes each, ordered by phone.

    One statement: whom a filter chooses is asked once, however many pages an export has.
    """
    return packed_ids(contacts, "phone", "pk")


def export(settled: bytes, form: str) -> Iterator[str]:
    """The text of a file with the contacts that `settle` has found, piece by piece, each as it is
    when its turn comes; those that are gone by then are left out.

    `form`: one of `FORMATS`. No more of a contact than its id is kept from piece to piece, and no
    statement or transaction outlives its piece.
    """
    if form == "csv":
        yield csv_text([FIELDS])
    for page in pages(settled):
        if form == "csv":
            yield csv_text([[csv_cell(contact[name]) for name in FIELDS] for contact in page])
        else:
            yield "".join(f"{json_line(contact)}\n" for contact in page)


def pages(settled: bytes) -> Iterator[list[dict[str, Any]]]:
    step = PAGE * WIDTH
    for start in range(0, len(settled), step):
        digits = settled[start : start + step].hex(",", WIDTH).split(",")
        found = Contact.objects.filter(IsAnyOf("pk", digits))
        yield list(found.order_by("phone", "pk").values(*FIELDS))


def plain(value: Any) -> Any:
    """A moment as text, to the microsecond; other values as they are."""
    return value.astimezone(UTC).isoformat() if hasattr(value, "isoformat") else value


def csv_cell(value: Any) -> str:
    """Nothing that a spreadsheet would run (OWASP, CSV injection); an import undoes it."""
    if isinstance(value, dict):
        return rules.spelled(value) if value else ""
    if isinstance(value, list):
        return neutral(",".join(value))
    return neutral(plain(value) or "")


def csv_text(rows: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()


def json_line(contact: dict[str, Any]) -> str:
    """Without what is empty."""
    given = {name: plain(contact[name]) for name in FIELDS if contact[name]}
    return json.dumps(given, ensure_ascii=False)
