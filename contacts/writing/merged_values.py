"""What each field holds after a merge of contacts, the first of which stays: see `schema.Merge`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contacts import schema
from contacts.models import Contact
from contacts.schema import Kind, Merge
from contacts.values import rules

# The fields whose value a person or a program may choose. Consent is not among them: a merge must
# not opt anybody in.
CHOSEN = [field.name for field in schema.FIELDS if field.is_edited]


def merged_values(contacts: Sequence[Contact], choose: Mapping[str, str]) -> dict[str, Any]:
    """What the fields hold that the first of `contacts` takes over.

    `choose`: for fields of `CHOSEN`, the id of the contact whose value stays instead. Raises
    `ValueError` where all tags or all metadata together are more than a contact may have.
    """
    by_pk = {contact.pk: contact for contact in contacts}
    chosen = {name: getattr(by_pk[pk], name) for name, pk in choose.items()}
    return chosen | {
        field.name: MERGES[field.merge](field, contacts)
        for field in schema.FIELDS
        if field.merge in MERGES and field.name not in chosen
    }


def values_of(field: schema.Field, contacts: Iterable[Contact]) -> list[Any]:
    """The values of the contacts, in their order, without the empty ones."""
    return [*filter(None, (getattr(contact, field.name) for contact in contacts))]


def by_age(contacts: Sequence[Contact]) -> list[Contact]:
    """The contacts in the order of their last update, the newest at the end."""
    return sorted(contacts, key=lambda contact: contact.updated_at)


def newest(field: schema.Field, contacts: Sequence[Contact]) -> Any:
    return next(reversed(values_of(field, by_age(contacts))), field.empty)


def all_of_them(field: schema.Field, contacts: Sequence[Contact]) -> Any:
    if field.kind is Kind.TAGS:
        return rules.tags([tag for tags in values_of(field, contacts) for tag in tags])
    metadata: dict[str, Any] = {}
    for keys in values_of(field, by_age(contacts)):
        metadata |= keys
    return rules.metadata(metadata)


def total(field: schema.Field, contacts: Sequence[Contact]) -> int:
    return sum(values_of(field, contacts))


def earliest(field: schema.Field, contacts: Sequence[Contact]) -> datetime | None:
    return min(values_of(field, contacts), default=None)


def latest(field: schema.Field, contacts: Sequence[Contact]) -> datetime | None:
    return max(values_of(field, contacts), default=None)


def if_all_opted_in(field: schema.Field, contacts: Sequence[Contact]) -> datetime | None:
    """The latest opt-in if all contacts are opted in; otherwise None, the stricter consent."""
    has_opted_in = (contact.opted_in_at and not contact.opted_out_at for contact in contacts)
    return latest(field, contacts) if all(has_opted_in) else None


MERGES: dict[Merge, Callable[[schema.Field, Sequence[Contact]], Any]] = {
    Merge.NEWEST: newest,
    Merge.ALL: all_of_them,
    Merge.SUM: total,
    Merge.EARLIEST: earliest,
    Merge.LATEST: latest,
    Merge.IF_ALL_OPTED_IN: if_all_opted_in,
}
