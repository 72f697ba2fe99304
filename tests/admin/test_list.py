"""The list of contacts in the admin: filters, columns and pages."""

from datetime import UTC, datetime, timedelta
from itertools import product
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
from tests.support.admin import context_of, permit, text_of
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.sql import statements

LIST = reverse("admin:contacts_contact_changelist")
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def staff(client: Client, acme: SimpleNamespace) -> Client:
    acme.user.is_staff = True
    acme.user.save()
    permit(acme.user, content_type__app_label="contacts")
    client.force_login(acme.user)
    return client


def names(client: Client, **asked: str) -> list[str]:
    return [contact.name for contact in context_of(client, LIST, asked)["cl"].result_list]


def pages(client: Client, monkeypatch: pytest.MonkeyPatch, size: int, **asked: str) -> list[Any]:
    """All pages, found by following their links."""
    monkeypatch.setattr(ContactListAdmin, "list_per_page", size)
    found = [context_of(client, LIST, asked)["cl"]]
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


@in_one_test(
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


def test_a_page_shows_every_filter(staff: Client, people: Any) -> None:
    asked = {
        "country": "FR", "source": "shopify", "consent": "in", "has_email": "yes", "q": "ada",
        "created_from": "2026-05-02", "created_to": "2026-05-01", "updated_to": "2026-04-30",
        "metadata_key": 'é"', "metadata_value": '[1,{"a":  null}]',
    }  # fmt: skip
    page = staff.get(LIST, asked)
    assert page.status_code == 200
    shown = [*page.context["cl"].active_filters()]
    assert len(shown) == len(asked) - 1, "the search has its own field"


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


def test_contacts_of_all_tenants_are_not_sorted_by_a_column_without_an_index(
    client: Client, people: Any, globex: SimpleNamespace
) -> None:
    """The indexes of phones and messages begin with the tenant, so they cannot sort all tenants."""
    ContactFactory.create(tenant=globex.tenant, name="Gus", phone="+10000000000")
    client.force_login(User.objects.create_superuser("root@example.com"))
    usual = names(client)
    assert usual != names(client, o="7")
    for order in ("2", "-2", "6", "-6", "99", "x"):
        assert names(client, o=order) == usual, order


# Columns


def test_a_contact_is_shown_in_readable_form(staff: Client, people: Any) -> None:
    page = staff.get(LIST, {"q": "Bea"}).content.decode()
    assert "+1 416-555-0123" in page
    assert '<abbr data-country="CA">CA</abbr>' in page
    assert '<span class="chip">vip</span> <span class="chip">new</span>' in page
    assert "Opted in" in page


def test_a_list_costs_the_same_statements_however_many_contacts_it_shows(
    staff: Client, acme: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        ContactFactory.create(tenant=acme.tenant, tags=[f"t{number}"])
    tag = acme.tenant.tags.get(name="t3").pk
    everything = {"without": tag, "country": "US", "source": "api", "q": "1", "o": "-6"}
    for asked in ({}, {"tag": tag}, everything):
        with django_assert_max_num_queries(14):
            staff.get(LIST, asked)


# Pages


@pytest.mark.parametrize("asked", [{}, {"source": "api"}, {"tag": "vip"}])
def test_pages_contain_each_contact_once_in_order_forward_and_back(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.setattr(keyset, "SCAN_WINDOW", 2)
    for number in range(7):
        at = DAY + timedelta(days=number // 2) if number % 3 else None
        person = {"name": f"{number}", "last_message_at": at, "tags": ["vip"]}
        ContactFactory.create(tenant=acme.tenant, **person)
    if "tag" in asked:
        asked = {"tag": acme.tenant.tags.get().pk}
    for order in ("", "7", "-7", "2", "-2", "6", "-6"):
        found = pages(staff, monkeypatch, 2, **asked, **({"o": order} if order else {}))
        shown = [contact.pk for page in found for contact in page.result_list]
        assert [len(page.result_list) for page in found] == [2, 2, 2, 1], order
        assert shown == in_order(order), order
        last = found[-1]
        for page in reversed(found[:-1]):
            last = context_of(staff, LIST + last.previous_url)["cl"]
            assert last.result_list == page.result_list, order
        assert not last.has_previous, order


def in_order(order: str) -> list[str]:
    """The ids of all contacts, sorted by the column with that number."""
    column = {"2": "phone", "6": "last_message_at", "7": "pk", "": "pk"}[order[-1:]]
    never = datetime.min.replace(tzinfo=UTC)
    wanted = sorted(
        Contact.objects.all(),
        key=lambda contact: (getattr(contact, column) or never, contact.pk),
        reverse=order[:1] in ("", "-"),
    )
    return [contact.pk for contact in wanted]


def test_an_invalid_position_is_the_first_page(staff: Client, people: Any) -> None:
    places = ["nonsense", "~", "x~01M8648WV59PDQJAG60764PTZG", "\0", "~~~"]
    for place, order in product(places, ["7", "6"]):
        assert len(names(staff, after=place, o=order)) == len(people), (place, order)


@pytest.mark.parametrize("asked", [{}, {"source": "api"}])
@pytest.mark.parametrize("way", ["after", "before"])
def test_a_page_whose_contacts_were_all_deleted_is_the_first_page(
    staff: Client, people: Any, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], way: str
) -> None:
    end = {"after": "0" * 26, "before": "7" + "Z" * 25}[way]
    assert names(staff, **{way: end}, **asked) == names(staff, **asked)


def test_a_search_finds_names_as_people_type_them(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in (acme, globex):
        for number, name in enumerate(["Zoé O'Brien", "Łukasz Müller", "Ann"]):
            phone = f"+1415555{number:04}"
            ContactFactory.create(tenant=member.tenant, phone=phone, name=name)
    for window in (keyset.SEARCH_WINDOW, 1):  # 1: by an index
        monkeypatch.setattr(keyset, "SEARCH_WINDOW", window)
        assert names(staff, q="zoe") == names(staff, q="ZOÉ o’brien") == ["Zoé O'Brien"]
        assert names(staff, q="muller lukasz") == ["Łukasz Müller"]
        assert names(staff, q="zoe muller") == []


def test_a_search_with_many_words_searches_the_whole_text(staff: Client, people: Any) -> None:
    assert names(staff, q="x.example ada") == ["Ada"]
    assert names(staff, q=" ".join(["ada"] * 10)) == ["Ada"]
    assert names(staff, q=" ".join(["ada"] * 11)) == []
    assert names(staff, q="ada " * 100_000) == []


def test_a_list_without_a_search_reads_no_names(staff: Client, people: Any) -> None:
    asked = statements(lambda: staff.get(LIST))
    assert not [sql for sql in asked if "LIKE" in sql.upper()]
    found = statements(lambda: staff.get(LIST, {"q": "zoé"}))  # which no id or session key holds
    [once] = [sql for sql in found if "zoé" in sql]
    assert once.count("name_folded") == 3, "among the columns, and where both forms are looked for"


def test_a_page_neither_counts_nor_skips_rows(
    staff: Client, people: Any, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(ContactListAdmin, "list_per_page", 2)
    with django_assert_max_num_queries(10) as context:
        staff.get(LIST, {"after": people["Cid"].pk})
    asked = " ".join(query["sql"] for query in context.captured_queries).upper()
    assert 'FROM "CONTACTS_CONTACT"' in asked
    assert "COUNT(" not in asked
    assert "OFFSET" not in asked


@pytest.mark.parametrize("is_descending", [True, False])
@pytest.mark.parametrize("column", ["pk", "phone", "last_message_at"])
def test_a_filter_finds_the_same_contacts_with_any_scan_window(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, column: str, is_descending: bool
) -> None:
    for number in range(12):
        at = DAY + timedelta(days=number % 4) if number % 2 else None
        source = "shopify" if number % 5 == 0 else "api"
        ContactFactory.create(tenant=acme.tenant, last_message_at=at, source=source)
    everybody = acme.tenant.contacts.all()
    chosen = filters.choose(everybody, {"source": ["shopify"]})
    order = Order(column, is_descending, is_nullable=column == "last_message_at")
    wanted = keyset.page(chosen, order, None, 100)
    assert len(wanted) == 3
    for near in (1, 3, 11, 12, 100):
        monkeypatch.setattr(keyset, "SCAN_WINDOW", near)
        for limit in (1, 2, 3, 4):
            assert keyset.page(chosen, order, None, limit, everybody) == wanted[:limit]


# Countries


@pytest.mark.parametrize(
    ("phone", "country"),
    [
        ("+33612345678", "FR"), ("+14155550123", "US"), ("+18005550123", "US"),
        ("+14165550123", "CA"), ("+18095550123", "DO"), ("+77011234567", "KZ"),
        ("+79161234567", "RU"), ("+390669812345", "VA"), ("+390612345678", "IT"),
        ("+441624700000", "IM"), ("+447911123456", "GB"), ("+4779123456", "SJ"),
        ("+881612345678", ""), ("+5521998765432", "BR"), ("+1", "US"),
    ],
)  # fmt: skip
def test_the_country_is_derived_from_the_phone(phone: str, country: str) -> None:
    assert countries.of(phone) == country


@given(st.text("0123456789", max_size=14))
def test_every_phone_has_at_most_one_country(digits: str) -> None:
    assert countries.of(f"+{digits}") in {"", *countries.numbering()}


def test_each_country_filter_finds_the_phones_shown_with_this_country(
    acme: SimpleNamespace,
) -> None:
    phones = ["+14155550123", "+14165550123", "+18095550123", "+77011234567", "+79161234567",
              "+441624700000", "+447911123456", "+390669812345", "+390612345678"]  # fmt: skip
    for phone in phones:
        ContactFactory.create(tenant=acme.tenant, phone=phone)
    for country in countries.numbering():
        found = filters.of_countries(acme.tenant.contacts.all(), [country])
        shown = {phone for phone in phones if countries.of(phone) == country}
        assert {*found.values_list("phone", flat=True)} == shown, country


# Columns


def test_each_person_chooses_the_columns_and_the_list_shows_five_tags(
    staff: Client, acme: SimpleNamespace
) -> None:
    tags = [f"t{number:02}" for number in range(100)]
    ContactFactory.create(tenant=acme.tenant, name="Ada", tags=tags, locale="fr-FR")
    usual = text_of(staff.get(LIST))
    assert all(tag in usual for tag in ["t04", "+95"])
    assert "t05" not in usual
    assert "fr-FR" not in usual
    form = {"column": ["locale", "nonsense"], "list": "?tag=t00&consent=none"}
    answer: Any = staff.post(reverse("admin:contacts_contact_columns"), form)
    assert answer.url == f"{LIST}?tag=t00&consent=none"
    shown = context_of(staff, answer.url)["cl"]
    assert [name for name in shown.list_display if name != "action_checkbox"] == ["who", "locale"]
    assert "fr-FR" in staff.get(LIST, {"o": "-7"}).content.decode(), "the place of a hidden column"
    staff.post(reverse("admin:contacts_contact_columns"), {"list": "//evil.example"})
    assert "fr-FR" not in staff.get(LIST).content.decode()
    staff.cookies["contact_columns"] = "\x00-../locale-locale"
    assert "fr-FR" in staff.get(LIST).content.decode()
