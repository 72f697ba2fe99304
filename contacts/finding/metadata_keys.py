"""Which keys the metadata of a tenant's contacts has, from a sample.

No table counts keys: each write would have to keep it. To read all contacts would take minutes at a
million, so the keys come from a sample of bounded size, which the answer names.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db.models import TextField
from django.db.models.functions import Cast, Length

from contacts.db import keyset
from contacts.db.keyset import Order
from contacts.models import BY_CHANGE, Contact
from contacts.values import rules
from tenants.models import Tenant

SAMPLE = 2_000  # contacts: half of them the last changed ones, half those unchanged for longest
PART = 500  # contacts of one statement
MAX_CHARACTERS = 4_000_000  # of metadata; contacts may have 64 KiB each
MAX_KEYS = 500
MAX_EXAMPLE = 100  # characters
TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array",
         dict: "object", type(None): "null"}  # fmt: skip


class MetadataKey(NamedTuple):
    """A key. `number`: the contacts of the sample that have it. `type`: of the newest value that is
    not null. `example`: this value, if it is short and no list and no object."""

    key: str
    number: int
    type: str
    example: Any


class Sample(NamedTuple):
    """`contacts`: how many were read. `is_complete`: whether these are all contacts of the tenant,
    and `keys` has all their keys."""

    keys: list[MetadataKey]
    contacts: int
    is_complete: bool


def read(tenant: Tenant, part: str = "") -> Sample:
    """The keys of a sample that have `part` in them, in any case, the most frequent first."""
    sample = {contact.pk: contact.metadata for contact in contacts_of(tenant)}
    counts, values = Counter[str](), dict[str, Any]()
    for metadata in sample.values():
        counts.update(metadata.keys())
        for key, value in metadata.items():
            if values.get(key) is None:
                values[key] = value
    named = (key for key in counts if rules.folded(part) in rules.folded(key))
    ordered = sorted(named, key=lambda key: (-counts[key], key))
    shown = [described(key, counts[key], values[key]) for key in ordered[:MAX_KEYS]]
    number = tenant.contacts.all()[: SAMPLE + 1].count()
    return Sample(shown, len(sample), len(sample) >= number and len(ordered) <= MAX_KEYS)


def contacts_of(tenant: Tenant) -> Iterator[Contact]:
    """The contacts of the sample, from both ends of the list by change. Some come twice."""
    for order in (BY_CHANGE.reversed(), BY_CHANGE):
        yield from first(tenant, order)


def first(tenant: Tenant, order: Order) -> Iterator[Contact]:
    """The first contacts in `order`: half of the sample, or less if their metadata is large."""
    size = Length(Cast("metadata", TextField()))
    rows = tenant.contacts.only("tenant", "metadata", "updated_at").annotate(size=size)
    after, left, characters = None, SAMPLE // 2, MAX_CHARACTERS // 2
    while left > 0 and characters > 0:
        found: list[Any] = keyset.page(rows, order, after, min(PART, left))
        yield from found
        if len(found) < PART:
            return
        after, left = order.position(found[-1]), left - len(found)
        characters -= sum(contact.size for contact in found)


def described(key: str, count: int, value: Any) -> MetadataKey:
    is_shown = not isinstance(value, list | dict) and len(rules.spelled(value)) <= MAX_EXAMPLE
    return MetadataKey(key, count, TYPES[type(value)], value if is_shown else None)
