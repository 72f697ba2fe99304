"""A contact in the admin: duplicate phones, and deleting with undo."""

import html
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact
from contacts.values import phones
from tenants.models import Tenant
from tests.support.admin import contact_form, errors, logged_in, text_of, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, UserFactory

pytestmark = pytest.mark.django_db


def staff_of(tenant: Tenant | None, *codenames: str) -> Client:
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return logged_in(user)


MAY = ["view_contact", "add_contact", "change_contact", "delete_contact"]


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    return staff_of(acme.tenant, *MAY)


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ada", email="ada@example.com", tags=["vip", "x"]
    )


# Deleting


def test_a_deleted_contact_is_restored_by_the_undo_link(staff: Client, ada: Contact) -> None:
    answer = staff.post(url(Contact, "delete", ada.pk), {"post": "yes"}, follow=True)
    assert not Contact.objects.exists()
    [page] = re.findall(r'<a href="([^"]*)">Undo</a>', answer.content.decode())
    assert "Undone" in staff.post(page).content.decode()
    back = Contact.objects.get()
    assert (back.pk, back.name, back.tags) == (ada.pk, "Ada", ["vip", "x"])


def test_users_without_permission_to_undo_get_no_undo_link(
    acme: SimpleNamespace, ada: Contact
) -> None:
    client = staff_of(acme.tenant, "view_contact", "delete_contact")
    assert client.get(url(Contact, "delete", ada.pk)).status_code == 200
    answer = client.post(url(Contact, "delete", ada.pk), {"post": "yes"}, follow=True)
    assert not Contact.objects.exists()
    assert "Undo" not in text_of(answer)


def test_the_confirmation_names_the_contact_without_its_links_to_tags(
    staff: Client, ada: Contact
) -> None:
    page = staff.get(url(Contact, "delete", ada.pk)).content.decode()
    for told in ("Ada", phones.readable(PHONE), "ada@example.com"):
        assert told in page
    assert "Contact tag" not in page
    assert "contact tags" not in page.lower()
    assert ada.tenant.tags.get(name="vip").pk not in page


def test_users_without_permission_to_delete_get_no_confirmation(
    acme: SimpleNamespace, ada: Contact
) -> None:
    client = staff_of(acme.tenant, "view_contact", "change_contact")
    page = url(Contact, "delete", ada.pk)
    assert client.get(page).status_code == 403
    assert client.post(page, {"post": "yes"}).status_code == 403
    assert Contact.objects.exists()


def test_another_tenants_contact_is_not_deleted(
    globex: SimpleNamespace, outsider: SimpleNamespace, ada: Contact
) -> None:
    for tenant in (globex.tenant, outsider.tenant):
        answer: Any = staff_of(tenant, *MAY).post(url(Contact, "delete", ada.pk), {"post": "yes"})
        assert answer.status_code == 302
    assert Contact.objects.exists()


# Its page


def test_the_phone_is_copied_and_whoever_has_opted_out_gets_no_link_to_whatsapp(
    staff: Client, ada: Contact
) -> None:
    page = url(Contact, "change", ada.pk)
    shown = staff.get(page).content.decode()
    assert f'data-copy="{PHONE}"' in shown
    assert f"https://wa.me/{PHONE[1:]}" in shown
    Contact.objects.filter(tenant=ada.tenant_id).update(opted_out_at=timezone.now())
    refused = staff.post(page, contact_form(staff, page, phone="12")).content.decode()
    assert f'data-copy="{PHONE}"' in refused, "not what was typed"
    assert "https://wa.me/" not in refused


# Duplicate phones


def refusal(client: Client, address: str, **given: Any) -> str:
    answer = client.post(address, contact_form(client, address, **given))
    [sentence] = errors(answer)["phone"]
    assert sentence in answer.content.decode()
    return sentence


@pytest.mark.parametrize("page", ["add", "change"])
def test_a_duplicate_phone_links_to_the_existing_contact(
    staff: Client, acme: SimpleNamespace, ada: Contact, page: str
) -> None:
    args = [ContactFactory.create(tenant=acme.tenant).pk] if page == "change" else []
    sentence = refusal(staff, url(Contact, page, *args), phone="001 415 555 0123")
    assert f"Another contact already has the phone {PHONE}." in sentence
    assert f'href="{url(Contact, "change", ada.pk)}"' in sentence


def test_a_phone_in_use_offers_to_merge_both_contacts(
    staff: Client, acme: SimpleNamespace, ada: Contact
) -> None:
    mine = ContactFactory.create(tenant=acme.tenant, name="Ada L.")
    sentence = refusal(staff, url(Contact, "change", mine.pk), phone=PHONE)
    [page] = re.findall(r'<a href="([^"]*)">merge the two</a>', sentence)
    shown: Any = staff.get(html.unescape(page))
    assert shown.context["contacts"] == [ada, mine]
    chosen = {"seen": shown.context["seen"], "phone": ada.pk, "name": mine.pk, "email": ada.pk}
    answer: Any = staff.post(html.unescape(page), chosen)
    assert answer["Location"] == url(Contact, "change", ada.pk)
    assert Contact.objects.values_list("pk", "phone", "name").get() == (ada.pk, PHONE, "Ada L.")
    assert "Select 2 to 10" in staff.get(html.unescape(page), follow=True).content.decode()


def test_users_who_may_not_merge_are_not_offered_the_page(
    acme: SimpleNamespace, ada: Contact
) -> None:
    mine = ContactFactory.create(tenant=acme.tenant)
    client = staff_of(acme.tenant, "view_contact", "change_contact")
    assert "merge" not in refusal(client, url(Contact, "change", mine.pk), phone=PHONE)
    page = reverse("admin:contacts_contact_merge", query={"contact": [ada.pk, mine.pk]})
    assert client.get(page).status_code == 403


@pytest.mark.parametrize("keep", [True, False])
def test_a_changed_phone_becomes_a_former_phone_on_request(
    staff: Client, acme: SimpleNamespace, ada: Contact, keep: bool
) -> None:
    address = url(Contact, "change", ada.pk)
    form = contact_form(staff, address, phone="+1 415 555 0177")
    answer = staff.post(address, form | ({"keep_former": "on"} if keep else {}))
    assert answer.status_code == 302
    ada.refresh_from_db()
    assert ada.phone == "+14155550177"
    former = Contact.all_phones.former_phones([ada])[ada.pk]
    assert former == ([PHONE] if keep else [])
    other = url(Contact, "add")
    if keep:
        assert "as a former phone" in refusal(staff, other, phone=PHONE)


def test_the_checkbox_alone_changes_nothing_and_a_new_contact_has_none(
    staff: Client, ada: Contact
) -> None:
    address = url(Contact, "change", ada.pk)
    before = Contact.objects.values().get()
    staff.post(address, contact_form(staff, address, keep_former="on"))
    assert Contact.objects.values().get() == before
    assert "keep_former" not in staff.get(url(Contact, "add")).content.decode()


def test_a_superuser_gets_the_link_to_the_contact_of_the_chosen_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace, ada: Contact
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, phone=PHONE)
    client = logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    for contact in (ada, theirs):
        given = {"phone": PHONE, "tenant": contact.tenant.pk}
        sentence = refusal(client, url(Contact, "add"), **given)
        assert f'href="{url(Contact, "change", contact.pk)}"' in sentence


def test_users_who_may_only_add_contacts_get_no_link(acme: SimpleNamespace, ada: Contact) -> None:
    client = staff_of(acme.tenant, "add_contact")
    assert refusal(client, url(Contact, "add"), phone=PHONE) == (
        f"Another contact already has the phone {PHONE}."
    )
