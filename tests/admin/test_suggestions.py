"""Suggestions of tags in the admin, and filters by the name of a tag."""

import html
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from contacts.models import Contact
from tests.support.admin import logged_in, permit, url
from tests.support.factories import ContactFactory, TagFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    permit(user, content_type__app_label="contacts")
    return logged_in(user)


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


def suggestions(client: Client, contact: Contact, **asked: str) -> list[str]:
    """The suggestions on the page of the contact."""
    page = client.get(url(Contact, "change", contact.pk)).content.decode()
    [address] = re.findall(r'data-suggest="([^"]*tag-names[^"]*)"', page)
    results = client.get(html.unescape(address), asked).json()["results"]
    return [result["text"] for result in results]


@pytest.mark.parametrize("home", ["acme", None])
def test_superusers_get_suggestions_of_the_contacts_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace, home: str | None
) -> None:
    tenant = acme.tenant if home else None
    client = logged_in(UserFactory.create(tenant=tenant, is_staff=True, is_superuser=True))
    ours = ContactFactory.create(tenant=acme.tenant, tags=["ours"])
    theirs = ContactFactory.create(tenant=globex.tenant, tags=["theirs"])
    assert suggestions(client, ours) == ["ours"]
    assert suggestions(client, theirs) == ["theirs"]


def test_staff_get_only_suggestions_of_their_own_tenant(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=globex.tenant, tags=["theirs"])
    ours = ContactFactory.create(tenant=acme.tenant, tags=["ours"])
    assert suggestions(staff, ours) == ["ours"]
    page = reverse("admin:contacts_contact_tag_names")
    results = staff.get(page, {"tenant": "globex"}).json()["results"]
    assert [result["text"] for result in results] == ["ours"]


def test_superusers_get_suggestions_of_the_tenant_chosen_for_a_new_contact(
    superuser: Client, staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    page = reverse("admin:contacts_contact_tag_names")
    for tenant in (acme.tenant, globex.tenant):
        TagFactory.create(tenant=tenant, name=tenant.slug)
        for named in (tenant.pk, tenant.slug):
            for client, name in ((superuser, tenant.slug), (staff, "acme")):
                results = client.get(page, {"tenant": named}).json()["results"]
                assert [result["text"] for result in results] == [name]


def test_superusers_see_the_tenant_of_a_suggested_tag(
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
        assert f'value="{name}"' in page


def test_the_tag_with_the_exact_name_is_always_suggested(
    staff: Client, acme: SimpleNamespace
) -> None:
    for name in [*(f"a{n} new" for n in range(30)), "New", "news", "new"]:
        TagFactory.create(tenant=acme.tenant, name=name)
    page = reverse("admin:contacts_contact_tag_names")
    results = staff.get(page, {"term": "new"}).json()["results"]
    assert [result["text"] for result in results][:4] == ["new", "New", "news", "a0 new"]


# Filters by the name of a tag


def filtered(client: Client, **asked: str) -> tuple[set[str], list[str]]:
    """The names of the contacts in the list, and the messages."""
    answer = client.get(url(Contact, "changelist"), asked)
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    return {contact.name for contact in answer.context["cl"].result_list}, said


@pytest.fixture
def carriers(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    for tenant, tags in ((acme.tenant, ["vip", "ours"]), (globex.tenant, ["vip", "theirs"])):
        ContactFactory.create(tenant=tenant, name=tags[1], tags=tags)
        ContactFactory.create(tenant=tenant, name="else", tags=["newsletter"])


@pytest.mark.usefixtures("carriers")
def test_a_filter_takes_the_tag_as_people_type_it_or_names_similar_ones(
    staff: Client, acme: SimpleNamespace
) -> None:
    assert filtered(staff, tag=" vip ") == filtered(staff, tag="VÍP") == ({"ours"}, [])
    assert filtered(staff, without="vip") == ({"else"}, [])
    for name in ("ZOE", "Zoé"):
        ContactFactory.create(tenant=acme.tenant, name=name, tags=[name])
    assert filtered(staff, tag="Zoé") == ({"Zoé"}, []), "the exact name comes first"
    for name, hint in (
        ("vi", " Do you mean “vip”?"), ("zoe", " Do you mean “ZOE” or “Zoé”?"),
        ("theirs", ""), ("vip (Acme Co.)", ""), ("vip, ours", ""),
    ):  # fmt: skip
        assert filtered(staff, tag=name) == (set(), [f"With tag: There is no tag “{name}”.{hint}"])


@pytest.mark.usefixtures("carriers")
def test_superusers_name_the_tenant_of_a_tag_in_a_filter(
    superuser: Client, acme: SimpleNamespace
) -> None:
    found, [sentence] = filtered(superuser, tag="vip")
    assert not found
    assert sentence.startswith("With tag: Several tenants have a tag “vip”.")
    assert filtered(superuser, tag="theirs") == ({"theirs"}, [])
    assert filtered(superuser, tag="vip (Globex)") == ({"theirs"}, [])
    assert filtered(superuser, tag="vip", tenant=acme.tenant.pk) == ({"ours"}, [])


def test_the_confirmation_for_all_matches_names_the_filters(
    staff: Client, acme: SimpleNamespace
) -> None:
    ada = ContactFactory.create(tenant=acme.tenant, name="Ada", tags=["vip"])
    chosen = {"action": "add_tag", "_selected_action": [ada.pk], "select_across": "1"}
    page = url(Contact, "changelist")
    tag = acme.tenant.tags.get().pk
    for query, told in (
        ({"tag": "vip", "q": "ada"}, "All matches: With tag: vip · Search: ada"),
        ({"tag": tag}, "All matches: With tag: vip"),
        ({}, "All contacts: no filter is set."),
    ):
        answer = staff.post(f"{page}?{urlencode(query)}", chosen)
        assert f'<p class="filters">{told}</p>' in answer.content.decode()
    answer = staff.post(page, chosen | {"select_across": "0"})
    assert 'class="filters"' not in answer.content.decode()
