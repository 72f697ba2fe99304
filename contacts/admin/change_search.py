"""Finds the contacts that a person means by a text, also those that are deleted or merged."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from django.db.models.fields.json import KT
from django.http import HttpRequest

from contacts.models import ChangeQuerySet
from contacts.values import phones, rules
from contacts.values.folding import finder
from tenants.admin import user_of

from .finder import newest_matches

MAX_FOUND = 100  # contacts
MAX_ENDS = 5000  # of the last deleted and merged contacts, in which names are looked for


class Found(NamedTuple):
    """The ids of the contacts. `are_more`: whether more contacts match."""

    ids: list[str]
    are_more: bool


def contacts_of(request: HttpRequest, admin: Any, changes: ChangeQuerySet, text: str) -> Found:
    """The contacts that match `text`: an id, or a phone, name or e-mail as in the list of contacts.
    Contacts that were merged into one of them are found, too.

    `admin`: of contacts. `changes`: those that the user may see.
    """
    with suppress(ValueError):
        return with_merged(changes, [rules.contact_id(text.strip())])
    there = existing(request, admin, text)
    gone = [*of_phone(request, changes, text), *ended(changes, text)]
    return with_merged(changes, [*dict.fromkeys([*there, *gone])])


def with_merged(changes: ChangeQuerySet, ids: list[str]) -> Found:
    shown = ids[:MAX_FOUND]
    merged = changes.filter(into__in=shown).order_by("-pk").values_list("contact_id", flat=True)
    return Found([*shown, *merged[:MAX_FOUND]], len(ids) > MAX_FOUND)


def existing(request: HttpRequest, admin: Any, text: str) -> list[str]:
    """As the list of contacts finds them."""
    found = newest_matches(request, admin, text, MAX_FOUND + 1)
    return [contact.pk for contact in found]


def of_phone(request: HttpRequest, changes: ChangeQuerySet, text: str) -> list[str]:
    """The contacts that had this phone when they were deleted, or got another phone."""
    tenant = user_of(request).tenant
    try:
        phone = phones.normalise(text, tenant.default_region if tenant else "")
    except phones.PhoneError:
        return []
    had = changes.filter(fields__phone__old=phone, fields__has_key="phone").order_by("-pk")
    return [*had.values_list("contact_id", flat=True)[:MAX_FOUND]]


def ended(changes: ChangeQuerySet, text: str) -> Iterator[str]:
    """Those of the last `MAX_ENDS` ended contacts that have each word of the text in their name,
    phone or e-mail. Compared here, because the log has no folded names."""
    finders = [finder(word) for word in text.split()]
    held = (KT(f"fields__{name}__old") for name in ("name", "email", "phone"))
    last = changes.ends().order_by("-at").values_list("contact_id", *held)[:MAX_ENDS]
    for contact_id, *values in last:
        if all(any(is_in(value) for value in values if value) for is_in in finders):
            yield contact_id
