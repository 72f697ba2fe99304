"""Contacts → a file that an import takes back."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from . import rules
from .models import Contact, ContactQuerySet
from .tabular import neutral

FIELDS = [
    "phone", "name", "email", "tags", "locale", "metadata", "opted_in_at", "opted_out_at",
]  # fmt: skip
FORMATS = ("csv", "ndjson")
PAGE = 2000  # contacts


def export(contacts: ContactQuerySet, form: str) -> Iterator[str]:
    """The text of a file with `contacts`, piece by piece, ordered by phone.

    `form`: one of `FORMATS`. Memory does not grow with their number, and no statement or
    transaction outlives its piece.
    """
    if form == "csv":
        yield csv_text([FIELDS])
    for page in pages(contacts):
        if form == "csv":
            yield csv_text([[csv_cell(contact[name]) for name in FIELDS] for contact in page])
        else:
            yield "".join(f"{json_line(contact)}\n" for contact in page)


def pages(contacts: ContactQuerySet) -> Iterator[list[dict[str, Any]]]:
    ordered = Contact.objects.filter(pk__in=contacts.order_by().values("pk"))
    ordered = ordered.order_by("phone", "pk")
    page = list(ordered.values("pk", *FIELDS)[:PAGE])
    while page:
        yield page
        last = page[-1]
        behind = ordered.filter(phone__gte=last["phone"]).exclude(
            phone=last["phone"], pk__lte=last["pk"]
        )
        page = list(behind.values("pk", *FIELDS)[:PAGE])


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
