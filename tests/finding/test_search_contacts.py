"""search-contacts: what it finds, in which order, page by page; alike on both databases."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from contacts.db import keyset
from contacts.models import Contact, Tag, tag
from contacts.values import rules
from contacts.values.folding import searchable
from contacts.writing import edit
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.databases import of_the_owner
from tests.support.factories import ContactFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
trigrams = import_module("contacts.migrations.0003_trigrams")


@pytest.fixture
def people(acme: SimpleNamespace) -> None:
    for phone, name, email, tags in [
        ("+14155550123", "Élodie Müller", "Elodie@Example.com", ["vip", "fr"]),
        ("+442079460958", "100% Søren_Ångström", "soren@nordic.example", ["vip"]),
        ("+33612345678", "Ann\\Bob", "", []),
        ("+81312345678", "ΣΟΦΟΣ Straße", "sofos@example.com", ["fr"]),
        ("+5511914150033", "", "", []),
    ]:
        ContactFactory.create(tenant=acme.tenant, phone=phone, name=name, email=email, tags=tags)


def found(api: Api, **body: Any) -> set[str]:
    """The countries of the contacts found."""
    response = api.act("search-contacts", **body)
    assert response.status_code == 200, response.json()
    countries = {"+1": "US", "+4": "UK", "+3": "FR", "+8": "JP", "+5": "BR"}
    return {countries[contact["phone"][:2]] for contact in response.json()}


EVERYBODY = {"US", "UK", "FR", "JP", "BR"}


@in_one_test(
    ("query", "countries"),
    [
        ("", EVERYBODY),
        ("   ", EVERYBODY),
        ("élodie", {"US"}),
        ("ÉLODIE MÜLLER", {"US"}),
        ("E\u0301lodie", {"US"}),  # the accent as a character of its own
        ("élodie  müller", set()),
        ("lodie", {"US"}),
        ("elodie@", {"US"}),
        ("ELODIE@EXAMPLE", {"US"}),
        ("SØREN_ÅNG", {"UK"}),
        ("σοφος", {"JP"}),
        ("STRASSE", {"JP"}),
        ("example.com", {"US", "JP"}),
        ("%", {"UK"}),
        ("100%", {"UK"}),
        ("_", {"UK"}),
        ("s_ren", set()),
        ("\\", {"FR"}),
        ("ann\\b", {"FR"}),
        ("ann\\\\b", set()),
        ("+", EVERYBODY),
        ("1234567", {"FR", "JP"}),
        ("+1415", {"US"}),
        ("1415", {"US", "BR"}),
        ("1-415", {"US", "BR"}),
        ("+33", {"FR"}),
        ("+3 3", {"FR"}),
        ("0033 6", {"FR"}),
        ("0 0", set()),
        ("+1 (415) 555-0123", {"US"}),
        ("0014155550123", {"US"}),
        ("415-555", {"US"}),
        ("tel:+1.415.555.0123", {"US"}),
        ("\uff0b\uff11\uff14\uff11\uff15 5550123", {"US"}),
        ("+44 (0)20 7946 0958", {"UK"}),
        ("415 555 0199", set()),
        ("nobody", set()),
        ("'; DROP TABLE contacts_contact; --", set()),
        ("x" * 255, set()),
    ],
)
def test_a_query_finds_a_part_of_name_email_or_phone(
    api: Api, people: None, query: str, countries: set[str]
) -> None:
    assert found(api, query=query) == countries


def test_a_query_without_plus_is_completed_by_the_tenants_region(
    acme: SimpleNamespace, people: None
) -> None:
    assert found(acme.api, query="020 7946 0958") == {"UK"}  # as a part, without its zero
    acme.tenant.contacts.create(phone="+79123456789")
    assert acme.api.act("search-contacts", query="8 (912) 345-67-89").json() == []
    acme.tenant.default_region = "RU"
    acme.tenant.save()
    [contact] = acme.api.act("search-contacts", query="8 (912) 345-67-89").json()
    assert contact["phone"] == "+79123456789"


@in_one_test(
    ("body", "countries"),
    [
        ({"tag": "vip"}, {"US", "UK"}),
        ({"tag": "VIP"}, set()),
        ({"tag": " vip "}, {"US", "UK"}),
        ({"tag": "vi"}, set()),
        ({"email": "elodie@EXAMPLE.com"}, {"US"}),
        ({"email": "elodie@example"}, set()),
        ({"email": "%"}, set()),
        ({"query": "e", "tag": "fr"}, {"US", "JP"}),
        ({"query": "élodie", "tag": "fr", "email": "elodie@example.com"}, {"US"}),
        ({"query": "élodie", "tag": "fr", "email": "sofos@example.com"}, set()),
        ({"query": None, "tag": "", "email": None, "unknown": 1}, EVERYBODY),
        ({}, EVERYBODY),
    ],
)
def test_filters_are_combined(
    api: Api, people: None, body: dict[str, Any], countries: set[str]
) -> None:
    assert found(api, **body) == countries


def test_a_contact_is_shown_with_exactly_these_keys(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ann", tags=["b", "a"])
    Contact.objects.update(last_message_at=datetime(2026, 5, 7, 8, 14, 23, 999, tzinfo=UTC))
    [contact] = acme.api.act("search-contacts").json()
    assert list(contact) == [
        "id", "phone", "name", "email", "source", "tags", "last_message_at", "created_at",
    ]  # fmt: skip
    assert contact["last_message_at"] == "2026-05-07T08:14:23+00:00"
    assert (contact["email"], contact["source"], contact["tags"]) == (None, "api", ["b", "a"])
    Contact.objects.update(last_message_at=None)
    assert acme.api.act("search-contacts").json()[0]["last_message_at"] is None


def test_other_tenants_contacts_are_not_found(globex: SimpleNamespace, people: None) -> None:
    for body in ({}, {"query": "élodie"}, {"query": "+14155550123"}, {"tag": "vip"}):
        assert globex.api.act("search-contacts", **body).json() == []


# Order and pages


def add(tenant: Any, count: int) -> list[str]:
    """Phones in the order in which they are to be found: a third of them has messages."""
    moment = datetime(2026, 5, 7, tzinfo=UTC)
    phones = [f"+1415555{n:04}" for n in range(count)]
    messages = {n: moment + timedelta(minutes=n // 6) for n in range(0, count, 3)}
    for n, phone in enumerate(phones):
        ContactFactory.create(tenant=tenant, phone=phone, name=f"c{n}")
        Contact.objects.filter(tenant=tenant, phone=phone).update(last_message_at=messages.get(n))
    ids = dict(tenant.contacts.values_list("phone", "pk"))

    def rank(n: int) -> Any:
        return (n in messages, messages.get(n), ids[phones[n]])

    return [phones[n] for n in sorted(range(count), key=rank, reverse=True)]


def pages(api: Api, **body: Any) -> Iterator[list[str]]:
    cursor = None
    while True:
        answer = api.act("search-contacts", cursor=cursor, **body)
        assert answer.status_code == 200, answer.json()
        yield [contact["phone"] for contact in answer.json()]
        assert ("Link" in answer) == ("Qyvo-Next-Cursor" in answer)
        cursor = answer.headers.get("Qyvo-Next-Cursor")
        if cursor is None:
            return


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20, 50])
def test_the_latest_message_comes_first_then_the_newest_contact(
    api: Api, acme: SimpleNamespace, globex: SimpleNamespace, limit: int
) -> None:
    expected = add(acme.tenant, 20)
    add(globex.tenant, 3)
    assert [phone for page in pages(api, limit=limit) for phone in page] == expected
    assert [phone for page in pages(api, limit=limit, query="C1") for phone in page] == [
        phone for phone in expected if phone[-4:] in {"0001", *(f"{n:04}" for n in range(10, 20))}
    ]


def test_a_page_has_50_and_the_last_no_cursor(api: Api, acme: SimpleNamespace) -> None:
    add(acme.tenant, 51)
    assert [len(page) for page in pages(api)] == [50, 1]
    assert [len(page) for page in pages(api, limit=17)] == [17, 17, 17]


def test_the_link_can_be_posted_to_with_the_same_body(api: Api, acme: SimpleNamespace) -> None:
    expected = add(acme.tenant, 5)
    path, seen = "/api/v1/actions/search-contacts", []
    while path:
        answer = api.send('{"limit": 2, "query": "c", "cursor": ""}', path)
        seen += [contact["phone"] for contact in answer.json()]
        link = re.fullmatch(
            r'<http://testserver(/api/v1/\S+)>; rel="next"', answer.headers.get("Link", "")
        )
        path = link[1] if link else ""
    assert seen == expected


def test_a_cursor_is_good_for_its_own_search_only(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        add(member.tenant, 3)
    cursor = acme.api.act("search-contacts", limit=1, query="c").headers["Qyvo-Next-Cursor"]
    assert acme.api.act("search-contacts", cursor=cursor, query="c").status_code == 200
    of_list = acme.api.act("list-contacts", limit=1).json()["next_cursor"]
    forged = [
        (globex.api, {"cursor": cursor, "query": "c"}),
        (acme.api, {"cursor": cursor}),
        (acme.api, {"cursor": cursor, "query": "c", "tag": "x"}),
        (acme.api, {"cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), "query": "c"}),
        (acme.api, {"cursor": of_list}),
        (acme.api, {"cursor": "é\u0000"}),
    ]
    for api, body in forged:
        assert_error(api.act("search-contacts", **body), 422, "validation_failed", "cursor")
    half = acme.api.send('{"cursor": "\\ud800:x"}', "/api/v1/actions/search-contacts")
    problem = assert_error(half, 422, "validation_failed", "cursor")
    assert problem["errors"]["cursor"] == ["The cursor cannot contain the character U+D800."]
    assert_error(acme.api.send("{}", "/api/v1/actions/search-contacts?cursor=x"),
                 422, "validation_failed", "cursor")  # fmt: skip


TEXT: list[Any] = [True, [], {}, "\x00", "x" * 256]
BAD_VALUES: dict[str, list[Any]] = {
    "limit": [0, -1, 51, 1.5, 0.0, 50.5, "ten", True, [], 10**30],
    "cursor": [1, [], {}, True],
    "query": TEXT,
    "tag": TEXT,
    "email": TEXT,
}


@in_one_test(
    ("field", "value"),
    [(field, value) for field, values in BAD_VALUES.items() for value in values],
)
def test_a_bad_field_is_named(api: Api, field: str, value: Any) -> None:
    response = api.act("search-contacts", **{field: value})
    assert_error(response, 422, "validation_failed", field)


@pytest.mark.parametrize("soon", [2, 10, 100])
@pytest.mark.parametrize("few", [0, 100])
def test_what_is_found_soon_and_what_by_an_index_is_one_list(
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    soon: int,
    few: int,
) -> None:
    phones = add(acme.tenant, 20)
    add(globex.tenant, 3)
    tagged = [phone for phone in phones if int(phone[-2:]) % 4 < 2]
    for contact in acme.tenant.contacts.all():
        first = ["a"] * (int(contact.phone[-1]) % 2 == 0)
        edit.change(
            contact, tags=[*first, "vip"] if contact.phone in tagged else ["vips", "my vip"]
        )
    edit.change(globex.tenant.contacts.get(phone=phones[-1]), tags=["vip"])
    monkeypatch.setattr(keyset, "FIRST_WINDOW", 2)
    monkeypatch.setattr(keyset, "SEARCH_WINDOW", soon)
    monkeypatch.setattr(tag, "SMALL_RESULT", few)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"tag": "vip"}, tagged),
        ({"tag": "a"}, [phone for phone in tagged if int(phone[-1]) % 2 == 0]),
        ({"tag": "VIP"}, []),
        ({"query": "C1"}, [phone for phone in phones if phone[-2:] == "01" or phone[-2] == "1"]),
        ({"query": "nobody"}, []),
        ({"query": "c1", "tag": "vip"}, [p for p in tagged if p[-2:] == "01" or p[-2] == "1"]),
    ]
    for body, expected in cases:
        for limit in (1, 3, 50):
            found = [phone for page in pages(acme.api, limit=limit, **body) for phone in page]
            assert found == expected, body


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"limit": 2}, 2),
        ({"limit": 30}, 3),
        ({"tag": "x"}, 2),  # nobody's
        ({"tag": "a"}, 4),
        ({"query": "c", "tag": "a"}, 4),
        ({"query": "c", "limit": 2}, 3),
        ({"query": "nobody"}, 5),
        ({"email": "nobody@example.com"}, 2),
    ],
    ids=str,
)
def test_the_statements_of_a_search_do_not_grow(
    acme: SimpleNamespace, body: dict[str, Any], most: int
) -> None:
    acme.api.act("search-contacts", query="nobody")  # asks once whether the function may be used
    add(acme.tenant, 30)
    edit.change(acme.tenant.contacts.first(), tags=["a"])
    assert len(statements(partial(acme.api.act, "search-contacts", **body))) <= most


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
def test_those_with_a_rare_tag_are_looked_up_one_by_one(acme: SimpleNamespace) -> None:
    """Whatever PostgreSQL thinks how many there are: a join could read all contacts for them."""
    tag = Tag.objects.create(tenant=acme.tenant, name="vip")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = acme.tenant.contacts.linked_to(tag).explain()
    assert "InitPlan 1" in plan, plan
    assert "id = ANY (" in plan, plan
    assert "Join" not in plan, plan


# What "in any case" means, and what stores it


@given(st.text())
def test_folding_twice_is_folding_once_however_accents_are_spelled(text: str) -> None:
    once = rules.folded(text)
    assert rules.folded(once) == once
    assert {rules.folded(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {once}


@pytest.mark.parametrize("text", ["Straße", "ΣΟΦΟΣ", "ÉLODIE", "\u0391\u0342\u0345", "Ǆ"])
def test_folding_leaves_no_case(text: str) -> None:
    assert rules.folded(text.upper()) == rules.folded(text.lower()) == rules.folded(text)


def test_folding_decomposes_first() -> None:
    """The Unicode Standard, D145: else the two cases of this letter would stay apart."""
    assert rules.folded("\u0391\u0342\u0345") == rules.folded("\u1fb7")


@pytest.mark.parametrize(
    "changes", [{"name": "ÉVA"}, {"email": "Eva@Example.com"}, {"locale": "fr"}]
)
def test_every_way_to_write_a_contact_keeps_it_to_be_found(
    acme: SimpleNamespace, changes: dict[str, str]
) -> None:
    def check() -> None:
        contact = Contact.objects.get()
        assert contact.name_folded == searchable(contact.name)
        assert contact.email_folded == rules.folded(contact.email)

    contacts = acme.tenant.contacts
    contacts.update_or_create(phone=PHONE, defaults={"name": "Ann", "email": "ANN@example.com"})
    check()
    contacts.update_or_create(phone=PHONE, defaults=changes)
    check()
    contacts.update_or_create(phone=PHONE, defaults={"name": "Ann", "email": "ANN@example.com"})
    edit.change_one(acme.tenant, {"phone": PHONE}, changes)
    check()


def test_the_migration_makes_stored_contacts_findable(api: Api, people: None) -> None:
    Contact.objects.update(name_folded="", email_folded="")
    assert found(api, query="élodie") == set()
    migration = import_module("contacts.migrations.0002_search")
    migration.fold(apps, None)
    assert found(api, query="élodie") == found(api, query="elodie@") == {"US"}


# Trigrams, on PostgreSQL


def in_database(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@of_the_owner
def test_trigrams_are_used_where_they_can_be_had_and_missed_aloud_where_not(
    api: Api, people: None, capsys: pytest.CaptureFixture
) -> None:
    if in_database("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        assert in_database("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        # Of `all_phones`: to leave out former phones, a small table is read by an index of a list.
        plan = Contact.all_phones.all().matching("élodie").explain()
        assert "contact_trigrams" in plan
        assert "Seq Scan" not in plan
        assert found(api, query="élodie") == {"US"}
    else:
        with connection.schema_editor() as editor:
            trigrams.create(apps, editor)
        assert "No trigram indexes: this PostgreSQL has no pg_trgm" in capsys.readouterr().out
        assert not in_database("SELECT 1 FROM pg_indexes WHERE indexname = 'contact_trigrams'")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@of_the_owner
def test_trigrams_may_lie_in_a_schema_of_their_own(capsys: pytest.CaptureFixture) -> None:
    if not in_database("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip("this PostgreSQL has no pg_trgm: a test above says so")
    with connection.schema_editor() as editor:
        trigrams.drop(apps, editor)
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA elsewhere; ALTER EXTENSION pg_trgm SET SCHEMA elsewhere")
        trigrams.create(apps, editor)
    assert capsys.readouterr().out == ""
    assert in_database("SELECT 1 FROM pg_indexes WHERE indexname = 'contact_trigrams'")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@of_the_owner
def test_a_role_that_may_not_create_the_extension_is_told_and_migrates_all_the_same(
    capsys: pytest.CaptureFixture,
) -> None:
    if not in_database("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip("this PostgreSQL has no pg_trgm: the test above says so")
    with connection.schema_editor() as editor:
        trigrams.drop(apps, editor)
        with connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION pg_trgm")
            cursor.execute("CREATE ROLE qyvo_weak")
            cursor.execute("SET LOCAL ROLE qyvo_weak")
        trigrams.create(apps, editor)
        assert "pg_trgm could not be created: permission denied" in capsys.readouterr().out
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
        trigrams.create(apps, editor)
        assert capsys.readouterr().out == ""
    assert in_database("SELECT 1 FROM pg_indexes WHERE indexname = 'contact_trigrams'")
