"""A contact as cells of text, for formats that are tables: CSV and workbooks."""

from collections.abc import Callable
from datetime import UTC
from typing import Any

from contacts.importing.cells import tags_text, text_of
from contacts.importing.options import CLEAR_MARKER
from contacts.values import rules
from contacts.values.formulas import neutral

Guard = Callable[[str], str]


def row(contact: dict[str, Any], fields: list[str], guard: Guard) -> list[str]:
    """The cells of `contact`, one for each of `fields`. `guard`: `readable` or `neutral`."""
    return [cell(contact[name], guard) for name in fields]


def cell(value: Any, guard: Guard) -> str:
    if isinstance(value, str):
        return guard(value)
    if not value:
        return ""
    if isinstance(value, dict):
        return rules.spelled(value)
    if isinstance(value, list):
        return guard(tags_text(value))
    return moment(value)


def readable(text: str) -> str:
    """`text` as a cell from which an import reads `text` again.

    An import takes an apostrophe before a formula away, and empties a field for the clear marker.
    An apostrophe before such a cell prevents both. All other cells stay as they are.
    """
    is_changed = text == CLEAR_MARKER or text_of(text) != text
    return neutral(text) if is_changed else text


def moment(value: Any) -> Any:
    """A time as ISO 8601 text in UTC, with microseconds if it has any; other values unchanged."""
    return value.astimezone(UTC).isoformat() if hasattr(value, "isoformat") else value
