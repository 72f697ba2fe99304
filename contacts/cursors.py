"""Positions in a list, for a caller to hand back: opaque, and of no use elsewhere."""

from datetime import datetime
from typing import Any

from django.core import signing

# What the list is ordered by: a moment, or the number of a transaction; then the id; then what
# else tells where it is.
Position = tuple[Any, ...]


def write(position: Position, *scope: Any) -> str:
    """The cursor for `position` in the list that `scope` (tenant, order, filters) describes."""
    place, *rest = position
    parts = [place.isoformat() if isinstance(place, datetime) else place, *rest]
    return signing.dumps(parts, salt=salt(scope), compress=False)


def read(cursor: str, *scope: Any) -> Position:
    """What `write` was given; raises `ValueError` for a cursor of another list, or of nobody."""
    try:
        place, *rest = signing.loads(cursor, salt=salt(scope))
    except signing.BadSignature as error:
        sentence = "The cursor is not one of this list; send the filters that it came with."
        raise ValueError(sentence) from error
    return datetime.fromisoformat(place) if isinstance(place, str) else place, *rest


def salt(scope: tuple[Any, ...]) -> str:
    return f"contacts.cursors {scope!r}"
