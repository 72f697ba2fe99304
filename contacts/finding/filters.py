"""The filters of the contact list in the admin: one function per filter."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Substr
from django.db.models.lookups import In
from django.utils.timezone import make_aware

from contacts.db.expressions import MetadataHas
from contacts.models import ContactQuerySet, ContactTag, Tag
from contacts.values import countries, strict_json
from contacts.values.rules import spelled
from tenants.models import Tenant

# By consent: the person has opted in, has opted out, or has not decided.
CONSENTS = {
    "in": Q(opted_in_at__isnull=False, opted_out_at=None),
    "out": Q(opted_out_at__isnull=False),
    "none": Q(opted_in_at=None, opted_out_at=None),
}


def choose(contacts: ContactQuerySet, given: dict[str, Any]) -> ContactQuerySet:
    """The contacts that match all filters in `given`, by the names in `FILTERS`.

    A filter without a value matches all contacts.
    """
    for name, meaning in FILTERS.items():
        if given.get(name):
            contacts = meaning(contacts, given[name])
    return contacts


def of_tenant(contacts: ContactQuerySet, tenant: Tenant) -> ContactQuerySet:
    return contacts.filter(tenant=tenant)


def with_tag(contacts: ContactQuerySet, tag: Tag) -> ContactQuerySet:
    """The contacts with `tag`. The tenant is in the condition, because the index on links begins
    with tenant and tag and is ordered by contact.
    """
    return contacts.filter(links__tag=tag, links__tenant=tag.tenant_id)


def without_tag(contacts: ContactQuerySet, tag: Tag) -> ContactQuerySet:
    links = ContactTag.objects.filter(tenant=tag.tenant_id, tag=tag, contact=OuterRef("pk"))
    return contacts.exclude(Exists(links))


def of_country(contacts: ContactQuerySet, country: str) -> ContactQuerySet:
    """The contacts with a phone of `country`, by the rule of `contacts.values.countries`.

    The calling code is a range of the index on the phone.
    """
    numbers = countries.numbering()[country]
    contacts = contacts.filter(phone__gte=f"+{numbers.code}", phone__lt=f"+{numbers.code + 1}")
    if not numbers.is_main:
        return contacts.filter(begins_as(numbers))
    if numbers.code == countries.NORTH_AMERICA:
        shared = countries.sharing(numbers.code).values()
        areas = tuple(area for other in shared for area in other.areas)
        return contacts.exclude(begins_as(numbers._replace(areas=areas)))
    for other in countries.sharing(numbers.code).values():
        contacts = contacts.exclude(begins_as(other))
    return contacts


def begins_as(numbers: countries.Numbers) -> Q:
    """The condition that a phone has the calling code and the next digits of `numbers`."""
    if numbers.areas:
        return Q(In(Substr("phone", len("+1") + 1, countries.AREA), numbers.areas))
    return Q(phone__regex=rf"^\+{numbers.code}(?:{numbers.leading})")


def from_source(contacts: ContactQuerySet, source: str) -> ContactQuerySet:
    return contacts.filter(source=source)


def with_consent(contacts: ContactQuerySet, consent: str) -> ContactQuerySet:
    return contacts.filter(CONSENTS[consent])


def with_email(contacts: ContactQuerySet, has_one: str) -> ContactQuerySet:
    return contacts.exclude(email="") if has_one == "yes" else contacts.filter(email="")


def since(column: str) -> Callable[[ContactQuerySet, date], ContactQuerySet]:
    """A filter: the time in `column` is on the given day or later, in the current time zone."""
    return lambda contacts, day: contacts.filter(**{f"{column}__gte": midnight(day)})


def until(column: str) -> Callable[[ContactQuerySet, date], ContactQuerySet]:
    """A filter: the time in `column` is on the given day or earlier, in the current time zone."""
    return lambda contacts, day: contacts.filter(
        **{f"{column}__lt": midnight(day + timedelta(days=1))}
    )


def midnight(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min))


def with_metadata(contacts: ContactQuerySet, wanted: tuple[str, str]) -> ContactQuerySet:
    """The contacts that have a key in their metadata, not inside another key.

    `wanted`: the key and a text. If the text is empty, every value of the key matches. Otherwise
    the value must be this text, or the JSON value that is written like the text.
    """
    key, text = wanted
    values = (Value(spelled(value)) for value in read_as(text))
    return contacts.filter(MetadataHas("metadata", Value(key), *values))


def read_as(text: str) -> Iterator[Any]:
    """The values that a person may mean by `text`: 5 can be the number 5 or the text "5"."""
    if text:
        yield text
        with suppress(strict_json.MalformedJSON):
            yield strict_json.loads(text)


FILTERS: dict[str, Callable[[ContactQuerySet, Any], ContactQuerySet]] = {
    "tenant": of_tenant,
    "tag": with_tag,
    "without": without_tag,
    "country": of_country,
    "source": from_source,
    "consent": with_consent,
    "has_email": with_email,
    "created_from": since("created_at"),
    "created_to": until("created_at"),
    "updated_from": since("updated_at"),
    "updated_to": until("updated_at"),
    "metadata": with_metadata,
}
