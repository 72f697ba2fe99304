"""What staff hand out about a person: the file of all data, and the proof of consent."""

import json
import re
from datetime import UTC, datetime
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from contacts.change_log.cause import caused_by
from contacts.models import Change, Contact
from contacts.writing import consent, edit, merge
from contacts.writing.consent import Decision
from tenants.fields import new_ulid
from tests.support.admin import logged_in, staff_of, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory
from tests.support.undo import OTHER

pytestmark = pytest.mark.django_db
MAY, JUNE, JULY = (datetime(2026, month, 1, 8, tzinfo=UTC) for month in (5, 6, 7))
OPTED_IN, OPTED_OUT = Change.Kind.OPTED_IN, Change.Kind.OPTED_OUT
ATTACK = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ada", email="a@x.example")


@pytest.fixture
def viewer(acme: SimpleNamespace) -> Client:
    return logged_in(staff_of(acme.tenant, "view_contact"))


def decide(contact: Contact, *decision: Any, actor: str = "user:0") -> None:
    with caused_by(actor):
        consent.decide_one(contact.tenant, {"contact_id": contact.pk}, Decision(*decision))


def parts(client: Client, contact: Contact) -> dict[str, str]:
    """The text of the page below each of its headings; first the text above all headings."""
    answer: Any = client.get(url(Contact, "proof", contact.pk))
    assert answer.status_code == 200, answer
    page = answer.content.decode().partition('<div class="prose-like">')[2].partition("</main>")[0]
    heads, *rest = re.split(r"<h2>(.*?)</h2>", page)
    found = {"": heads} | dict(zip(rest[::2], rest[1::2], strict=True))
    return {k: " ".join(unescape(re.sub(r"<[^>]+>", " ", v)).split()) for k, v in found.items()}


@pytest.mark.both
def test_the_proof_says_what_was_agreed_how_who_recorded_it_and_what_happened_since(
    viewer: Client, acme: SimpleNamespace, ada: Contact
) -> None:
    decide(ada, OPTED_OUT, MAY, "phone call")
    decide(ada, OPTED_IN, JUNE, "checkout", f"order 17 {ATTACK}", actor=acme.token.actor)
    edit.change(ada, name="Ada King", keep_former=True, phone=OTHER)
    edit.change(ada, tags=["vip"])
    decide(ada, OPTED_OUT, JULY, "letter")
    shown = parts(viewer, ada)
    assert [*shown] == ["", "Consent", "Since then", "Before"]
    for told in ("Acme Co.", "+1 415-555-0124", "Former phones +1 415-555-0123", "Printed 20",
                 "Do not contact: opted out on 2026-07-01"):  # fmt: skip
        assert told in shown[""]
    for told in ("When 2026-06-01 08:00:00 UTC", "How it was given checkout",
                 f"Proof order 17 {ATTACK}",
                 f"Recorded by {acme.token.actor} (tests)"):  # fmt: skip
        assert told in shown["Consent"]
    for told in (f"phone: {PHONE} → {OTHER}", "Opted Out", "source: letter"):
        assert told in shown["Since then"]
    assert "source: phone call" in shown["Before"]
    assert "1 other change did not concern consent or the phone." in shown["Before"]
    assert "King" not in shown["Since then"], "only consent and phones"
    assert ATTACK not in viewer.get(url(Contact, "proof", ada.pk)).content.decode()


def test_the_proof_also_has_the_opt_in_of_a_merged_contact(
    viewer: Client, acme: SimpleNamespace, ada: Contact
) -> None:
    other = ContactFactory.create(tenant=acme.tenant, phone=OTHER)
    decide(ada, OPTED_IN, MAY, "fair")
    decide(other, OPTED_IN, JUNE, "shop")
    merge.merge_into(acme.tenant, ada.pk, [other.pk])
    shown = parts(viewer, ada)
    assert "How it was given shop" in shown["Consent"], "the one that is in force"
    assert "source: fair" in shown["Before"]
    assert "Merged" in shown["Since then"]


def test_without_a_recorded_opt_in_the_proof_says_so(viewer: Client, ada: Contact) -> None:
    Contact.objects.update(opted_in_at=MAY)
    shown = parts(viewer, ada)
    assert "No opt-in is recorded with its time and source." in shown["Consent"]
    assert "Created" in shown["What is recorded"]


def test_all_data_of_a_person_is_a_download_whose_name_has_no_phone(
    viewer: Client, ada: Contact
) -> None:
    page = viewer.get(url(Contact, "change", ada.pk)).content.decode()
    for name in ("known", "proof"):
        assert f'href="{url(Contact, name, ada.pk)}"' in page
    answer: Any = viewer.get(url(Contact, "known", ada.pk))
    assert re.fullmatch(
        rf'attachment; filename="person-{ada.pk}-[\d-]{{10}}.json"', answer["Content-Disposition"]
    )
    assert json.loads(answer.content)["Contact"]["Email"] == "a@x.example"
    assert LogEntry.objects.get().object_repr == "All data of a person: 1 contact"


def test_only_staff_of_the_tenant_who_may_view_contacts_get_either(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, ada: Contact
) -> None:
    for name in ("known", "proof"):
        address = url(Contact, name, ada.pk)
        assert logged_in(staff_of(acme.tenant, "view_tag")).get(address).status_code == 403
        for user in (staff_of(globex.tenant), staff_of(None)):
            client = logged_in(user)
            answers = [client.get(address), client.get(url(Contact, name, new_ulid()))]
            assert [answer.status_code for answer in answers] == [302, 302]
            assert answers[0].headers["Location"] == answers[1].headers["Location"]
        for client in (logged_in(outsider.user), Client()):
            assert reverse("admin:login") in client.get(address).headers["Location"]
    assert not LogEntry.objects.exists()
