"""The list of contacts in the admin: filters, columns and pages."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from contacts.admin.contact_list import ContactListAdmin
from contacts.db import keyset
from contacts.db.keyset import Order
from contacts.finding import filters
from contacts.models import Contact
from contacts.values import countries
from tenants.models import User
from tests.support.admin import context_of
from tests.support.factories import ContactFactory
from tests.support.sql import statements

LIST = reverse("admin:contacts_contact_changelist")
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def staff(client: Client, acme: SimpleNamespace) -> Client:
    acme.user.is_staff = True
    acme.user.save()
    permissions = Permission.objects.filter(content_type__app_label="contacts")
    acme.user.user_permissions.set(permissions)
    client.force_login(acme.user)
    return client


def names(client: Client, **asked: str) -> list[str]:
    answer = client.get(LIST, asked)
    assert answer.status_code == 200
    return [contact.name for contact in answer.context["cl"].result_list]


def pages(client: Client, monkeypatch: pytest.MonkeyPatch, size: int, **asked: str) -> list[Any]:
    """All pages, found by following their links."""
    monkeypatch.setattr(ContactListAdmin, "list_per_page", size)
    answer = client.get(LIST, asked)
    found = [answer.context["cl"]]
    while found[-1].has_next:
        found.append(context_of(client, LIST + found[-1].next_url)["cl"])
    return found


# Filters


@pytest.fixture
def people(acme: SimpleNamespace) -> dict[str, Contact]:
    def person(name: str, phone: str, **fields: Any) -> Contact:
        fields = {"created_at": DAY, "updated_at": DAY, "email": ""} | fields
        return ContactFactory.create(tenant=acme.tenant, name=name, phone=phone, **fields)

    return {
        contact.name: contact
        for contact in (
            person("Ada", "+33612345678", tags=["vip"], email="ada@x.example", source="shopify"),
            person("Bea", "+14165550123", tags=["vip", "new"], opted_in_at=DAY),
            person("Cid", "+14155550123", opted_in_at=DAY, opted_out_at=DAY),
            person("Dan", "+77011234567", metadata={"city": "Almaty", "n": 5, "ok": True}),
            person("Eve", "+79161234567", metadata={"city": None, "n": 50}),
            person("Fay", "+390669812345", created_at=DAY + timedelta(days=1)),
            person(
                "Gil",
                "+77011234568",
                metadata={
                    "2024": "gold",
                    'é"': [1, {"a": None}],
                    "big": 10**20,
                    "no": None,
                    "5": "5",
                },
            ),
        )
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"country": "FR"}, "Ada"),
        ({"country": "CA"}, "Bea"),
        ({"country": "US"}, "Cid"),
        ({"country": "KZ"}, "Dan Gil"),
        ({"country": "RU"}, "Eve"),
        ({"country": "VA"}, "Fay"),
        ({"country": "IT"}, ""),
        ({"source": "shopify"}, "Ada"),
        ({"consent": "in"}, "Bea"),
        ({"consent": "out"}, "Cid"),
        ({"consent": "none"}, "Ada Dan Eve Fay Gil"),
        ({"has_email": "yes"}, "Ada"),
        ({"has_email": "no", "consent": "none"}, "Dan Eve Fay Gil"),
        ({"created_from": "2026-05-02"}, "Fay"),
        ({"created_to": "2026-05-01", "country": "KZ"}, "Dan Gil"),
        ({"updated_to": "2026-04-30"}, ""),
        ({"metadata_key": "city"}, "Dan Eve"),
        ({"metadata_key": "city", "metadata_value": "Almaty"}, "Dan"),
        ({"metadata_key": "city", "metadata_value": '"Almaty"'}, "Dan"),
        ({"metadata_key": "n", "metadata_value": "5"}, "Dan"),
        ({"metadata_key": "n", "metadata_value": '"5"'}, ""),
        ({"metadata_key": "ok", "metadata_value": "true"}, "Dan"),
        ({"metadata_key": "n__gt", "metadata_value": "1"}, ""),
        ({"metadata_key": "2024", "metadata_value": "gold"}, "Gil"),
        ({"metadata_key": "-1"}, ""),
        ({"metadata_key": 'é"'}, "Gil"),
        ({"metadata_key": 'é"', "metadata_value": '[1,{"a":  null}]'}, "Gil"),
        ({"metadata_key": 'é"', "metadata_value": "[1]"}, ""),
        ({"metadata_key": "big", "metadata_value": "100000000000000000000"}, "Gil"),
        ({"metadata_key": "no", "metadata_value": "null"}, "Gil"),
        ({"metadata_key": "5", "metadata_value": "5"}, "Gil"),
        ({"metadata_key": "city", "metadata_value": "null"}, "Eve"),
        ({"q": "vip"}, ""),
        ({"q": "+33 6 12 34"}, "Ada"),
        ({"q": "ADA", "country": "FR"}, "Ada"),
    ],
)
def test_contacts_are_found_by_each_filter(
    staff: Client, people: Any, asked: dict[str, str], found: str
) -> None:
    assert sorted(names(staff, **asked)) == found.split()


def test_contacts_are_found_with_and_without_a_tag(
    staff: Client, people: Any, acme: SimpleNamespace
) -> None:
    vip, new = (acme.tenant.tags.get(name=name).pk for name in ("vip", "new"))
    assert sorted(names(staff, tag=vip)) == ["Ada", "Bea"]
    assert sorted(names(staff, tag=vip, without=new)) == ["Ada"]
    assert sorted(names(staff, without=vip)) == ["Cid", "Dan", "Eve", "Fay", "Gil"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"created_from": "yesterday"}, "Created from: Enter a valid date."),
        ({"country": "XX"}, "Country: Select a valid choice. XX is not one of the"),
        ({"metadata_value": "5"}, "Metadata value: Enter the metadata key, too."),
    ],
)
def test_an_invalid_filter_finds_nobody_and_shows_an_error(
    staff: Client, people: Any, asked: dict[str, str], sentence: str
) -> None:
    assert names(staff, **asked) == []
    assert sentence in staff.get(LIST, asked).content.decode()


def test_each_active_filter_is_shown_with_a_link_that_removes_it(
    staff: Client, people: Any
) -> None:
    page = staff.get(LIST, {"country": "FR", "consent": "none"})
    shown = list(page.context["cl"].active_filters())
    assert shown == [
        {"text": "Country: FR", "url": "?consent=none"},
        {"text": "Consent: No decision", "url": "?country=FR"},
    ]


def test_a_metadata_value_without_its_key_is_no_filter(staff: Client, people: Any) -> None:
    asked = {"metadata_key": "city", "metadata_value": "Almaty"}
    key, value = staff.get(LIST, asked).context["cl"].active_filters()
    assert (key["url"], value["url"]) == ("?", "?metadata_key=city")


def test_no_filter_finds_contacts_of_another_tenant(
    staff: Client, people: Any, globex: SimpleNamespace
) -> None:
    theirs = ContactFactory.create(
        tenant=globex.tenant, name="Theirs", tags=["secret"], source="api"
    )
    tag = globex.tenant.tags.get(name="secret")
    asked: list[dict[str, str]] = [
        {"tag": tag.pk}, {"without": tag.pk}, {"tenant": globex.tenant.pk}, {"source": "api"},
        {"q": "Theirs"}, {"q": theirs.phone}, {"after": theirs.pk}, {"before": theirs.pk},
    ]  # fmt: skip
    for one in asked:
        assert "Theirs" not in names(staff, **one)
        assert "secret" not in staff.get(LIST, one).content.decode()


def test_staff_without_a_tenant_find_nobody(
    client: Client, people: Any, outsider: SimpleNamespace
) -> None:
    outsider.user.is_staff = True
    outsider.user.save()
    outsider.user.user_permissions.set(Permission.objects.all())
    client.force_login(outsider.user)
    assert names(client) == []
    assert names(client, country="FR") == []


def test_superusers_choose_a_tenant(client: Client, people: Any, globex: SimpleNamespace) -> None:
    ContactFactory.create(tenant=globex.tenant, name="Gus")
    client.force_login(User.objects.create_superuser("root@example.com"))
    assert sorted(names(client)) == sorted([*people, "Gus"])
    assert names(client, tenant=globex.tenant.pk) == ["Gus"]


@pytest.mark.parametrize("order", ["2", "-2", "6", "-6", "99", "x"])
def test_contacts_of_all_tenants_are_not_sorted_by_a_column_without_an_index(
    client: Client, people: Any, globex: SimpleNamespace, order: str
) -> None:
    """The indexes of phones and messages begin with the tenant, so they cannot sort all tenants."""
    ContactFactory.create(tenant=globex.tenant, name="Gus", phone="+10000000000")
    client.force_login(User.objects.create_superuser("root@example.com"))
    assert names(client, o=order) == names(client) != names(client, o="7")
