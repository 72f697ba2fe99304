"""Positions in a list, for a caller to hand back: opaque, and of no use elsewhere."""

from datetime import datetime
from typing import Any

from django.core import signing

# What the list is ordered by: a moment, the number of a transaction, or a text; then the id; then
# what else tells where it is.
Position = tuple[Any, ...]


def write(position: Position, *scope: Any) -> str:
    """The cursor for `position` in the list that `scope` (tenant, order, filters) describes."""
    place, *rest = position
    return signing.dumps([as_json(place), *rest], salt=salt(scope), compress=False)


def read(cursor: str, *scope: Any) -> Position:
    """What `write` was given; raises `ValueError` for a cursor of another list, or of nobody."""
    try:
        place, *rest = signing.loads(cursor, salt=salt(scope))
    except signing.BadSignature as error:
        sentence = "The cursor is not one of this list; send the filters that it came with."
        raise ValueError(sentence) from error
    return from_json(place), *rest


def as_json(place: Any) -> Any:
    """A moment as text, a text as a list that has nothing else."""
    if isinstance(place, datetime):
        return place.isoformat()
    return [place] if isinstance(place, str) else place


def from_json(place: Any) -> Any:
    if isinstance(place, str):
        return datetime.fromisoformat(place)
    return place[0] if isinstance(place, list) else place


def salt(scope: tuple[Any, ...]) -> str:
    return f"contacts.finding.cursors {scope!r}"
