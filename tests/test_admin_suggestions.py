"""Which tags the admin's fields offer, and to whom they name the tenant."""

import html
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from contacts.models import Contact

from .factories import ContactFactory, TagFactory, UserFactory
from .test_admin import logged_in, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="contacts"))
    return logged_in(user)


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


def suggestions(client: Client, contact: Contact, **asked: str) -> list[str]:
    """Those that the page of the contact shows."""
    page = client.get(url(Contact, "change", contact.pk)).content.decode()
    [address] = re.findall(r'data-ajax--url="([^"]*tag-names[^"]*)"', page)
    results = client.get(html.unescape(address), asked).json()["results"]
    return [result["text"] for result in results]


@pytest.mark.parametrize("home", ["acme", None])
def test_superusers_are_offered_the_tags_of_the_contacts_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace, home: str | None
) -> None:
    tenant = acme.tenant if home else None
    client = logged_in(UserFactory.create(tenant=tenant, is_staff=True, is_superuser=True))
    ours = ContactFactory.create(tenant=acme.tenant, tags=["ours"])
    theirs = ContactFactory.create(tenant=globex.tenant, tags=["theirs"])
    assert suggestions(client, ours) == ["ours"]
    assert suggestions(client, theirs) == ["theirs"]


def test_staff_are_offered_the_tags_of_their_own_tenant_whatever_they_ask(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=globex.tenant, tags=["theirs"])
    ours = ContactFactory.create(tenant=acme.tenant, tags=["ours"])
    assert suggestions(staff, ours) == ["ours"]
    page = reverse("admin:contacts_contact_tag_names")
    results = staff.get(page, {"tenant": "globex"}).json()["results"]
    assert [result["text"] for result in results] == ["ours"]


def test_superusers_are_told_the_tenant_of_a_tag(
    staff: Client,
    superuser: Client,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    django_assert_max_num_queries: Any,
) -> None:
    for tenant in (acme.tenant, globex.tenant):
        TagFactory.create(tenant=tenant, name="vip")
        for number in range(9):
            TagFactory.create(tenant=tenant, name=f"x{number}")
    asked = {"app_label": "contacts", "model_name": "contacttag", "field_name": "tag"}
    told = []
    for client in (staff, superuser):
        with django_assert_max_num_queries(8):
            results = client.get(reverse("admin:autocomplete"), asked).json()["results"]
        told.append({result["text"] for result in results})
    assert "vip" in told[0]
    assert {"vip (Acme Co.)", "vip (Globex)"} <= told[1]
    vip = acme.tenant.tags.get(name="vip")
    for client, name in ((staff, "vip"), (superuser, "vip (Acme Co.)")):
        page = client.get(url(Contact, "changelist"), {"tag": vip.pk}).content.decode()
        assert f"With tag: {name}<" in re.sub(r"\s+<", "<", page)
        assert f">{name}</option>" in page
