"""Contacts that had other phones before, and many callers who use all of them at once."""

from collections import Counter
from typing import Any

from contacts.change_log.cause import caused_by
from contacts.models import Contact, Outcome
from contacts.writing import former_phones, merge
from contacts.writing.upsert import replace_many
from tenants.fields import new_ulid
from tests.support.concurrency import all_at_once
from tests.support.sql import assert_links_match_tags

NOW, HAD, HAD_TOO = "+14155550999", "+14155550111", "+14155550222"


def merge_all(contacts: list[Contact], **choose: str) -> Contact:
    """The contact that stays: the oldest. `choose`: as in `merge.merge_into`."""
    stays, *others = sorted(contacts, key=lambda contact: contact.pk)
    return merge.merge_into(stays.tenant, stays.pk, [one.pk for one in others], choose).contact


def merged(tenant: Any, *phones: str, **fields: Any) -> Contact:
    """The contact that stays of contacts with these phones: the first."""
    with caused_by("command:test"):
        for phone in phones:
            tenant.contacts.update_or_create(phone=phone, defaults={"tags": ["vip"]} | fields)
        group = [tenant.contacts.get(phone=phone) for phone in phones]
    with caused_by("command:test", new_ulid()):
        return merge_all(group)


def of(contact: Contact) -> list[str]:
    return former_phones.of([contact])[contact.pk]


def race(tenant: Any, callers: int, calls_each: int = 1) -> None:
    """Creates with all phones of two contacts while they are merged."""
    calls = callers * calls_each
    phones = [NOW, HAD, HAD_TOO, "+14155550333"]
    merged(tenant, *phones[:2])
    merged(tenant, *phones[2:])

    def call(number: int) -> Any:
        if number == calls // 3:
            return merge_all([tenant.contacts.find(phone=p) for p in (NOW, HAD_TOO)])
        if number % 5 == 0:
            rows = [{"phone": phone, "name": f"n{number}"} for phone in phones[number % 3 :]]
            return [row.outcome for row in replace_many(tenant, rows, "api").values()]
        defaults = {"name": f"n{number}", "tags": ["vip", f"t{number % 7}"]}
        contact, _ = tenant.contacts.update_or_create(phone=phones[number % 4], defaults=defaults)
        return [contact.outcome]

    def call_some(caller: int) -> list[Any]:
        return [call(number) for number in range(caller, calls, callers)]

    done = [one for some in all_at_once(call_some, callers) for one in some]
    outcomes = Counter(outcome for one in done if isinstance(one, list) for outcome in one)
    assert Outcome.CREATED not in outcomes, outcomes
    assert sorted(Contact.all_phones.values_list("phone", flat=True)) == sorted(phones)
    assert len(of(tenant.contacts.get())) == 3
    assert_links_match_tags()
