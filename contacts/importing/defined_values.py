"""The cells of the fields that a tenant defines. Beside the way of reading a value stands the way
in which exports write it."""

import re
from typing import Any

from contacts.values import dates, rules
from contacts.values.defined_fields import DefinedField

from .cells import means_nothing

# What a workbook or a program may change on the way: control characters other than a line feed.
UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def value_in(field: DefinedField, raw: Any, order: str = dates.ISO) -> tuple[Any, str]:
    """The value of a cell, None if the cell means that there is none, and why the value does not
    fit the field. A value that does not fit is the cell itself."""
    try:
        return field.read(raw, order), ""
    except ValueError as error:
        if isinstance(raw, str) and means_nothing(raw):
            return None, ""
        return raw, str(error)


def read_keys(keys: dict[str, Any], fields: dict[str, DefinedField], order: str) -> list[str]:
    """Reads the cells in `keys`, the metadata keys of a record, by the definitions in `fields`.

    Returns a sentence for each value that does not fit. Removes the keys of cells that mean
    that there is no value. A key stays, as None, if its cell has the clear marker."""
    misfits = []
    for key, field in fields.items():
        if keys.get(key) is None:
            continue
        value, misfit = value_in(field, keys.pop(key), order)
        misfits += [misfit] * bool(misfit)
        if value is not None:
            keys[key] = value
    return misfits


def cell_of(field: DefinedField, value: Any) -> str:
    """The text of the cell from which an import reads `value` again. Empty if there is none: an
    empty cell changes nothing, and the column of the whole metadata has the value."""
    text = field.shown(value)
    if not text or text != text.strip() or UNSAFE.search(text):
        return ""
    read, _ = value_in(field, text)
    return text if rules.spelled(read) == rules.spelled(value) else ""
