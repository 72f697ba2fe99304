"""Cursors: positions in a list, signed, that a caller sends back to get the next page.

The signature covers the tenant, the order and the filters of the list. A cursor is of no use for
another list, and nobody can make one up.
"""

from datetime import datetime
from typing import Any

from django.core import signing
from django.utils.translation import gettext as _

# First the value that orders the list: a time, the number of a transaction, or a text. Then the id
# of the row, and any further values of JSON.
Position = tuple[Any, ...]


def write(position: Position, *scope: Any) -> str:
    """The cursor for `position` in the list that `scope` describes.

    `scope`: whatever makes the list different from other lists: tenant, order, filters.
    """
    value, *rest = position
    return signing.dumps([as_json(value), *rest], salt=salt(scope), compress=False)


def read(cursor: str, *scope: Any) -> Position:
    """The position that `write` made `cursor` of.

    `scope` as in `write`. Raises `ValueError` if the cursor belongs to another list, or was not
    made by `write`.
    """
    try:
        value, *rest = signing.loads(cursor, salt=salt(scope))
    except signing.BadSignature as error:
        sentence = _(
            "This cursor belongs to another list; send the filters of the request that returned it."
        )
        raise ValueError(sentence) from error
    return from_json(value), *rest


def as_json(value: Any) -> Any:
    """A time as text, and a text as a list with one item, so that both can be distinguished."""
    if isinstance(value, datetime):
        return value.isoformat()
    return [value] if isinstance(value, str) else value


def from_json(value: Any) -> Any:
    """The inverse of `as_json`."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value[0] if isinstance(value, list) else value


def salt(scope: tuple[Any, ...]) -> str:
    """The text that makes the signature valid for one list only."""
    return f"contacts.finding.cursors {scope!r}"
