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
    `warning`: why the row has lost fields. `earlier`: the lines of the rows whose values the row
    has taken over.
    """

    line: int
    id: str
    phone: str
    given: tuple[str, ...]
    values: str
    error: str = ""
    warning: str = ""
    earlier: tuple[int, ...] = ()

    @property
    def is_superseded(self) -> bool:
        return bool(self.phone) and not self.values

    def text(self) -> str:
        values = json.dumps(self.error) if self.error else self.values
        given, earlier = ",".join(self.given), ",".join(map(str, self.earlier))
        return text_of(self.line, self.id, self.phone, given, values, self.warning, earlier)

    def failed(self, error: str) -> "SpoolLine":
        return self._replace(phone="", given=(), values="", error=error, warning="")


def text_of(
    line: int,
    row_id: str,
    phone: str,
    given: str,
    values: str,
    warning: str = "",
    earlier: str = "",
) -> str:
    """The line of the spool. Tabs separate its parts: JSON escapes tabs in values."""
    last_parts = f"\t{json.dumps(warning)}" if warning or earlier else ""
    last_parts += f"\t{earlier}" if earlier else ""
    return f"{line}\t{row_id}\t{phone}\t{given}\t{values}{last_parts}\n"


def spool_text(record: Record, options: ReadOptions, dialect: Any, row_id: str) -> str:
    """The line of the spool for `record`."""
    try:
        fields, warnings = clean(record.cells, options)
    except BadRecord as error:
        return text_of(record.line, "", "", "", json.dumps(str(error)))
    given = sorted(fields.keys() - {"phone", "metadata"})
    if "metadata" in fields:
        given.append("-metadata" if fields["metadata"] is None else "metadata")
        fields["metadata"] = fields["metadata"] or {}
    if "+tags" in fields:
        fields["tags"] = fields.pop("+tags")
    values = rows.row_in_json(row_id, fields, dialect.moment)
    given_text = ",".join(given)
    return text_of(record.line, row_id, fields["phone"], given_text, values, " ".join(warnings))


def read_chunk(records: list[Record], options: ReadOptions, dialect: Any) -> str:
    """The lines of the spool for `records`. `dialect`: of the database, see
    `contacts.db.dialects`."""
    ids = bits.take(len(records))
    return "".join(
        spool_text(record, options, dialect, f"{one:032x}")
        for record, one in zip(records, ids, strict=True)
    )


def parse(text: str) -> SpoolLine:
    line, row_id, phone, given, values, *rest = text[:-1].split("\t")
    warning = json.loads(rest[0]) if rest else ""
    earlier = tuple(map(int, rest[1].split(","))) if len(rest) > 1 else ()
    values, error = (values, "") if phone else ("", json.loads(values))
    return SpoolLine(int(line), row_id, phone, names(given), values, error, warning, earlier)


@lru_cache
def names(given: str) -> tuple[str, ...]:
    return tuple(filter(None, given.split(",")))
