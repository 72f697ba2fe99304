"""The clean rows of a file, line by line: what an import writes after it has read all of it.

Knows no models, so that processes which read need not set Django up.
"""

import ctypes
import json
import signal
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from contacts.db import rows
from tenants.fields import bits

from .row import BadRecord, Options, clean
from .tabular import Record


class SpoolLine(NamedTuple):
    """A record as the spool has it: a clean row, or no phone but an `error`.

    `id`: for the contact if it is new, as hexadecimal digits. `given`: the fields that the row
    has; `-metadata` stands for one that clears them. `values`: id, phone and those, as the JSON
    object that `sql` takes.
    """

    line: int
    id: str
    phone: str
    given: tuple[str, ...]
    values: str
    error: str = ""


def spool_text(record: Record, options: Options, dialect: Any, row_id: str) -> str:
    """One line of the spool. Tabs part it: in JSON they are escaped."""
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


def read_chunk(records: list[Record], options: Options, dialect: Any) -> str:
    return "".join(spool_text(record, options, dialect, f"{next(bits):032x}") for record in records)


def parse(text: str) -> SpoolLine:
    line, row_id, phone, given, values = text.split("\t", 4)
    error = "" if phone else json.loads(values)
    return SpoolLine(int(line), row_id, phone, names(given), values, error)


@lru_cache
def names(given: str) -> tuple[str, ...]:
    return tuple(filter(None, given.split(",")))


def end_with_parent() -> None:
    """A process that reads must not outlive a parent that was killed (Linux: PR_SET_PDEATHSIG)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
