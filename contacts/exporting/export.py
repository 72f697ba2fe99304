"""Contacts → a file that an import can read again.

A format is a module with a `header` and a `page`, which return text: `csv`, `ndjson`.
"""

from collections.abc import Iterator
from typing import Any

from contacts import schema
from contacts.db.expressions import IsAnyOf, packed_ids
from contacts.jobs.bulk_actions import ID_BYTES
from contacts.models import Contact, ContactQuerySet

from . import csv, ndjson

FIELDS = [field.name for field in schema.FIELDS if field.is_exported]
FORMATS = {"csv": csv, "ndjson": ndjson}
PAGE = 2000  # contacts


def select_ids(contacts: ContactQuerySet) -> bytes:
    """The ids of `contacts` at this moment, `ID_BYTES` bytes each, ordered by phone.

    One statement evaluates the filter once, however many pages the export has.
    """
    return packed_ids(contacts, "phone", "pk")


def export(ids: bytes, format_name: str) -> Iterator[str]:
    """The text of a file with the contacts that `select_ids` has found, page by page. A contact has
    the values that it has when its page is written; contacts that were deleted before are left out.

    `format_name`: one of `FORMATS`. Between two pages, the export keeps ids only, and no statement
    or transaction stays open: a slow reader must not hold a transaction for hours.
    """
    chosen = FORMATS[format_name]
    if header := chosen.header(FIELDS):
        yield header
    for contacts in pages(ids):
        yield chosen.page(contacts, FIELDS)


def pages(ids: bytes) -> Iterator[list[dict[str, Any]]]:
    step = PAGE * ID_BYTES
    for start in range(0, len(ids), step):
        digits = ids[start : start + step].hex(",", ID_BYTES).split(",")
        found = Contact.objects.filter(IsAnyOf("pk", digits))
        yield list(found.order_by("phone", "pk").values(*FIELDS))
