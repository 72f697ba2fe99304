"""What a contact takes over from the contacts that are merged into it, in words."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from contacts import schema
from contacts.change_log.difference import CONSENT
from contacts.models import Contact
from contacts.values.rules import spelled


class Taken(NamedTuple):
    """A field that has another value after the merge than one of the contacts had. `phone`: of the
    contact that had the value before; empty if the value comes from several of them, or if the
    field is empty now."""

    field: str
    value: Any
    phone: str

    def __str__(self) -> str:
        if not self.value:
            return f"{self.field} emptied"
        source = f"from {self.phone}" if self.phone else "of all"
        return f"{self.field} {in_words(self.value)} {source}"


def taken_over(kept: Contact, contacts: Sequence[Contact]) -> Iterator[str]:
    """In English words, see `values_taken_over`."""
    return map(str, values_taken_over(kept, contacts))


def values_taken_over(kept: Contact, contacts: Sequence[Contact]) -> Iterator[Taken]:
    """The values that `kept` has after a merge of `contacts`, field by field, and from which phone
    each value comes. Fields that were the same in all of them are left out."""
    for field in schema.FIELDS:
        if field.merge is schema.Merge.OWN or not (field.is_edited or field.name in CONSENT):
            continue
        values = {contact.phone: getattr(contact, field.name) for contact in contacts}
        result = getattr(kept, field.name)
        if not result and any(values.values()):
            yield Taken(field.name, result, "")
        elif any(value != result for value in values.values()):
            phone = next((phone for phone in values if values[phone] == result), "")
            yield Taken(field.name, result, phone)


def in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return spelled(value)
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else f"“{value}”"
