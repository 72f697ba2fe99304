"""What a contact takes over from the contacts that are merged into it, in words."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from contacts import schema
from contacts.change_log.difference import CONSENT
from contacts.models import Contact
from contacts.values.rules import spelled


def taken_over(kept: Contact, contacts: Sequence[Contact]) -> Iterator[str]:
    """The values that `kept` has after a merge of `contacts`, field by field, and from which phone
    each value comes. Fields that were the same in all of them are left out."""
    for field in schema.FIELDS:
        if field.merge is schema.Merge.OWN or not (field.is_edited or field.name in CONSENT):
            continue
        values = {contact.phone: getattr(contact, field.name) for contact in contacts}
        result = getattr(kept, field.name)
        if not result and any(values.values()):
            yield f"{field.name} emptied"
        elif any(value != result for value in values.values()):
            source = next(
                (f"from {phone}" for phone in values if values[phone] == result), "of all"
            )
            yield f"{field.name} {in_words(result)} {source}"


def in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return spelled(value)
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else f"“{value}”"
