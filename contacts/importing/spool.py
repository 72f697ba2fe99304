"""The spool: one line of text for each record, with the clean row or the error.

An import writes the spool while it reads the file, and writes contacts when the spool is complete.

This module imports no models, so that the reading processes need not set up Django.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple

from contacts.db import rows
from tenants.fields import bits

from .records import Record
from .row import BadRecord, ReadOptions, clean


class SpoolLine(NamedTuple):
    """A record in the spool: a clean row, or an `error` and no phone.

    `id`: the id that a new contact gets, as hexadecimal digits.
    `given`: the names of the fields that the row sets; `-metadata` means that the row clears the
    metadata.
    `values`: id, phone and the given fields, as the JSON object that `upsert_rows` takes.
    """

    line: int
    id: str
    phone: str
    given: tuple[str, ...]
    values: str
    error: str = ""


def spool_text(record: Record, options: ReadOptions, dialect: Any, row_id: str) -> str:
    """The line of the spool for `record`. Tabs separate its parts: JSON escapes tabs in values."""
    try:
        fields = clean(record.cells, options)
    except BadRecord as error:
        return f"{record.line}\t\t\t\t{json.dumps(str(error))}\n"
    given = ["-metadata" if fields.get("metadata", "") is None else "metadata"]
    given = [*sorted(fields.keys() - {"phone", "metadata"}), *given * ("metadata" in fields)]
    if "metadata" in fields:
        fields["metadata"] = fields["metadata"] or {}
    head = f"{record.line}\t{row_id}\t{fields['phone']}\t{','.join(given)}"
    return f"{head}\t{rows.row_in_json(row_id, fields, dialect.moment)}\n"


def read_chunk(records: list[Record], options: ReadOptions, dialect: Any) -> str:
    """The lines of the spool for `records`. `dialect`: of the database, see
    `contacts.db.dialects`."""
    return "".join(spool_text(record, options, dialect, f"{next(bits):032x}") for record in records)


def parse(text: str) -> SpoolLine:
    line, row_id, phone, given, values = text.split("\t", 4)
    error = "" if phone else json.loads(values)
    return SpoolLine(int(line), row_id, phone, names(given), values, error)


@lru_cache
def names(given: str) -> tuple[str, ...]:
    return tuple(filter(None, given.split(",")))
