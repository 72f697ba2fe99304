"""The actions on one contact, and list-tags: what they answer, change, and leave alone."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.api.urls import actions
from contacts.models import Change, Contact, ContactTag, Tag
from contacts.writing import delete, edit
from contacts.writing.tags import add_tags
from tenants.fields import bits_of
from tests.support.api import (
    ACTION_BODIES,
    ACTIONS,
    ENDING,
    ON_A_CONTACT,
    PHONE,
    Api,
    assert_error,
)
from tests.support.cases import in_one_test
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory, TagFactory
from tests.support.sql import assert_links_match_tags, statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
each_action = pytest.mark.parametrize("action", ACTION_BODIES)
each_on_a_contact = pytest.mark.parametrize("action", ON_A_CONTACT)


@pytest.fixture
def contact(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant,
        phone=PHONE,
        name="Romain",
        email="Romain@example.com",
        tags=["vip", "fr-FR"],
        metadata={"a": 1, "b": {"x": 1}},
    )


def rows() -> Any:
    """All that the actions could change."""
    return [list(model.objects.order_by("pk").values()) for model in (Contact, Tag, ContactTag)]


def test_the_list_of_actions_is_complete() -> None:
    assert {pattern.name for pattern in actions} == set(ACTION_BODIES)


# Who may


@each_action
def test_a_revoked_token_is_refused(acme: SimpleNamespace, contact: Contact, action: str) -> None:
    acme.token.revoke()
    before = rows()
    body = {"phone": PHONE} | ACTION_BODIES[action]
    assert_error(acme.api.act(action, **body), 401, "unauthenticated")
    assert rows() == before


@each_action
def test_a_user_without_tenant_is_refused(
    outsider: SimpleNamespace, contact: Contact, action: str
) -> None:
    before = rows()
    body = {"contact_id": contact.pk, "phone": PHONE} | ACTION_BODIES[action]
    assert_error(outsider.api.act(action, **body), 422, "no_workspace")
    assert rows() == before


@in_one_test(
    ("action", "key"),
    [("get-contact", "email"), *product(ON_A_CONTACT, ["contact_id", "phone"])],
)
def test_another_tenants_contact_is_not_found(
    globex: SimpleNamespace, contact: Contact, action: str, key: str
) -> None:
    before = rows()
    value: str = {"contact_id": contact.pk, "phone": PHONE, "email": contact.email}[key]
    response = globex.api.act(action, **{**ON_A_CONTACT[action], key: value})
    body = assert_error(response, 404, "not_found")
    assert body["message"] == "Contact not found"
    assert rows() == before


def test_tags_of_another_tenant_are_not_listed(globex: SimpleNamespace, contact: Contact) -> None:
    assert globex.api.act("list-tags").json() == []


# Which contact


@each_on_a_contact
def test_a_contact_is_found_by_any_spelling_of_its_keys(
    api: Api, contact: Contact, action: str
) -> None:
    as_uuid = str(uuid.UUID(int=bits_of(contact.pk)))
    body = ON_A_CONTACT[action]
    if action not in ENDING:
        keys: list[dict[str, Any]] = [
            {"contact_id": contact.pk},
            {"contact_id": contact.pk.lower()},
            {"contact_id": as_uuid},
            {"contact_id": as_uuid.upper(), "phone": None},
            {"phone": "001 (415) 555-0123", "contact_id": ""},
            {"contact_id": contact.pk, "phone": "nonsense"},
        ]
        for key in keys:
            answer = api.act(action, **body | key)
            # record-message answers no id, and erase-contact no phone.
            found = answer.json().get("id", contact.pk)
            assert (answer.status_code, found) == (200, contact.pk), key
    answer = api.act(action, **body, phone=PHONE)
    assert (answer.status_code, answer.json().get("phone", PHONE)) == (200, PHONE)


@each_on_a_contact
def test_an_unknown_contact_is_not_found(api: Api, contact: Contact, action: str) -> None:
    before = rows()
    for key in ({"contact_id": ID}, {"phone": "+14155550199"}, {"contact_id": ID, "phone": PHONE}):
        assert_error(api.act(action, **ON_A_CONTACT[action] | key), 404, "not_found")
    assert rows() == before


@each_on_a_contact
def test_a_missing_or_malformed_key_is_named(api: Api, contact: Contact, action: str) -> None:
    before = rows()
    body = ON_A_CONTACT[action]
    nothing: list[dict[str, Any]] = [{}, {"phone": ""}, {"contact_id": None, "phone": None}]
    for key in nothing:
        assert_error(api.act(action, **body | key), 422, "validation_failed", "contact_id")
    for value in ("x", 1, ["x"], {"x": 1}, True, "\x00", "8" + "Z" * 25, ID + "0"):
        response = api.act(action, **body | {"contact_id": value})
        assert_error(response, 422, "validation_failed", "contact_id")
    assert_error(api.act(action, **body | {"phone": "415"}), 422, "validation_failed", "phone")
    assert_error(api.act(action, **body | {"phone": " "}), 422, "validation_failed", "phone")
    assert rows() == before


# get-contact


def test_get_contact_shows_all_of_it(api: Api, contact: Contact) -> None:
    body = api.act("get-contact", phone=PHONE).json()
    created_at = body.pop("created_at")
    assert created_at.endswith("+00:00")
    assert list(body.items()) == list({
        "id": contact.pk, "phone": PHONE, "name": "Romain", "email": "Romain@example.com",
        "source": "api", "locale": None, "metadata": {"a": 1, "b": {"x": 1}},
        "tags": ["vip", "fr-FR"], "opted_in_at": None, "opted_out_at": None,
        "last_message_at": None, "total_messages": 0,
    }.items())  # fmt: skip


def test_get_contact_finds_an_email_in_any_case_the_latest_updated_first(
    api: Api, acme: SimpleNamespace, contact: Contact
) -> None:
    assert api.act("get-contact", email=" ROMAIN@Example.com ").json()["id"] == contact.pk
    newer = ContactFactory.create(tenant=acme.tenant, email="romain@example.com")
    assert api.act("get-contact", email="romain@example.com").json()["id"] == newer.pk
    api.act("update-contact", contact_id=contact.pk, name="x")
    assert api.act("get-contact", email="romain@example.com").json()["id"] == contact.pk
    for wild in ("%@example.com", "_omain@example.com", "romain@example.co"):
        assert api.act("get-contact", email=wild).status_code in {404, 422}


def test_a_blank_email_is_not_everybody_without_one(api: Api, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, email="")
    assert_error(api.act("get-contact", email=" "), 422, "validation_failed", "email")


def test_get_contact_takes_the_keys_in_their_order(
    api: Api, acme: SimpleNamespace, contact: Contact
) -> None:
    other = ContactFactory.create(tenant=acme.tenant, phone="+442079460958", email="o@example.com")
    answer = api.act("get-contact", email=contact.email, phone=other.phone)
    assert answer.json()["id"] == other.pk
    answer = api.act("get-contact", email=contact.email, phone=other.phone, contact_id=contact.pk)
    assert answer.json()["id"] == contact.pk


# update-contact


def test_update_contact_answers_the_documented_keys(api: Api, contact: Contact) -> None:
    answer = api.act("update-contact", phone=PHONE, name="New")
    assert answer.status_code == 200
    assert list(answer.json()) == ["id", "phone", "name", "email", "tags", "updated_at"]


@in_one_test(
    ("changes", "stored"),
    [
        ({"name": "New"}, {"name": "New"}),
        ({"name": ""}, {"name": ""}),
        ({"name": None, "email": None}, {"name": "", "email": ""}),
        ({"tags": "b, a"}, {"tags": ["b", "a"]}),
        ({"tags": None}, {"tags": []}),
        ({"metadata": {"b": 2, "c": 3}}, {"metadata": {"a": 1, "b": 2, "c": 3}}),
        ({"metadata": {"b": None}}, {"metadata": {"a": 1}}),
        ({"metadata": {"a": True}}, {"metadata": {"a": True, "b": {"x": 1}}}),
        ({"metadata": {}}, {}),
        ({"metadata": None}, {"metadata": {}}),
        ({"metadata": ""}, {"metadata": {}}),
        ({}, {}),
        ({"name": "Romain", "tags": "vip,fr-FR", "metadata": {"a": 1}}, {}),
    ],
)
def test_update_contact_changes_only_what_is_present(
    api: Api, contact: Contact, changes: dict, stored: dict
) -> None:
    before: dict[str, Any] = {**Contact.objects.values().get()}
    assert api.act("update-contact", phone=PHONE, **changes).status_code == 200
    after: dict[str, Any] = {**Contact.objects.values().get()}
    assert (after.pop("updated_at") > before.pop("updated_at")) is bool(stored)
    stored |= {f"{name}_folded": stored[name].lower() for name in {"name", "email"} & {*stored}}
    assert repr(after) == repr(before | stored), "true is not 1"
    assert_links_match_tags()


@in_one_test(
    ("field", "value"),
    [
        ("name", True),
        ("name", "x" * 256),
        ("email", "x"),
        ("tags", {"x": 1}),
        ("tags", ["a,b"]),
        ("metadata", ["x"]),
        ("metadata", {"k": "x" * 65_529}),
        ("metadata", {"k": "x" * 65_519}),  # too much only together with what is there
    ],
)
def test_update_contact_names_a_bad_field_and_changes_nothing(
    api: Api, contact: Contact, field: str, value: Any
) -> None:
    before = rows()
    body: dict[str, Any] = {"name": "New", "phone": PHONE} | {field: value}
    assert_error(api.act("update-contact", **body), 422, "validation_failed", field)
    assert rows() == before


def test_the_merged_metadata_may_reach_the_limit(api: Api, contact: Contact) -> None:
    room = 65_536 - len('{"a":1,"b":{"x":1},"k":""}')
    for size, status in ((room, 200), (room + 1, 422)):
        body = {"phone": PHONE, "metadata": {"k": "x" * size}}
        assert api.act("update-contact", **body).status_code == status


# Tags


def test_add_tag_puts_it_last_and_twice_is_once(api: Api, contact: Contact) -> None:
    for _ in range(2):
        answer = api.act("add-tag", phone=PHONE, tag=" new ")
        assert answer.json() == {
            "id": contact.pk, "phone": PHONE, "tag_added": "new", "tags": ["vip", "fr-FR", "new"],
        }  # fmt: skip
        updated_at = Contact.objects.get().updated_at
    assert Contact.objects.get().updated_at == updated_at
    assert_links_match_tags()


def test_remove_tag_takes_the_link_only(api: Api, contact: Contact) -> None:
    for _ in range(2):
        answer = api.act("remove-tag", phone=PHONE, tag="vip")
        assert answer.json() == {
            "id": contact.pk, "phone": PHONE, "tag_removed": "vip", "tags": ["fr-FR"],
        }  # fmt: skip
    assert Tag.objects.filter(name="vip").exists()
    assert api.act("remove-tag", phone=PHONE, tag="FR-fr").json()["tags"] == ["fr-FR"]
    assert_links_match_tags()


def test_several_tags_are_added_and_removed_at_once(api: Api, contact: Contact) -> None:
    before = Change.objects.count()
    answer = api.act("add-tag", phone=PHONE, tags=["b", " a ", "vip", "b"]).json()
    assert answer == {
        "id": contact.pk, "phone": PHONE, "tag_added": "b, a, vip",
        "tags": ["vip", "fr-FR", "b", "a"],
    }  # fmt: skip
    answer = api.act("remove-tag", contact_id=contact.pk, tag=None, tags="a, fr-FR, none").json()
    assert answer["tag_removed"] == "a, fr-FR, none"
    assert answer["tags"] == ["vip", "b"]
    assert Change.objects.count() == before + 2
    assert_links_match_tags()


def test_one_tag_decides_over_the_tags_of_a_contact_that_is_sent_whole(
    api: Api, contact: Contact
) -> None:
    whole = api.act("get-contact", phone=PHONE).json()
    assert api.act("remove-tag", **whole, tag="vip").json()["tags"] == ["fr-FR"]
    assert api.act("add-tag", phone=PHONE, tag="a", tags=5).json()["tags"] == ["fr-FR", "a"]


@in_one_test("action", ["add-tag", "remove-tag"])
@in_one_test("tags", [[], "", ",", True, [None], ["a,b"], ["x" * 101], ["\x00"], ["t", {}]])
def test_bad_tags_are_named(api: Api, contact: Contact, action: str, tags: Any) -> None:
    before = rows()
    answer = api.act(action, phone=PHONE, tags=tags)
    assert_error(answer, 422, "validation_failed", "tags" if tags not in ([], "", ",") else "tag")
    assert rows() == before


@in_one_test("action", ["add-tag", "remove-tag"])
@in_one_test("tag", [None, "", " ", True, ["x"], "a,b", "x" * 101, "\x00", "absent"])
def test_a_bad_tag_is_named(api: Api, contact: Contact, action: str, tag: Any) -> None:
    before = rows()
    body = {"phone": PHONE} | ({} if tag == "absent" else {"tag": tag})
    assert_error(api.act(action, **body), 422, "validation_failed", "tag")
    assert rows() == before


def test_a_contact_takes_100_tags_and_not_one_more(api: Api, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=[f"t{n}" for n in range(99)])
    assert api.act("add-tag", phone=PHONE, tag="last").status_code == 200
    before = rows()
    response = api.act("add-tag", phone=PHONE, tag="one more")
    assert_error(response, 422, "validation_failed", "tag")
    assert api.act("add-tag", phone=PHONE, tag="last").status_code == 200
    assert rows() == before


def test_list_tags_counts_and_sorts(api: Api, acme: SimpleNamespace) -> None:
    for tags in (["b", "É"], ["b"], ["B"]):
        ContactFactory.create(tenant=acme.tenant, tags=tags)
    unused = TagFactory.create(tenant=acme.tenant, name="a%_")
    listed = api.act("list-tags").json()
    assert [(tag["name"], tag["contacts_count"]) for tag in listed] == [
        ("B", 1), ("a%_", 0), ("b", 2), ("É", 1),
    ]  # fmt: skip
    assert list(listed[1]) == ["id", "name", "contacts_count"]
    assert listed[1]["id"] == unused.pk


@in_one_test(
    ("part", "found"),
    [
        ("B", ["B", "b"]),
        ("é", ["É"]),
        ("e\u0301", ["É"]),
        ("%", ["a%_"]),
        ("_", ["a%_"]),
        ("x", []),
        ("", 4),
        (None, 4),
    ],
)
def test_list_tags_finds_a_part_of_a_name_in_any_case(
    api: Api, acme: SimpleNamespace, part: str | None, found: Any
) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["b", "É", "B", "a%_"])
    names = [tag["name"] for tag in api.act("list-tags", name=part).json()]
    assert (len(names) if isinstance(found, int) else names) == found
    assert_error(api.act("list-tags", name=[1]), 422, "validation_failed", "name")


def test_an_action_whose_fields_are_all_optional_takes_no_body(api: Api) -> None:
    assert api.send(b"", ACTIONS + "list-tags").json() == []


# delete-contact


def test_a_deleted_contact_is_gone_and_its_tags_stay(api: Api, contact: Contact) -> None:
    answer = api.act("delete-contact", phone="+1 415 555 0123")
    assert answer.json() == {"id": contact.pk, "phone": PHONE, "deleted": True}
    assert_error(api.act("delete-contact", phone=PHONE), 404, "not_found")
    assert_error(api.act("get-contact", contact_id=contact.pk), 404, "not_found")
    assert not ContactTag.objects.exists()
    assert [tag["contacts_count"] for tag in api.act("list-tags").json()] == [0, 0]
    assert api.create().json()["id"] != contact.pk


# Cost


@pytest.mark.parametrize(
    ("action", "body", "most"),
    [
        ("get-contact", {}, 2),
        ("update-contact", {"name": "x", "metadata": {"z": 1}}, 4),
        ("update-contact", {"tags": ["a", "b", "c"]}, 7),
        ("add-tag", {"tag": "new"}, 7),
        ("remove-tag", {"tag": "t1"}, 7),
        ("delete-contact", {}, 10),
        ("list-tags", {}, 4),
    ],
)
def test_an_action_costs_a_constant_number_of_statements(
    acme: SimpleNamespace, action: str, body: dict, most: int
) -> None:
    acme.api.get("/api/v1/me")  # notes the use of the token
    for tags in (["t1"], [f"t{n}" for n in range(80)]):
        ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=tags)
        sql = statements(lambda: acme.api.act(action, phone=PHONE, **body))
        assert len(sql) <= most, "\n".join(sql)
        Contact.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_threads_that_create_tag_and_delete_one_contact_all_succeed(acme: SimpleNamespace) -> None:
    tenant, key = acme.tenant, {"phone": PHONE}
    verbs: list[Callable[[], Any]] = [
        lambda: tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["a", "b"]}),
        lambda: add_tags(tenant, key, "c"),
        lambda: edit.change_one(tenant, key, {"metadata": {"k": 1}}),
        lambda: delete.delete_one(tenant, key),
    ]

    def call(number: int) -> None:
        with suppress(Contact.DoesNotExist):  # deleted meanwhile
            verbs[number % len(verbs)]()

    for _ in range(3):
        all_at_once(call, callers=16)
        assert_links_match_tags()
