"""create-contacts: many upserts in one call, by the rules of the single one."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from contacts.models import Change, Contact, Tag
from tests.support.api import ACTIONS, PHONE, Api, assert_error, rows
from tests.support.cases import in_one_test
from tests.support.sql import assert_links_match_tags, statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
RECORDS: list[dict[str, Any]] = [
    {"phone": "+1 (415) 555-0101", "name": " Ann ", "tags": "vip, a", "metadata": {"n": 1}},
    {"phone": "0044 20 7946 0958", "email": "Bob@example.com", "tags": ["b", "vip", "b"]},
    {"phone": "+33612345678"},
]


def batch(api: Api, *contacts: Any) -> dict[str, Any]:
    response = api.act("create-contacts", contacts=list(contacts))
    assert response.status_code == 200, response.json()
    return response.json()


def stored() -> list[dict[str, Any]]:
    fields = ("phone", "name", "email", "tags", "metadata", "source", "locale")
    return list(Contact.objects.order_by("phone").values(*fields))


def through_create_contact(api: Api) -> None:
    for record in RECORDS:
        assert api.create(**record).status_code == 201


def through_create_contacts(api: Api) -> None:
    assert batch(api, *RECORDS)["created"] == len(RECORDS)


def through_update_contact(api: Api) -> None:
    """And through add-tag, onto contacts that have nothing yet."""
    for record in RECORDS:
        api.create(record["phone"])
        fields = {name: value for name, value in record.items() if name not in ("phone", "tags")}
        assert api.act("update-contact", phone=record["phone"], **fields).status_code == 200
        tags = record.get("tags", [])
        for tag in tags.split(",") if isinstance(tags, str) else tags:
            assert api.act("add-tag", phone=record["phone"], tag=tag).status_code == 200


def through_import_contacts(api: Api, path: Path) -> None:
    path.write_text("\n".join(map(json.dumps, RECORDS)))
    call_command("import_contacts", str(path), "--tenant", "acme")
    assert set(Contact.objects.values_list("source", flat=True)) == {"csv_import"}
    Contact.objects.update(source="api")  # the one difference


@pytest.mark.parametrize(
    "door",
    [
        through_create_contact,
        through_create_contacts,
        through_update_contact,
        through_import_contacts,
    ],
)
def test_every_door_stores_the_same_rows(api: Api, tmp_path: Path, door: Any) -> None:
    door(api, *([tmp_path / "records"] if door is through_import_contacts else []))
    assert stored() == [
        {"phone": "+14155550101", "name": "Ann", "email": "", "tags": ["vip", "a"],
         "metadata": {"n": 1}, "source": "api", "locale": ""},
        {"phone": "+33612345678", "name": "", "email": "", "tags": [],
         "metadata": {}, "source": "api", "locale": ""},
        {"phone": "+442079460958", "name": "", "email": "Bob@example.com", "tags": ["b", "vip"],
         "metadata": {}, "source": "api", "locale": ""},
    ]  # fmt: skip
    assert_links_match_tags()
    told = Change.objects.filter(kind="created").values_list("contact_id", "fields")
    assert sorted(told) == [(pk, {}) for pk in sorted(Contact.objects.values_list("pk", flat=True))]


def test_the_answer_tells_each_row_in_order(api: Api) -> None:
    api.create("+14155550101", name="Ann")
    api.create("+14155550102", name="Bob", tags="old")
    answer = batch(
        api,
        {"phone": "+14155550103", "ref": "r1", "tags": "new"},
        {"phone": "nonsense", "name": [5], "ref": 7},
        {"phone": "+14155550101", "name": "Ann"},
        {"phone": "+14155550102", "name": "Bert", "tags": "new"},
        "no object",
        None,
    )
    ids = dict(Contact.objects.values_list("phone", "pk"))
    results = answer.pop("results")
    assert answer == {"created": 1, "updated": 1, "unchanged": 1, "superseded": 0, "failed": 3}
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4, 5]
    assert results[0] == {
        "index": 0, "ref": "r1", "status": "created", "id": ids["+14155550103"],
        "phone": "+14155550103",
    }  # fmt: skip
    assert results[1]["ref"] == 7
    assert (results[1]["status"], sorted(results[1]["errors"])) == ("failed", ["name", "phone"])
    assert [results[n]["status"] for n in (2, 3)] == ["unchanged", "updated"]
    for result in results[4:]:
        assert result["errors"] == {"body": ["The contact must be a JSON object."]}
    assert "ref" not in results[4]
    assert Contact.objects.get(phone="+14155550102").tags == ["new"]
    assert_links_match_tags()


def test_of_a_phone_given_twice_the_last_row_wins(api: Api) -> None:
    answer = batch(
        api,
        {"phone": PHONE, "name": "first", "tags": "lost"},
        {"phone": "001 415 555 0123", "name": "second"},
        {"phone": "x"},
        {"phone": "(+1) 415 555 0123", "name": "last"},
    )
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["superseded", "superseded", "failed", "created"]
    assert [answer[name] for name in ("created", "superseded", "failed")] == [1, 2, 1]
    contact = Contact.objects.get()
    assert contact.name == "last"
    assert {result["id"] for result in answer["results"] if "id" in result} == {contact.pk}
    assert not Tag.objects.exists()


def test_a_repeated_batch_writes_nothing(api: Api) -> None:
    batch(api, *RECORDS)
    before = list(Contact.objects.order_by("pk").values())
    assert batch(api, *RECORDS)["unchanged"] == len(RECORDS)
    assert list(Contact.objects.order_by("pk").values()) == before


def test_links_are_written_only_where_tags_change(api: Api) -> None:
    batch(api, *RECORDS)
    renamed = [record | {"name": "Zoé"} for record in RECORDS]
    same_tags = statements(lambda: batch(api, *renamed))
    assert not any("contacts_contacttag" in sql for sql in same_tags)
    retagged = [record | {"tags": "a"} for record in RECORDS]
    other_tags = statements(lambda: batch(api, *retagged))
    assert any("contacts_contacttag" in sql for sql in other_tags)
    assert_links_match_tags()


def test_an_empty_batch_does_nothing(api: Api) -> None:
    counts = dict.fromkeys(["created", "updated", "unchanged", "superseded", "failed"], 0)
    assert batch(api) == counts | {"results": []}


@pytest.mark.parametrize("contacts", [None, "x", {}, 1, [{"phone": "x"}] * 1001], ids=str)
def test_a_batch_that_is_no_list_of_up_to_1000_is_refused(api: Api, contacts: Any) -> None:
    response = api.act("create-contacts", contacts=contacts)
    assert_error(response, 422, "validation_failed", "contacts")
    assert_error(api.act("create-contacts"), 422, "validation_failed", "contacts")


@in_one_test("ref", ["r", " row 1 ", 7, -1, "x" * 255, " "])
def test_a_ref_comes_back_as_it_is(api: Api, ref: Any) -> None:
    rows = [{"phone": PHONE, "ref": ref}, {"phone": "x", "ref": ref}]
    assert [result["ref"] for result in batch(api, *rows)["results"]] == [ref, ref]


@in_one_test("ref", [{}, ["x"], True, 1.5, "x" * 256, "\x00", "\ud800"])
def test_a_bad_ref_fails_its_row(api: Api, ref: Any) -> None:
    body = json.dumps({"contacts": [{"phone": PHONE, "ref": ref}]})
    [result] = api.send(body, ACTIONS + "create-contacts").json()["results"]
    assert (result["status"], list(result["errors"])) == ("failed", ["ref"])
    assert "ref" not in result
    assert not Contact.objects.exists()


def test_a_batch_may_have_8_mib(api: Api) -> None:
    largest = '{"contacts": []}' + " " * (8 * 1024 * 1024 - 16)
    assert api.send(largest, ACTIONS + "create-contacts").status_code == 200
    response = api.send(largest + " ", ACTIONS + "create-contacts")
    assert_error(response, 413, "payload_too_large")


def test_a_batch_touches_no_other_tenant(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    batch(globex.api, *RECORDS)
    before = list(globex.tenant.contacts.order_by("pk").values())
    answer = batch(acme.api, *[record | {"name": "Acme"} for record in RECORDS])
    assert answer["created"] == len(RECORDS)
    assert list(globex.tenant.contacts.order_by("pk").values()) == before
    batch(globex.api, *RECORDS)
    assert set(acme.tenant.contacts.values_list("name", flat=True)) == {"Acme"}
    assert_links_match_tags()


def test_the_number_of_statements_does_not_grow_with_the_rows(acme: SimpleNamespace) -> None:
    acme.api.get("/api/v1/me")  # notes the use of the token

    def cost(contacts: list[dict[str, Any]]) -> int:
        return len(statements(lambda: batch(acme.api, *contacts)))

    for_all = [cost(rows(10)), cost(rows(20, name="x")), cost(rows(20, name="x"))]
    Contact.objects.all().delete()
    Tag.objects.all().delete()
    assert [cost(rows(500)), cost(rows(1000, name="x")), cost(rows(1000, name="x"))] == for_all
    # SQLite asks by itself what the rows were, and makes tags by themselves.
    assert max(for_all) <= 6 + 2 * (connection.vendor == "sqlite")


def test_rows_with_and_without_a_locale_are_written_in_two_parts(acme: SimpleNamespace) -> None:
    """Not in as many parts as there are changes from one kind of row to the other."""
    acme.api.get("/api/v1/me")  # notes the use of the token
    mixed = rows(40)
    for row in mixed[::2]:
        row["locale"] = "fr"
    costs = [len(statements(lambda: batch(acme.api, *mixed))) for _ in range(2)]
    assert max(costs) <= 2 * (6 + 2 * (connection.vendor == "sqlite"))
    results = batch(acme.api, *mixed)["results"]
    assert [row["phone"] for row in results] == [row["phone"] for row in mixed]
    assert [*Contact.objects.order_by("phone").values_list("locale", flat=True)] == ["fr", ""] * 20
