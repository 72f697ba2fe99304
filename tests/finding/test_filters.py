"""The filter object: the same contacts at every door, and nobody by a filter that is not known."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.admin.contact_filters import FilterForm
from contacts.db import keyset
from contacts.exporting import background
from contacts.finding import filters
from contacts.models import Contact, Export, tag
from tests.support.api import Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def people(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    def person(name: str, phone: str, **fields: Any) -> None:
        fields = {"created_at": DAY, "email": ""} | fields
        for tenant in (acme.tenant, globex.tenant):
            ContactFactory.create(tenant=tenant, name=name, phone=phone, **fields)
        Contact.objects.filter(phone=phone).update(updated_at=fields["created_at"])

    person("Ada", "+33612345678", tags=["vip"], email="ada@x.example", source="shopify")
    person("Bea", "+14165550123", tags=["vip", "new"], opted_in_at=DAY)
    person("Cid", "+14155550123", tags=["new"], opted_in_at=DAY, opted_out_at=DAY)
    person("Dan", "+77011234567", metadata={"city": "Almaty", "n": 5, "ok": True, " n": 8742.0})
    person("Eve", "+79161234567", metadata={"city": None, "n": 50}, last_message_at=DAY)
    person(
        "Fay", "+390669812345", created_at=DAY + timedelta(days=1), updated_at=DAY + timedelta(1)
    )


CASES: list[tuple[dict[str, Any], str]] = [
    ({"tags_any": ["vip", "new"]}, "Ada Bea Cid"),
    ({"tags_any": "vip, nobody's"}, "Ada Bea"),
    ({"tags_any": ["nobody's"]}, ""),
    ({"tags_all": ["vip", "new"]}, "Bea"),
    ({"tags_all": ["vip", "nobody's"]}, ""),
    ({"tags_none": ["vip", "nobody's"]}, "Cid Dan Eve Fay"),
    ({"tags_any": ["vip", "new"], "tags_none": ["vip"]}, "Cid"),
    ({"consent": "opted_in"}, "Bea"),
    ({"consent": "opted_out"}, "Cid"),
    ({"consent": "unknown", "country": ["KZ", "ru"]}, "Dan Eve"),
    ({"source": ["shopify", "widget"]}, "Ada"),
    ({"country": ["US", "CA"]}, "Bea Cid"),
    ({"country": "FR,VA"}, "Ada Fay"),
    ({"has_email": True}, "Ada"),
    ({"has_email": "false", "tags_any": ["vip"]}, "Bea"),
    ({"created_since": "2026-05-02T12:00:00+00:00"}, "Fay"),
    ({"created_before": "2026-05-02T14:00:00+02:00", "country": ["IT", "VA"]}, ""),
    ({"updated_since": "2026-05-01T12:00:01Z"}, "Fay"),
    ({"updated_before": "2026-05-01T12:00:00Z"}, ""),
    ({"last_message_since": "2026-05-01T12:00:00Z"}, "Eve"),
    ({"last_message_before": "2026-05-01T12:00:00Z"}, ""),
    ({"never_messaged": False}, "Eve"),
    ({"never_messaged": True, "has_email": None, "tags_all": ""}, "Ada Bea Cid Dan Fay"),
    ({"metadata": {"city": "Almaty"}}, "Dan"),
    ({"metadata": {"n": [5, 50]}}, "Dan Eve"),
    ({"metadata": {"n": "5"}}, ""),
    ({"metadata": {"n": 5.0}}, "Dan"),
    ({"metadata": {"n": [*range(49, 149)]}}, "Eve"),
    ({"metadata": {" n": 8742}}, "Dan"),  # as JavaScript writes 8742.0
    ({"metadata": {" n": 5}}, ""),
    ({"metadata": {"ok": 1}}, ""),
    ({"metadata": {"city": None}}, "Eve"),
    ({"metadata": {"city": {"exists": True}, "ok": {"exists": False}}}, "Eve"),
    ({"metadata": {"city": {"exists": False}}, "tags_none": ["new", "vip"]}, "Fay"),
    ({}, "Ada Bea Cid Dan Eve Fay"),
]  # fmt: skip


@in_one_test(("given", "names"), CASES)
def test_a_filter_finds_the_same_contacts_at_every_door(
    acme: SimpleNamespace, people: None, given: dict[str, Any], names: str
) -> None:
    listed = acme.api.act("list-contacts", filter=given).json()["data"]
    found = acme.api.act("search-contacts", filter=given).json()
    answer = acme.api.send(json.dumps({"filter": given, "format": "csv"}), "/api/v1/exports")
    job = Export.objects.get(pk=answer.json()["id"])
    exported = background.matching(acme.tenant, job.filters or {})
    expected = names.split()
    assert sorted(contact["name"] for contact in listed) == expected
    assert sorted(contact["name"] for contact in found) == expected
    assert sorted(exported.values_list("name", flat=True)) == expected
    if given:
        counted = acme.api.act("bulk-update", filter=given, opt_out=True, dry_run=True).json()
        assert counted["total"] == len(expected)


@pytest.mark.parametrize("few", [0, 100])
@pytest.mark.parametrize("window", [1, 4, 100])
def test_a_filtered_list_has_each_contact_once_and_in_order_whatever_is_read_first(
    acme: SimpleNamespace, people: None, monkeypatch: pytest.MonkeyPatch, window: int, few: int
) -> None:
    monkeypatch.setattr(keyset, "SCAN_WINDOW", window)
    monkeypatch.setattr(keyset, "MOST_READ", 2 * window)
    monkeypatch.setattr(tag, "SMALL_RESULT", few)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"filter": {"tags_any": ["vip", "new"]}}, "Ada Bea Cid"),
        ({"filter": {"tags_none": ["vip"]}}, "Cid Dan Eve Fay"),
        ({"filter": {"updated_since": "2026-05-01T12:00:01Z"}}, "Fay"),
        ({"filter": {"has_email": False}, "tag": "new"}, "Bea Cid"),
    ]
    for body, names in cases:
        found, cursor = list[str](), None
        for _ in range(10):
            answer = acme.api.act("list-contacts", limit=1, cursor=cursor, **body).json()
            found += [contact["name"] for contact in answer["data"]]
            if (cursor := answer["next_cursor"]) is None:
                break
        assert found == names.split()
    found = acme.api.act("search-contacts", query="e", filter={"tags_none": ["vip"]}).json()
    assert [contact["name"] for contact in found] == ["Eve"]


def test_a_page_that_has_read_enough_contacts_says_so_and_its_cursor_goes_on(
    acme: SimpleNamespace, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "SCAN_WINDOW", 1)
    monkeypatch.setattr(keyset, "MOST_READ", 1)
    bea = acme.tenant.contacts.get(name="Bea")
    acme.api.act("delete-contact", contact_id=bea.pk)
    city = {"metadata": {"city": {"exists": True}}}

    def follow(action: str, given: Any = city, **body: Any) -> list[tuple[list[str], str]]:
        """All pages: the names, and whether the page says that it is partial."""
        pages, cursor = list[tuple[list[str], str]](), None
        while cursor is not None or not pages:
            answer = acme.api.act(action, filter=given, cursor=cursor, **body)
            found, cursor = answer.json(), answer.headers.get("Qyvo-Next-Cursor")
            if action == "list-contacts":
                found, cursor = found["data"], found["next_cursor"]
            names = [entry.get("name", "a deleted one") for entry in found]
            pages.append((names, answer.headers.get("Qyvo-Page", "")))
            assert len(pages) < 9
        return pages

    assert follow("list-contacts", include_deleted=True) == [
        ([], "partial"), (["Dan", "Eve"], "partial"), (["a deleted one"], ""),
    ]  # fmt: skip
    assert follow("search-contacts") == [(["Eve", "Dan"], "partial"), ([], "partial"), ([], "")]
    pages = follow("search-contacts", limit=1)
    assert [name for names, _ in pages for name in names] == ["Eve", "Dan"]
    for given in ({"country": ["VA"]}, {"updated_since": "2026-05-01T12:00:01Z"}):
        assert follow("search-contacts", given) == [(["Fay"], "")], "few: found by an index"


BAD: list[Any] = [
    "vip", ["vip"], 5, {"tag": "vip"}, {"tags": ["vip"]}, {"TAGS_ANY": ["vip"]}, {"\ud800": 1},
    {"tags_any": []}, {"tags_any": ["a,b"]}, {"tags_any": [None]}, {"tags_any": {}},
    {"tags_all": ["x" * 101]}, {"tags_none": [f"t{n}" for n in range(101)]}, {"tags_any": "a,,b"},
    {"consent": "in"}, {"consent": ["opted_in"]}, {"source": ["ebay"]}, {"source": [5]},
    {"country": ["XX"]}, {"country": ["FRA"]}, {"country": [True]}, {"has_email": "yes"},
    {"has_email": 1}, {"created_since": "2026-05-01"}, {"created_before": 5},
    {"never_messaged": []}, {"metadata": []}, {"metadata": {}}, {"metadata": "city"},
    {"metadata": {"city": {}}}, {"metadata": {"city": {"exists": 1}}},
    {"metadata": {"city": {"exists": True, "or": 1}}}, {"metadata": {"city": [["a"]]}},
    {"metadata": {"city": []}}, {"metadata": {"\0": 1}}, {"metadata": {"a": "\0"}},
    {"metadata": {"x" * 256: 1}}, {"metadata": {f"k{n}": 1 for n in range(11)}},
]  # fmt: skip


@in_one_test("given", BAD)
def test_a_filter_that_is_not_understood_is_refused_at_every_door(
    acme: SimpleNamespace, people: None, given: Any
) -> None:
    answers = [
        acme.api.act("list-contacts", filter=given),
        acme.api.act("search-contacts", filter=given),
        acme.api.send(json.dumps({"filter": given}), "/api/v1/exports"),
        acme.api.act("bulk-delete", filter=given),
    ]
    for answer in answers:
        assert_error(answer, 422, "validation_failed", "filter")
    assert acme.tenant.contacts.count() == 6
    assert not Export.objects.exists()


def test_a_cursor_is_good_for_the_filter_that_it_was_made_with(
    acme: SimpleNamespace, people: None
) -> None:
    given = {"tags_any": ["vip"]}
    cursor = acme.api.act("list-contacts", filter=given, limit=1).json()["next_cursor"]
    assert acme.api.act("list-contacts", filter=given, cursor=cursor).status_code == 200
    for other in ({}, {"tags_any": ["new"]}):
        answer = acme.api.act("list-contacts", filter=other, cursor=cursor)
        assert_error(answer, 422, "validation_failed", "cursor")


def test_another_tenant_and_an_outsider_find_none_of_these_contacts(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, people: None
) -> None:
    Contact.objects.filter(tenant=acme.tenant).update(name="Acme")
    for given, _ in CASES:
        found = globex.api.act("list-contacts", filter=given).json()["data"]
        assert "Acme" not in {contact["name"] for contact in found}
    assert_error(outsider.api.act("list-contacts", filter={}), 422, "no_workspace")


def test_each_filter_of_the_admin_is_declared_with_the_others() -> None:
    declared = [name for one in filters.FILTERS for name in one.parameters]
    assert {*declared} == {*FilterForm.base_fields} - {"tenant"}
    assert len(declared) == len({*declared})


def test_an_export_of_the_version_before_has_no_filter(acme: SimpleNamespace, people: None) -> None:
    stored = {"tag": "vip", "updated_since": None}
    found = background.matching(acme.tenant, stored).values_list("name", flat=True)
    assert sorted(found) == ["Ada", "Bea"]


def test_a_cursor_of_the_version_before_stays_valid(api: Api, people: None) -> None:
    """It was signed for a list without filters."""
    assert api.act("list-contacts", limit=1, filter={}).json()["next_cursor"]
    cursor = api.act("list-contacts", limit=1).json()["next_cursor"]
    bodies: list[dict[str, Any]] = [
        {},
        {"filter": None},
        {"filter": {}},
        {"filter": {"consent": ""}},
    ]
    for body in bodies:
        assert api.act("list-contacts", cursor=cursor, **body).status_code == 200
