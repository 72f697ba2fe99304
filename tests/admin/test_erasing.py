"""Erasing a person in the admin, and the receipt."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.importing.storage import errors_of, upload_of
from contacts.models import (
    Change,
    Contact,
    Duplicate,
    Erasure,
    Export,
    Import,
    OptOut,
    StoredAnswer,
)
from contacts.writing import edit, former_phones, merge, notes
from tenants import roles
from tenants.fields import new_ulid
from tenants.models import Tenant
from tests.support.admin import logged_in, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, UserFactory
from tests.support.undo import OTHER

pytestmark = pytest.mark.django_db
BY_PHONE = reverse("admin:contacts_contact_erase_phone")
YES = {"confirmed": "on"}


def with_role(tenant: Tenant | None, role: str) -> Client:
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    return logged_in(user)


@pytest.fixture
def manager(acme: SimpleNamespace) -> Client:
    roles.grant(apps, roles.RIGHTS)
    return with_role(acme.tenant, roles.MANAGER)


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ada", email="ada@example.com",
        opted_out_at=timezone.now(),
    )  # fmt: skip


def page_of(contact: Contact) -> str:
    return url(Contact, "erase", contact.pk)


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def numbers() -> dict[str, int]:
    entry = LogEntry.objects.latest("pk")
    return json.loads(entry.change_message)["numbers"]


@pytest.mark.both
def test_a_manager_erases_a_person_and_gets_a_receipt_without_personal_data(
    manager: Client, acme: SimpleNamespace, globex: SimpleNamespace, ada: Contact
) -> None:
    ContactFactory.create(tenant=globex.tenant, phone=PHONE, name="Ada")
    edit.change(ada, keep_former=True, phone=OTHER)
    notes.add(ada, "Likes Lovelace.")
    manager.post(url(Contact, "delete", ContactFactory.create(tenant=acme.tenant).pk), YES)
    first, second = sorted([ada.pk, new_ulid()])
    Duplicate.objects.create(
        tenant=acme.tenant, first_id=first, second_id=second, reasons=",email,", likelihood=60
    )
    StoredAnswer.objects.create(tenant=acme.tenant, token=1, key="k", request="", body=ada.pk)
    Export.objects.create(tenant=acme.tenant, actor="", format="csv", state=Export.State.DONE)
    assert page_of(ada) in manager.get(url(Contact, "change", ada.pk)).content.decode()
    asked = text(manager.get(page_of(ada)))
    for told in ("Ada +1 415", "its 2 phones", "A second digest", "All stored files of exports"):
        assert told in asked
    assert "This field is required" in text(manager.post(page_of(ada), {"confirmed": ""}))
    assert acme.tenant.contacts.filter(pk=ada.pk).exists(), "nothing happens without the checkbox"
    answer: Any = manager.post(page_of(ada), YES)
    change = Change.objects.get(kind=Change.Kind.ERASED)
    assert answer["Location"] == url(Contact, "erased", change.change_set), "the reference"
    shown = text(manager.get(answer["Location"]))
    assert numbers() == {
        "contacts": 1, "notes": 1, "phones": 2, "opt_outs": 2, "changes": 3, "duplicates": 1,
        "answers": 1, "refusals": 0, "log_entries": 0, "exports": 1, "unreadable": 0,
    }  # fmt: skip
    for told in (str(change.change_set), "Acme Co.", "Phones replaced by a digest 2"):
        assert told in shown
    kept = shown + str([*LogEntry.objects.values(), *Change.objects.filter(contact_id=ada.pk)])
    for secret in ("Ada", "ada@example.com", "4155550123", OTHER[2:], ada.pk):
        assert secret not in shown
        assert secret == ada.pk or secret not in kept
    assert Erasure.objects.count() == OptOut.objects.count() == 2
    assert globex.tenant.contacts.get().name == "Ada"


def test_no_page_offers_to_undo_an_erasure(manager: Client, ada: Contact) -> None:
    manager.post(page_of(ada), YES)
    erased = Change.objects.get(kind=Change.Kind.ERASED)
    address = reverse("admin:contacts_contact_undo", args=[erased.change_set])
    assert address not in manager.get(url(Change, "changelist")).content.decode()
    page = manager.get(address).content.decode()
    assert "cannot come back" in page
    assert '<form method="post">' not in page.partition("Will be undone")[2]


@pytest.mark.both
def test_the_phone_of_a_deleted_contact_is_erased_after_a_second_look(
    manager: Client, acme: SimpleNamespace, ada: Contact
) -> None:
    assert BY_PHONE in manager.get(url(Contact, "changelist")).content.decode()
    there: Any = manager.post(BY_PHONE, {"phone": "+1 (415) 555-0123"})
    assert there["Location"] == page_of(ada), "a contact has it"
    ada.delete()
    asked = text(manager.post(BY_PHONE, {"phone": "+1 (415) 555-0123"}))
    assert "The history still has values of 1 contact that had this phone." in asked
    assert not Erasure.objects.exists()
    mistyped = text(manager.post(BY_PHONE, {"phone": OTHER}))
    assert "The history does not mention this phone either." in mistyped
    assert "international" in text(manager.post(BY_PHONE, {"phone": "12"}))
    answer: Any = manager.post(BY_PHONE, {"phone": PHONE, "is_shown": "1", **YES})
    assert numbers()["contacts"] == 0
    assert numbers()["changes"] == Change.objects.filter(contact_id=ada.pk, fields={}).count() == 2
    assert "Contacts deleted 0" in text(manager.get(answer["Location"]))
    assert answer["Location"] in manager.get(BY_PHONE).content.decode(), "the latest receipts"
    assert "was erased on 20" in text(manager.post(BY_PHONE, {"phone": PHONE}))


def test_the_receipt_names_what_is_left_to_do(
    manager: Client, acme: SimpleNamespace, ada: Contact, data_dir: Path
) -> None:
    kept = ContactFactory.create(tenant=acme.tenant, name="Bob")
    merge.merge_into(acme.tenant, kept.pk, [ada.pk])
    former_phones.release(acme.tenant, {"contact_id": kept.pk}, PHONE)
    job = Import.objects.create(
        tenant=acme.tenant, file_name="shop.csv", is_draft=True, state=Import.State.DRAFT,
        options={"mode": "upsert", "fields": {"phone": "phone"}, "parted_by": ",",
                 "region": "", "clear_marker": ""},
    )  # fmt: skip
    for path in (upload_of(job), errors_of(job)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff")
    receipt = manager.post(BY_PHONE, {"phone": PHONE, "is_shown": "1", **YES})["Location"]
    shown = manager.get(receipt).content.decode()
    for address in (url(Contact, "change", kept.pk), url(Import, "change", job.pk)):
        assert f'href="{address}"' in shown
    assert "1 error file could not be searched" in shown
    job.delete()
    kept.delete()
    assert "shop.csv" not in text(manager.get(receipt))


def test_only_managers_of_the_tenant_erase(
    manager: Client, globex: SimpleNamespace, outsider: SimpleNamespace, ada: Contact
) -> None:
    given = {"phone": PHONE, "is_shown": "1", **YES}
    for role in (roles.VIEWER, roles.EDITOR):
        client = with_role(ada.tenant, role)
        assert page_of(ada) not in client.get(url(Contact, "change", ada.pk)).content.decode()
        assert BY_PHONE not in client.get(url(Contact, "changelist")).content.decode()
        for address in (page_of(ada), BY_PHONE, url(Contact, "erased", new_ulid())):
            assert client.get(address).status_code == client.post(address, given).status_code == 403
    stranger, nobody = with_role(globex.tenant, roles.MANAGER), with_role(None, roles.MANAGER)
    for client in (stranger, nobody):
        assert client.post(page_of(ada), YES).status_code == 302
    assert "required" in text(nobody.post(BY_PHONE, given))
    assert reverse("admin:login") in logged_in(outsider.user).post(page_of(ada), YES)["Location"]
    stranger.post(BY_PHONE, given)
    assert [*Erasure.objects.values_list("tenant", flat=True)] == [globex.tenant.pk]
    assert Contact.objects.get().name == "Ada"
    mine = manager.post(page_of(ada), YES)["Location"]
    for client in (stranger, nobody):
        assert client.get(mine).status_code == 302
    superuser = logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    assert "Acme Co." in text(superuser.get(mine))
    assert "required" in text(superuser.post(BY_PHONE, given)), "which tenant?"
    superuser.post(BY_PHONE, given | {"tenant": "acme"})
    assert LogEntry.objects.latest("pk").object_repr == ada.tenant.pk
