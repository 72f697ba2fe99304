"""A contact gets another phone: over the API, in the history, in webhooks, and back by undo."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from contacts.models import Change, Contact, Delivery, Webhook
from contacts.webhooks import outbox, payload
from contacts.writing import consent, former_phones
from contacts.writing.consent import Decision
from tenants.fields import new_ulid
from tests.support.api import PHONE, assert_error
from tests.support.cases import in_one_test
from tests.support.changes import settle
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.sql import statements
from tests.support.undo import OTHER, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db]
NEW = "+14155550177"


@pytest.fixture
def ann(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ann", tags=["vip"])


def change(member: SimpleNamespace, new_phone: Any = NEW, **fields: Any) -> Any:
    return member.api.act("update-contact", **{"phone": PHONE, "new_phone": new_phone} | fields)


def test_the_phone_changes_in_any_spelling_and_all_else_stays(
    acme: SimpleNamespace, ann: Contact
) -> None:
    answer = change(acme, "001 (415) 555-0177", name="Ann Lee")
    assert answer.status_code == 200
    assert answer.json()["id"] == ann.pk
    assert answer.json()["phone"] == NEW
    [entry] = Change.objects.filter(contact_id=ann.pk, kind="updated")
    assert entry.fields == {
        "phone": {"old": PHONE, "new": NEW}, "name": {"old": "Ann", "new": "Ann Lee"},
    }  # fmt: skip
    ann.refresh_from_db()
    assert (ann.phone, ann.name, ann.tags) == (NEW, "Ann Lee", ["vip"])
    assert acme.api.act("get-contact", phone=NEW).json()["id"] == ann.pk
    assert acme.api.create(PHONE).headers["Qyvo-Result"] == "created", "the old phone is free"


def test_a_national_phone_is_read_in_the_region_of_the_tenant(
    acme: SimpleNamespace, ann: Contact
) -> None:
    acme.tenant.default_region = "US"
    acme.tenant.save()
    assert change(acme, "415-555-0177").json()["phone"] == NEW


def test_the_same_phone_changes_nothing(acme: SimpleNamespace, ann: Contact) -> None:
    before = Contact.objects.values().get(), Change.objects.count()
    assert change(acme, "+1 415 555 0123").status_code == 200
    assert (Contact.objects.values().get(), Change.objects.count()) == before


def test_a_phone_that_another_contact_has_is_a_conflict(
    acme: SimpleNamespace, ann: Contact
) -> None:
    other = ContactFactory.create(tenant=acme.tenant, phone=NEW)
    before = [*Contact.objects.order_by("pk").values()]
    said = assert_error(change(acme, name="Ann Lee"), 409, "conflict")["message"]
    assert other.pk in said
    assert "merge-contacts" in said
    assert [*Contact.objects.order_by("pk").values()] == before, "nor does the name change"


def test_a_phone_of_another_tenant_is_free(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, ann: Contact
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, phone=NEW)
    assert_error(change(globex, contact_id=ann.pk), 404, "not_found")
    assert_error(change(outsider), 422, "no_workspace")
    assert change(acme).json()["phone"] == NEW
    theirs.refresh_from_db()
    assert (theirs.phone, theirs.tenant) == (NEW, globex.tenant)


@in_one_test("new_phone", ["", None, "12", "+1 415", 7, ["+14155550177"], {}, "\0"])
def test_what_is_no_phone_is_refused(acme: SimpleNamespace, ann: Contact, new_phone: Any) -> None:
    assert_error(change(acme, new_phone), 422, "validation_failed", "new_phone")
    assert Contact.objects.get().phone == PHONE


def test_the_new_phone_of_a_merged_contact_goes_to_the_contact_that_stayed(
    acme: SimpleNamespace, ann: Contact
) -> None:
    bob = ContactFactory.create(tenant=acme.tenant, phone=OTHER)
    acme.api.act("merge-contacts", contact_id=ann.pk, merge_ids=[bob.pk])
    answer = change(acme, contact_id=bob.pk)
    assert (answer.json()["id"], answer.json()["phone"]) == (ann.pk, NEW)
    assert answer.headers["Qyvo-Merged-Into"] == ann.pk


@pytest.mark.django_db(transaction=True)  # on PostgreSQL, webhooks read what is committed
def test_webhooks_name_the_phone_and_the_other_changed_fields_once(
    acme: SimpleNamespace, ann: Contact
) -> None:
    webhook = Webhook(tenant=acme.tenant, url="https://x.example/", events=["contact.updated"])
    outbox.create(webhook)
    change(acme, name="Ann Lee")
    settle()
    outbox.enqueue_deliveries()
    sent = [*Delivery.objects.filter(event="contact.updated")]
    [message] = payload.messages(webhook, sent)
    body = message.body.decode()
    assert '"changed":["name","phone"]' in body
    assert f'"phone":"{NEW}"' in body


def test_an_opt_out_stays_with_the_old_phone_and_comes_with_the_new(
    acme: SimpleNamespace, ann: Contact
) -> None:
    gone = ContactFactory.create(tenant=acme.tenant, phone=NEW, opted_out_at=timezone.now())
    acme.api.act("delete-contact", contact_id=gone.pk)
    change(acme)
    ann.refresh_from_db()
    assert ann.opted_out_at == gone.opted_out_at
    change(acme, OTHER, contact_id=ann.pk)
    acme.api.create(NEW)
    assert Contact.objects.get(phone=NEW).opted_out_at == gone.opted_out_at


def test_undo_gives_the_old_phone_back_unless_another_contact_has_it(
    acme: SimpleNamespace, ann: Contact
) -> None:
    change(acme, name="Ann Lee")
    change_set = last_set()
    assert acme.api.act("undo", change_set=change_set).json()["kept"] == []
    assert Contact.objects.values_list("phone", "name").get() == (PHONE, "Ann")
    acme.api.act("undo", change_set=last_set())
    assert Contact.objects.values_list("phone", "name").get() == (NEW, "Ann Lee")
    acme.api.create(PHONE)
    [kept] = acme.api.act("undo", change_set=change_set).json()["kept"]
    assert (kept["field"], kept["reason"]) == ("phone", "phone_taken")
    assert Contact.objects.get(pk=ann.pk).phone == NEW


def test_undo_keeps_the_consent_that_was_decided_after_the_change(
    acme: SimpleNamespace, ann: Contact
) -> None:
    change(acme)
    change_set = last_set()
    consent.decide_many([ann], Decision(Change.Kind.OPTED_OUT, timezone.now()))
    acme.api.act("undo", change_set=change_set)
    ann.refresh_from_db()
    assert (ann.phone, bool(ann.opted_out_at)) == (PHONE, True)


def test_a_change_of_phone_takes_a_fixed_number_of_statements(
    acme: SimpleNamespace, ann: Contact
) -> None:
    acme.api.act("update-contact", phone=PHONE, name="x")  # the first request costs more
    plain = len(statements(lambda: acme.api.act("update-contact", phone=PHONE, name="y")))
    asked = statements(lambda: change(acme))
    assert len(asked) == plain + 6, (
        "locks its former phones, and asks who has, or had, the phone, and whether its owner opted"
        " out"
    )


# Former phones


def former(contact: Contact) -> list[str]:
    return Contact.all_phones.former_phones([contact])[contact.pk]


def test_the_old_phone_is_kept_on_request_and_finds_the_contact(
    acme: SimpleNamespace, ann: Contact
) -> None:
    assert change(acme, keep_former=True, name="Ann Lee").json()["phone"] == NEW
    assert former(ann) == [PHONE]
    assert acme.api.act("get-contact", phone=PHONE).json()["phone"] == NEW
    assert acme.api.create(PHONE, name="Ann Lee", tags="vip").json()["id"] == ann.pk
    assert Contact.objects.count() == 1
    [entry] = Change.objects.filter(contact_id=ann.pk, kind="updated")
    assert entry.fields == {
        "phone": {"old": PHONE, "new": NEW}, "name": {"old": "Ann", "new": "Ann Lee"},
        "former_phones": {"added": [PHONE], "removed": []},
    }  # fmt: skip


def test_a_contact_takes_its_former_phone_back(acme: SimpleNamespace, ann: Contact) -> None:
    change(acme, keep_former=True)
    assert change(acme, PHONE, phone=NEW).json()["phone"] == PHONE
    assert former(ann) == []
    assert acme.api.create(NEW).headers["Qyvo-Result"] == "created"
    assert_error(change(acme, keep_former=True), 409, "conflict")
    assert former(ann) == []


def test_a_former_phone_of_another_contact_is_a_conflict(
    acme: SimpleNamespace, ann: Contact
) -> None:
    bob = ContactFactory.create(tenant=acme.tenant, phone=OTHER)
    change(acme, phone=OTHER, keep_former=True)
    said = assert_error(change(acme, OTHER), 409, "conflict")["message"]
    assert f"{OTHER} as a former phone: {bob.pk}" in said
    assert Contact.objects.get(pk=ann.pk).phone == PHONE


def test_undo_of_a_change_that_kept_the_old_phone_leaves_no_former_phone(
    acme: SimpleNamespace, ann: Contact
) -> None:
    change(acme, keep_former=True)
    assert acme.api.act("undo", change_set=last_set()).json()["kept"] == []
    assert (Contact.objects.get().phone, former(ann)) == (PHONE, [])
    acme.api.act("undo", change_set=last_set())
    assert (Contact.objects.get().phone, former(ann)) == (NEW, [PHONE])


def test_a_former_phone_whose_contact_is_gone_is_free(acme: SimpleNamespace, ann: Contact) -> None:
    """The version before deletes contacts and leaves their former phones."""
    former_phones.insert_many(acme.tenant.pk, {NEW: new_ulid()})
    assert change(acme).json()["phone"] == NEW
    assert Contact.all_phones.count() == 1


@pytest.mark.parametrize("keep_former", ["perhaps", 1, []])
def test_keep_former_is_true_or_false(
    acme: SimpleNamespace, ann: Contact, keep_former: Any
) -> None:
    answer = change(acme, keep_former=keep_former)
    assert_error(answer, 422, "validation_failed", "keep_former")


# Races


@pytest.mark.django_db(transaction=True)
def test_of_two_contacts_that_get_one_phone_at_once_one_gets_it(acme: SimpleNamespace) -> None:
    contacts = [ContactFactory.create(tenant=acme.tenant) for _ in range(8)]

    def call(number: int) -> int:
        return change(acme, contact_id=contacts[number].pk).status_code

    assert Counter(all_at_once(call, callers=8)) == {200: 1, 409: 7}
    assert Contact.objects.filter(phone=NEW).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_create_with_the_new_phone_at_once_makes_one_contact(
    acme: SimpleNamespace, ann: Contact
) -> None:
    def call(number: int) -> int:
        answer = change(acme) if number else acme.api.create(NEW)
        return answer.status_code

    created, changed = all_at_once(call, callers=2)
    assert created == 201
    assert changed in (200, 409)
    assert Contact.objects.filter(phone=NEW).count() == 1
    assert Contact.objects.count() == (1 if changed == 200 else 2)


def test_the_former_phones_of_contacts_of_two_tenants_are_found_together(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    """An export of a superuser has contacts of several tenants on a page."""
    ours, theirs = (ContactFactory.create(tenant=one.tenant) for one in (acme, globex))
    former_phones.insert(ours, ["+14155550191"])
    former_phones.insert(theirs, ["+14155550191", "+14155550192"])
    assert Contact.all_phones.former_phones([ours, theirs]) == {
        ours.pk: ["+14155550191"], theirs.pk: ["+14155550191", "+14155550192"]
    }  # fmt: skip
