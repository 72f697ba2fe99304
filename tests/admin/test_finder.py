"""The search of every page of the admin: whom it finds, and for whom."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from contacts.admin.finder import SHOWN
from contacts.models import Contact
from tenants.models import User
from tests.support.admin import logged_in
from tests.support.factories import ContactFactory, UserFactory
from tests.support.sql import statements

FIND, INDEX = reverse("admin:contacts_contact_find"), reverse("admin:index")
pytestmark = pytest.mark.both


def staff_of(member: SimpleNamespace, *codenames: str) -> Client:
    user = UserFactory.create(tenant=member.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return logged_in(user)


def found(client: Client, text: str) -> list[Contact]:
    answer = client.get(FIND, {"q": text})
    assert answer.status_code == 200
    return [contact for contact, _ in answer.context["found"]]


def test_a_contact_is_found_by_the_staff_of_its_tenant_as_people_type(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    zoe = ContactFactory.create(tenant=acme.tenant, name="Zoé <b>", phone="+33612345678")
    theirs = ContactFactory.create(tenant=globex.tenant, name="Zoe", phone="+33612345679")
    staff = staff_of(acme, "view_contact")
    for text in ("zoe", " ZOÉ", "+33 6 12 34 56 78", "0033612345678", "612345678"):
        assert found(staff, text) == [zoe], text
    for text in ("", " ", "\0", "zoe\0", "nobody", "%", "x" * 5000, "zoe " * 50):
        assert not found(staff, text), text
    assert found(staff_of(globex, "view_contact"), "zoe") == [theirs]
    assert not found(staff_of(outsider, "view_contact"), "zoe")
    root = logged_in(User.objects.create_superuser("root@example.com"))
    assert found(root, "zoe") == [theirs, zoe]
    page = staff.get(FIND, {"q": "zoe"}).content.decode()
    assert "Zoé &lt;b&gt;" in page
    assert "+33 6 12 34 56 78" in page
    assert reverse("admin:contacts_contact_change", args=[zoe.pk]) in page


def test_only_who_may_see_contacts_gets_the_search(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, name="Zoe")
    other = staff_of(acme, "view_tag")
    assert other.get(FIND, {"q": "zoe"}).status_code == 403
    assert 'id="finder"' not in other.get(INDEX).content.decode()
    assert logged_in(acme.user).get(FIND, {"q": "zoe"}).status_code == 302
    assert 'id="finder"' in staff_of(acme, "view_contact").get(INDEX).content.decode()


def test_few_of_many_matches_are_read_and_a_link_leads_to_all(acme: SimpleNamespace) -> None:
    staff = staff_of(acme, "view_contact")
    ContactFactory.create(tenant=acme.tenant, name="Zoe & Co")
    before = len(statements(lambda: found(staff, "zoe & co")))
    made = [ContactFactory.create(tenant=acme.tenant, name="Zoe & Co") for _ in range(SHOWN)]
    assert len(statements(lambda: found(staff, "zoe & co"))) <= before
    answer = staff.get(FIND, {"q": "zoe & co"})
    assert [contact for contact, _ in answer.context["found"]] == made[::-1]
    page, every = answer.content.decode(), reverse("admin:contacts_contact_changelist")
    assert f"{SHOWN} or more contacts" in page
    assert f"{every}?q=zoe%20%26%20co" in page
