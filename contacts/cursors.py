"""Positions in a list, for a caller to hand back: opaque, and of no use elsewhere."""

from datetime import datetime
from typing import Any

from django.core import signing

from .models import Contact


def write(contact: Contact, *scope: Any) -> str:
    """The position behind `contact` in the list that `scope` (tenant, filters) describes."""
    position = [contact.updated_at.isoformat(), contact.pk]
    return signing.dumps(position, salt=salt(scope), compress=False)


def read(cursor: str, *scope: Any) -> tuple[datetime, str]:
    """What `write` was given; raises `ValueError` for a cursor of another list, or of nobody."""
    try:
        moment, pk = signing.loads(cursor, salt=salt(scope))
    except signing.BadSignature as error:
        sentence = "The cursor is not one of this list; send the filters that it came with."
        raise ValueError(sentence) from error
    return datetime.fromisoformat(moment), pk


def salt(scope: tuple[Any, ...]) -> str:
    return f"contacts.cursors {scope!r}"
