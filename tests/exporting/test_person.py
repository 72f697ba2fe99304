"""All that is known of a person, as one file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.utils import translation
from django.utils.translation import trans_real

from contacts.change_log.cause import caused_by
from contacts.exporting.person import LEFT_OUT, SECTIONS, file_of, known_of
from contacts.models import (
    BulkAction,
    Change,
    Contact,
    Delivery,
    Duplicate,
    Erasure,
    OptOut,
    StoredAnswer,
    Webhook,
)
from contacts.values.digests import phone_digest
from contacts.writing import consent, edit, merge, notes
from contacts.writing.consent import Decision
from tenants.fields import new_ulid
from tests.support.api import PHONE
from tests.support.factories import ContactFactory
from tests.support.sql import statements
from tests.support.undo import OTHER, bring, last_set

pytestmark = pytest.mark.django_db
MAY = datetime(2026, 5, 1, 8, tzinfo=UTC)
STRANGER = "+14155550199"


def test_each_table_is_in_the_file_or_named_with_the_reason_why_not() -> None:
    models = {*apps.get_app_config("contacts").get_models()} | {LogEntry}
    assert {*SECTIONS} | {*LEFT_OUT} == models
    assert not {*SECTIONS} & {*LEFT_OUT}


def full_person(member: SimpleNamespace, tmp_path: Path) -> Contact:
    """A contact with something in each section of the file."""
    tenant, user = member.tenant, member.user
    hook = Webhook.objects.create(tenant=tenant, url="https://crm.example/secret-path")
    earlier = ContactFactory.create(tenant=tenant, phone=PHONE, name="Ada before")
    earlier.delete()
    contact = ContactFactory.create(
        tenant=tenant, phone=PHONE, name="Ada", email="ada@x.example", tags=["vip"],
        metadata={"b": 1, "a": {"d": 1, "c": 2}},
    )  # fmt: skip
    with caused_by(f"user:{user.pk}"):
        consent.decide_one(
            tenant, {"phone": PHONE}, Decision(Change.Kind.OPTED_IN, MAY, "shop", "box ticked")
        )
    other = ContactFactory.create(tenant=tenant, phone=OTHER, name="Ada at work")
    with caused_by(f"user:{user.pk}"):
        notes.add(other, f"Likes {tenant.name}.")
    merge.merge_into(tenant, contact.pk, [other.pk])
    Change.objects.filter(contact_id=other.pk, kind="merged").update(actor=member.token.actor)
    contact.refresh_from_db()
    for change in tenant.changes.filter(contact_id=contact.pk, kind="opted_in"):
        Delivery.objects.create(
            tenant=tenant, webhook=hook, event="contact.opted_in", change=change
        )
    first, second = sorted([contact.pk, new_ulid()])
    Duplicate.objects.create(
        tenant=tenant, first_id=first, second_id=second, reasons=",email,", likelihood=60
    )
    digest = phone_digest(PHONE)
    Erasure.objects.create(tenant=tenant, digest=digest)
    OptOut.objects.create(tenant=tenant, digest=digest, opted_out_at=MAY)
    StoredAnswer.objects.create(
        tenant=tenant, token=1, key="k", request="", body=f"{PHONE} {STRANGER}"
    )
    BulkAction.objects.create(
        tenant=tenant, total=2, refused=2, refusals=[[PHONE, "100 tags"], [STRANGER, "no"]]
    )
    LogEntry.objects.create(
        user=user, action_flag=CHANGE, object_id=contact.pk, object_repr=PHONE,
        content_type=ContentType.objects.get_for_model(Contact), change_message="Changed name.",
    )  # fmt: skip
    return contact


@pytest.mark.both
def test_the_file_has_all_of_the_person_and_nobody_else(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path
) -> None:
    for member in (globex, acme):
        contact = full_person(member, tmp_path)
    ContactFactory.create(tenant=globex.tenant, phone=STRANGER, name="Gus of Globex")
    was_other = ContactFactory.create(tenant=acme.tenant, phone="+14155550177", name="Mistyped")
    edit.change(was_other, phone=STRANGER)
    job = bring(tmp_path / "fair.csv", f"phone,name\n{PHONE},Ada King\n", "--allow-erased")
    contact.refresh_from_db()
    text = file_of(contact)
    known = json.loads(text)
    assert all(known.values()), [label for label, found in known.items() if not found]
    assert known["Contact"]["Name"] == "Ada King"
    assert list(known["Contact"]["Metadata"]["a"]) == ["c", "d"], "the same on each database"
    assert known["Former phones"] == [OTHER]
    assert {one["Why"] for one in known["Other contacts of the person"]} == {
        "It was merged into this contact.", "It had the same phone when it was deleted or merged.",
    }  # fmt: skip
    [decision] = known["Consent"][:1]
    assert (decision["How it was given"], decision["Proof"]) == ("shop", "box ticked")
    assert decision["Recorded by"] == "staff"
    history = known["History"]
    assert {"Ada before", "Ada at work"} < {old_name(entry) for entry in history}
    assert {entry["By"] for entry in history} >= {"staff", "API", "import of fair.csv"}
    [note] = known["Notes"]
    assert (note["Text"], note["By"]) == (f"Likes {acme.tenant.name}.", "staff")
    [told] = known["Recipients"]
    assert (told["Recipient"], told["Event"]) == ("crm.example", "contact.opted_in")
    [refused] = known["Refused changes"]
    assert refused["Why"] == f"{PHONE} 100 tags"
    for nobody in (
        STRANGER, "Gus", "Mistyped", "secret-path", acme.user.email, acme.token.name, job,
    ):  # fmt: skip
        assert nobody not in text
    assert len(known["Actions of staff"]) == len(known["Stored answers of the API"]) == 1
    again = {label: found for label, found in known_of(contact).items() if "About" not in label}
    assert again == {label: found for label, found in known.items() if "About" not in label}


def test_the_file_is_in_english_whatever_the_language_of_the_page(
    acme: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = full_person(acme, tmp_path)
    monkeypatch.setattr(trans_real.DjangoTranslation, "gettext", lambda self, text: f"⟦{text}⟧")
    with translation.override("de"):
        assert "⟦" not in file_of(contact)
        assert translation.gettext("Name") == "⟦Name⟧"


def old_name(entry: dict[str, Any]) -> str | None:
    return entry["Changes"].get("Name", {}).get("old")


@pytest.mark.both
def test_contacts_that_were_only_mistaken_for_the_person_are_not_in_the_file(
    acme: SimpleNamespace,
) -> None:
    """A merge that was undone, and a phone that belonged to somebody else by mistake."""
    ada = ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ada")
    bob = ContactFactory.create(tenant=acme.tenant, phone=OTHER, name="Bob")
    with caused_by("user:1"):
        merge.merge_into(acme.tenant, ada.pk, [bob.pk])
    call_command("undo", "--change-set", last_set())
    eve = ContactFactory.create(tenant=acme.tenant, phone=STRANGER, name="Eve")
    edit.change(eve, phone="+14155550177")
    edit.change(ada, phone=STRANGER)
    eve.delete()
    ada.refresh_from_db()
    assert {entry["Contact"] for entry in known_of(ada)["History"]} == {ada.pk}


def test_the_statements_do_not_grow_with_the_history(acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    known_of(contact)  # fills caches
    before = len(statements(lambda: known_of(contact)))
    for number in range(5):
        edit.change(contact, name=f"{number}", tags=[f"{number}"])
    assert len(statements(lambda: known_of(contact))) == before <= 20
