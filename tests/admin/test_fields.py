"""The page of fields that a tenant defines, and the filters of the list by these fields."""

import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.template.response import TemplateResponse
from django.test import Client

from contacts.admin.contact_list import ContactList
from contacts.models import Change, Contact, MetadataField
from contacts.values import rules
from contacts.values.defined_fields import MAX_FIELDS
from tenants import roles
from tenants.models import Tenant
from tests.support.admin import (
    contact_form,
    context_of,
    errors,
    listed,
    logged_in,
    staff_of,
    text_of,
    url,
)
from tests.support.factories import ContactFactory, UserFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]

ADD = url(MetadataField, "add")


def with_role(tenant: Tenant, role: str) -> Client:
    roles.grant(apps, ["contacts.metadatafield"])
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    return logged_in(user)


def field(**given: Any) -> dict[str, Any]:
    """The data that a browser sends for the form of a field."""
    empty = {"label": "", "key": "", "kind": "text", "choices": "", "position": 0}
    return empty | given


def errors_of(client: Client, **given: Any) -> dict[str, list[str]]:
    """Why the form refuses the field; its page is not rendered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateResponse, "rendered_content", "")
        answer: Any = client.post(ADD, field(**given))
    return answer.context_data["adminform"].form.errors


def names(client: Client, **query: str) -> set[str]:
    """The contacts in the list; its page is not rendered."""
    rows = context_of(client, url(Contact, "changelist"), query)["cl"].result_list
    return {contact.name for contact in rows}


def defined(tenant: Any, *rows: tuple[str, str, list[str]]) -> list[MetadataField]:
    """Fields of these labels, kinds and choices; the key is the label in lower case."""
    return [
        MetadataField.objects.create(
            tenant=tenant, label=label, key=label.lower(), kind=kind, choices=some, position=number
        )
        for number, (label, kind, some) in enumerate(rows)
    ]


def test_a_manager_defines_edits_and_deletes_a_field_and_the_values_stay(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    manager = with_role(acme.tenant, roles.MANAGER)
    theirs = defined(globex.tenant, ("Size", "text", []))[0]
    contact = ContactFactory.create(tenant=acme.tenant, metadata={"date_of_birth": "soon"})
    answer = manager.post(ADD, field(label="Date of birth", kind="date"))
    assert answer.status_code == 302
    own = MetadataField.objects.get(tenant=acme.tenant)
    assert (own.key, own.kind, own.definition.choices) == ("date_of_birth", "date", ())
    assert listed(manager, MetadataField) == {"Date of birth"}
    page = url(MetadataField, "change", own.pk)
    assert manager.post(page, field(label="Birthday", kind="date", key="x")).status_code == 302
    own.refresh_from_db()
    assert (own.label, own.key) == ("Birthday", "date_of_birth")
    assert manager.get(url(MetadataField, "change", theirs.pk)).status_code == 302
    gone = manager.post(url(MetadataField, "delete", own.pk), {"post": "yes"}, follow=True)
    assert "The values stay in the metadata of the contacts." in gone.content.decode()
    assert [*MetadataField.objects.all()] == [theirs]
    contact.refresh_from_db()
    assert contact.metadata == {"date_of_birth": "soon"}


def test_others_than_managers_do_not_see_the_page_of_fields(acme: SimpleNamespace) -> None:
    row = defined(acme.tenant, ("Size", "text", []))[0]
    for role in (roles.VIEWER, roles.EDITOR):
        client = with_role(acme.tenant, role)
        for page in (ADD, url(MetadataField, "changelist"), url(MetadataField, "change", row.pk)):
            assert client.get(page).status_code == 403
    outsider = logged_in(staff_of(None))
    assert outsider.get(ADD).status_code == 403
    assert listed(outsider, MetadataField) == set()


MISLEADING: list[tuple[dict[str, Any], str, str]] = [
    ({"label": ""}, "label", "Enter a label"),
    ({"label": "E-Mail"}, "label", "Imports read a column “E-Mail” as something else."),
    ({"label": "Opted in at"}, "label", "as something else"),
    ({"label": "Error"}, "label", "as something else"),
    ({"label": "SIZE"}, "label", "The field “Size” has this label."),
    ({"label": "Shoe", "key": "size"}, "key", "Another field has the key “size”."),
    ({"label": "Shoe", "kind": "choice"}, "choices", "Enter the choices"),
    ({"label": "Shoe", "kind": "choice", "choices": "A\na"}, "choices", "are the same"),
    ({"label": "Shoe", "position": 10**30}, "position", "less than or equal to 9999"),
    ({"label": "a\x00"}, "label", "U+0000"),
]


def test_a_definition_that_would_mislead_is_refused(acme: SimpleNamespace) -> None:
    defined(acme.tenant, ("Size", "text", []))
    staff = logged_in(staff_of(acme.tenant))
    for given, name, sentence in MISLEADING:
        assert sentence in " ".join(errors_of(staff, **given)[name])
    assert MetadataField.objects.count() == 1


def test_a_tenant_has_at_most_fifty_fields(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    defined(acme.tenant, *((f"F{number}", "text", []) for number in range(MAX_FIELDS)))
    refused = errors_of(logged_in(staff_of(acme.tenant)), label="One more")
    assert refused["__all__"] == ["A tenant has at most 50 fields. Delete one first."]
    other = logged_in(staff_of(globex.tenant)).post(ADD, field(label="One more"))
    assert other.status_code == 302


# The page of a contact


def test_the_page_of_a_contact_has_a_box_for_each_field_and_marks_what_does_not_fit(
    acme: SimpleNamespace,
) -> None:
    staff = logged_in(staff_of(acme.tenant))
    defined(
        acme.tenant, ("City", "text", []), ("Orders", "number", []), ("Birthday", "date", []),
        ("Level", "choice", ["VIP"]), ("Member", "yes_no", []),
    )  # fmt: skip
    metadata = {"city": "Rio", "orders": "five", "birthday": "soon", "level": "VIP", "member": True}
    contact = ContactFactory.create(tenant=acme.tenant, metadata=metadata | {"other": [1]})
    page = url(Contact, "change", contact.pk)
    text = staff.get(page).content.decode()
    assert "does not fit: a number is expected, such as 1234.5" in text
    assert "does not fit: one of the choices" not in text
    # What nobody changes stays, also if it does not fit, and if a program changes it meanwhile.
    data = contact_form(staff, page, defined_0="", defined_1="1,5", defined_4="no")
    acme.api.act("update-contact", contact_id=contact.pk, metadata={"birthday": "2000-01-01"})
    assert staff.post(page, data).status_code == 302
    contact.refresh_from_db()
    stored = {"orders": 1.5, "birthday": "2000-01-01", "level": "VIP", "member": False}
    assert rules.spelled(contact.metadata) == rules.spelled(stored | {"other": [1]})
    change = Change.objects.filter(tenant=acme.tenant).latest("pk")
    assert change.fields["metadata"].keys() == {"city", "orders", "member"}
    # So does what somebody types into the metadata itself.
    data = contact_form(staff, page, metadata=rules.spelled(stored | {"birthday": "1999-12-31"}))
    assert staff.post(page, data).status_code == 302
    contact.refresh_from_db()
    assert contact.metadata["birthday"] == "1999-12-31"
    assert "other" not in contact.metadata
    # A wrong value is refused, and nothing is written.
    refused = staff.post(page, contact_form(staff, page, defined_1="many", defined_0="Rome"))
    assert errors(refused)["defined_1"] == ["Orders: a number is expected, such as 1234.5."]
    contact.refresh_from_db()
    assert "city" not in contact.metadata
    # Of one key, two people are asked which value stays.
    data = contact_form(staff, page, defined_3="")
    acme.api.act("update-contact", contact_id=contact.pk, metadata={"level": "gold"})
    assert "Choose a value above." in staff.post(page, data).content.decode()
    data = contact_form(staff, url(Contact, "add"), phone="+14155550199", defined_0="Rome")
    assert staff.post(url(Contact, "add"), data).status_code == 302
    assert Contact.objects.get(phone="+14155550199").metadata == {"city": "Rome"}


def test_who_may_only_see_contacts_sees_fields_and_other_keys_as_rows(
    acme: SimpleNamespace,
) -> None:
    defined(acme.tenant, ("City", "text", []), ("Orders", "number", []), ("Level", "text", []))
    metadata = {"city": "<Lyon>", "orders": "five", "other": [1], "plan": "gold"}
    contact = ContactFactory.create(tenant=acme.tenant, metadata=metadata)
    viewer = logged_in(staff_of(acme.tenant, "view_contact"))
    answer = viewer.get(url(Contact, "change", contact.pk))
    assert "defined_0" not in answer.content.decode()
    shown = re.sub(r"<[^>]*>", " ", answer.content.decode())
    words = " ".join(unescape(shown).split())
    assert "City <Lyon> Orders five does not fit: a number is expected, such as 1234.5" in words
    assert "Level - " in words
    assert "other [1] plan gold As JSON {" in words, "the fields are not shown twice"


# Filters

PEOPLE: dict[str, dict[str, Any]] = {
    "Ada": {"city": "Lyon", "orders": 0, "birthday": "1999-12-31", "level": "VIP", "member": True},
    "Bea": {"city": "Rio", "orders": 5.5, "birthday": "2000-01-01", "level": "A", "member": False},
    "Cem": {"city": "5", "orders": "5", "birthday": "soon", "level": "vip", "member": "yes"},
    "Dan": {"city": 5, "orders": True, "birthday": 20000101, "level": [], "member": 1},
    "Eve": {},
}  # fmt: skip


@pytest.fixture
def people(acme: SimpleNamespace, globex: SimpleNamespace) -> dict[str, str]:
    """Contacts of two tenants with the same metadata. Returns the parameter of each field."""
    for tenant in (acme.tenant, globex.tenant):
        for name, metadata in PEOPLE.items():
            ContactFactory.create(tenant=tenant, name=name, metadata=metadata)
    rows = defined(
        acme.tenant, ("City", "text", []), ("Orders", "number", []), ("Birthday", "date", []),
        ("Level", "choice", ["VIP", "A"]), ("Member", "yes_no", []),
    )  # fmt: skip
    return {row.key: f"field_{row.pk}" for row in rows}


CASES: list[tuple[dict[str, str], str]] = [
    ({"city": "Lyon"}, "Ada"),
    ({"city": "5"}, "Cem Dan"),
    ({"orders_from": "0"}, "Ada Bea"),
    ({"orders_from": "0,5", "orders_to": "5.5"}, "Bea"),
    ({"orders_to": "-1"}, ""),
    ({"birthday_from": "2000-01-01"}, "Bea"),
    ({"birthday_to": "1999-12-31"}, "Ada"),
    ({"birthday_from": "1999-01-01", "birthday_to": "2000-12-31"}, "Ada Bea"),
    ({"level": "VIP"}, "Ada"),
    ({"member": "yes"}, "Ada"),
    ({"member": "no"}, "Bea"),
    ({"member": "yes", "orders_to": "0"}, "Ada"),
    ({"orders_from": "many"}, ""),
    ({"level": "gone"}, ""),
]


def asked(people: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, value in given.items():
        key, sign, end = name.partition("_")
        found[people[key] + sign + end] = value
    return found


def test_the_list_is_filtered_by_the_fields_of_the_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace, people: dict[str, str]
) -> None:
    staff = logged_in(staff_of(acme.tenant))
    for given, expected in CASES:
        assert names(staff, **asked(people, given)) == {*expected.split()}, given
    page = staff.get(url(Contact, "changelist"), asked(people, {"orders_from": "0"}))
    assert [one["text"] for one in page.context["cl"].active_filters()] == ["Orders from: 0"]
    # The fields of another tenant, and those that are gone, match nobody and say so.
    other = logged_in(staff_of(globex.tenant))
    answer = other.get(url(Contact, "changelist"), asked(people, {"city": "Lyon"}))
    assert not answer.context["cl"].result_list
    assert "A field of the filter does not exist any more." in answer.content.decode()


def test_a_list_by_a_field_says_how_far_it_has_searched(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    [size] = defined(acme.tenant, ("Size", "number", []))
    for number in range(12):
        tags, metadata = ["rare"] if number in (3, 4) else [], {"size": number}
        ContactFactory.create(tenant=acme.tenant, name=f"{number}", metadata=metadata, tags=tags)
    monkeypatch.setattr(ContactList, "window", 5)
    client, page = logged_in(staff_of(acme.tenant)), url(Contact, "changelist")
    address, found = f"?field_{size.pk}_to=3", list[list[str]]()
    shown = client.get(page + address)
    assert "Searched the next 5 contacts. Others may match" in text_of(shown)
    assert "<h2>Nothing found so far</h2>" in text_of(shown)
    assert ">Search on</a>" in text_of(shown)
    while address:
        cl = context_of(client, page + address)["cl"]
        found.append([contact.name for contact in cl.result_list])
        address = cl.next_url if cl.has_next else ""
    assert found == [[], ["3", "2"], ["1", "0"]]
    by_tag = {f"field_{size.pk}_to": "3", "tag": "rare"}
    assert names(client, **by_tag) == {"3"}, "an index finds the few with the tag"
    assert "Searched" not in text_of(client.get(page, by_tag))
    assert "<h2>Nothing found</h2>" in text_of(client.get(page, {"q": "nobody"}))


def test_a_superuser_filters_by_the_fields_of_the_chosen_tenant(
    acme: SimpleNamespace, people: dict[str, str]
) -> None:
    superuser = logged_in(UserFactory.create(is_staff=True, is_superuser=True, tenant=None))
    given = asked(people, {"city": "Lyon"})
    assert names(superuser, tenant=acme.tenant.pk, **given) == {"Ada"}
    assert names(superuser, **given) == set()
