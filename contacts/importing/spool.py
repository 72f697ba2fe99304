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
    """A record in the spool: a clean row, or an `error` and no phone, or a phone and no values if
    a later row of the file has taken over the values.

    `id`: the id that a new contact gets, as hexadecimal digits.
    `given`: the names of the fields that the row sets; `-metadata` means that the row clears the
    metadata, `+tags` that the contact keeps its other tags.
    `values`: id, phone and the given fields, as the JSON object that `upsert_rows` takes.
    `warning`: why the row has lost fields.
    """

    line: int
    id: str
    phone: str
    given: tuple[str, ...]
    values: str
    error: str = ""
    warning: str = ""

    @property
    def is_superseded(self) -> bool:
        return bool(self.phone) and not self.values

    def text(self) -> str:
        """The line of the spool. Tabs separate its parts: JSON escapes tabs in values."""
        values = json.dumps(self.error) if self.error else self.values
        warning = f"\t{json.dumps(self.warning)}" if self.warning else ""
        given = ",".join(self.given)
        return f"{self.line}\t{self.id}\t{self.phone}\t{given}\t{values}{warning}\n"


def spool_line(record: Record, options: ReadOptions, dialect: Any, row_id: str) -> SpoolLine:
    try:
        fields, warnings = clean(record.cells, options)
    except BadRecord as error:
        return SpoolLine(record.line, "", "", (), "", str(error))
    given = sorted(fields.keys() - {"phone", "metadata"})
    if "metadata" in fields:
        given.append("-metadata" if fields["metadata"] is None else "metadata")
        fields["metadata"] = fields["metadata"] or {}
    if "+tags" in fields:
        fields["tags"] = fields.pop("+tags")
    values = rows.row_in_json(row_id, fields, dialect.moment)
    warning = " ".join(warnings)
    return SpoolLine(record.line, row_id, fields["phone"], tuple(given), values, "", warning)


def read_chunk(records: list[Record], options: ReadOptions, dialect: Any) -> str:
    """The lines of the spool for `records`. `dialect`: of the database, see
    `contacts.db.dialects`."""
    return "".join(
        spool_line(record, options, dialect, f"{next(bits):032x}").text() for record in records
    )


def parse(text: str) -> SpoolLine:
    line, row_id, phone, given, values, *warning = text.rstrip("\n").split("\t")
    error = "" if phone else json.loads(values)
    told = json.loads(warning[0]) if warning else ""
    return SpoolLine(int(line), row_id, phone, names(given), "" if error else values, error, told)


@lru_cache
def names(given: str) -> tuple[str, ...]:
    return tuple(filter(None, given.split(",")))
