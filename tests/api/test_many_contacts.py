"""get-contacts, list-fields, record-message, and the locale as an input."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.finding import metadata_keys
from contacts.models import Change, Contact
from contacts.writing import former_phones
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
UNKNOWN = "01J1Y3V8K2N6Q4R7S9T0W5X8ZA"
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


# get-contacts


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Contact]:
    return [
        ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555010{n}", name=name, email=f"{name}@x.example"
        )
        for n, name in enumerate("abcd")
    ]


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json()
    return [contact["name"] for contact in answer.json()["data"]]


def test_contacts_come_in_the_order_asked_once_with_what_was_not_found(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    _, b, c, d = people
    former_phones.insert(c, ["+14155550199"])
    answer = acme.api.act(
        "get-contacts",
        contact_ids=[d.pk.lower(), UNKNOWN, b.pk],
        phones=["+1 415-555-0199", "+14155550000", "+1 (415) 555 0103"],
        emails=["A@X.example", "nobody@x.example"],
    )
    assert names(answer) == ["d", "b", "c", "a"]
    assert answer.json()["not_found"] == [UNKNOWN, "+14155550000", "nobody@x.example"]
    shown = answer.json()["data"][2]
    whole = {"contact_id": c.pk, "include": ["former_phones"]}
    assert shown == acme.api.act("get-contact", **whole).json()
    assert shown["former_phones"] == ["+14155550199"]


def test_a_merged_id_finds_the_contact_that_it_was_merged_into_in_the_end(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    a, b, c, _ = people
    acme.api.act("merge-contacts", contact_id=b.pk, merge_ids=[a.pk])
    acme.api.act("merge-contacts", contact_id=c.pk, merge_ids=[b.pk])
    answer = acme.api.act("get-contacts", contact_ids=[a.pk], phones=[b.phone])
    assert [contact["id"] for contact in answer.json()["data"]] == [c.pk]
    assert answer.json()["not_found"] == []


def test_an_old_form_of_a_phone_and_the_latest_of_several_emails_are_found(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    old = ContactFactory.create(tenant=acme.tenant, phone="+5215512345678", name="mx", email="")
    Contact.objects.filter(pk__in=[people[0].pk, people[1].pk]).update(
        email_folded="same@x.example"
    )
    Contact.objects.filter(pk=people[1].pk).update(updated_at=AT)
    answer = acme.api.act("get-contacts", phones=["+525512345678"], emails=["same@x.example"])
    assert names(answer) == ["mx", "a"]
    assert acme.api.act("get-contact", email="same@x.example").json()["name"] == "a"
    assert old.pk == answer.json()["data"][0]["id"]


@in_one_test(
    ("body", "field"),
    [
        ({}, "contact_ids"), ({"phones": []}, "contact_ids"), ({"contact_ids": "x"}, "contact_ids"),
        ({"contact_ids": ["x"]}, "contact_ids"), ({"contact_ids": [None]}, "contact_ids"),
        ({"phones": [PHONE, "+1 415"]}, "phones"), ({"phones": {}}, "phones"),
        ({"emails": ["x"]}, "emails"), ({"emails": [""]}, "emails"),
        ({"phones": [f"+1415555{n:04}" for n in range(501)]}, "phones"),
        ({"emails": ["ann@x.example"] * 501}, "emails"),
    ],
)  # fmt: skip
def test_a_bad_key_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.act("get-contacts", **body)
    error = assert_error(answer, 422, "validation_failed", field)
    if body.get("phones") == [PHONE, "+1 415"]:
        assert error["errors"]["phones"] == ["[1]: The phone is too short for its country."]


def test_another_tenants_contacts_are_not_found(
    globex: SimpleNamespace, outsider: SimpleNamespace, people: list[Contact]
) -> None:
    body = {"contact_ids": [people[0].pk], "phones": [PHONE], "emails": [people[0].email]}
    assert globex.api.act("get-contacts", **body).json()["data"] == []
    assert_error(outsider.api.act("get-contacts", **body), 422, "no_workspace")


def test_the_number_of_statements_does_not_grow(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    acme.api.get("/api/v1/me")

    def ask(some: list[Contact]) -> int:
        body = {
            "contact_ids": [contact.pk for contact in some] + [UNKNOWN],
            "phones": [contact.phone for contact in some] + ["+14155559999"],
            "emails": [contact.email for contact in some],
        }
        return len(statements(lambda: acme.api.act("get-contacts", **body)))

    assert ask(people[:1]) == ask(people)


# list-fields


def add(tenant: Any, metadata: dict[str, Any], updated_at: datetime) -> None:
    contact = ContactFactory.create(tenant=tenant, metadata=metadata)
    Contact.objects.filter(pk=contact.pk).update(updated_at=updated_at)


def test_fields_are_listed_by_frequency_with_type_and_example(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    found: list[dict[str, Any]] = (
        [{"city": None, "n": 1}, {"city": "Paris", "n": 2.5, "ok": True},
         {"long": "x" * 200, "n": 3}, {"list": [1], "object": {"a": 1}, "n": 4}]
    )  # fmt: skip
    for n, metadata in enumerate(found):
        add(acme.tenant, metadata, AT + timedelta(days=n))
    ContactFactory.create(tenant=globex.tenant, metadata={"theirs": 1})
    answer = acme.api.act("list-fields").json()
    assert (answer["contacts"], answer["is_complete"]) == (4, True)
    assert [(f["key"], f["count"], f["type"], f["example"]) for f in answer["data"]] == [
        ("n", 4, "number", 4), ("city", 2, "string", "Paris"), ("list", 1, "array", None),
        ("long", 1, "string", None), ("object", 1, "object", None), ("ok", 1, "boolean", True),
    ]  # fmt: skip
    assert [field["key"] for field in acme.api.act("list-fields", name="CI").json()["data"]] == [
        "city"
    ]


def test_the_sample_is_bounded_and_says_so(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        add(acme.tenant, {f"k{n:02}": "x"}, AT + timedelta(days=n))
    monkeypatch.setattr(metadata_keys, "PART", 3)
    monkeypatch.setattr(metadata_keys, "SAMPLE", 10)
    answer = acme.api.act("list-fields").json()
    assert (answer["contacts"], answer["is_complete"]) == (10, False)
    left = [f"k{n:02}" for n in range(12) if n not in (5, 6)]
    assert [field["key"] for field in answer["data"]] == left
    monkeypatch.setattr(metadata_keys, "MAX_CHARACTERS", 20)
    answer = acme.api.act("list-fields").json()
    assert (answer["contacts"], answer["is_complete"]) == (6, False)
    monkeypatch.setattr(metadata_keys, "SAMPLE", 24)
    monkeypatch.setattr(metadata_keys, "MAX_CHARACTERS", 1000)
    assert acme.api.act("list-fields").json()["is_complete"] is True
    monkeypatch.setattr(metadata_keys, "MAX_KEYS", 11)
    assert acme.api.act("list-fields").json()["is_complete"] is False


# record-message


def test_messages_are_counted_and_the_later_time_stays(acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, updated_at=AT)
    logged = Change.objects.count()
    for at, expected in [
        ("2026-05-07T09:30:00.5+02:00", "2026-05-07T07:30:00+00:00"),
        ("2026-05-07T07:29:00Z", "2026-05-07T07:30:00+00:00"),
        ("2026-05-07T07:30:00.6Z", "2026-05-07T07:30:00+00:00"),
    ]:
        answer = acme.api.act("record-message", phone="+1 415 555 0123", at=at)
        assert answer.json()["last_message_at"] == expected
    assert answer.json() == {"last_message_at": expected, "total_messages": 3}
    shown = acme.api.act("get-contact", contact_id=contact.pk).json()
    assert (shown["last_message_at"], shown["total_messages"]) == (expected, 3)
    assert Contact.objects.get().updated_at > AT, "list-contacts shows it again"
    assert Change.objects.count() == logged
    before = datetime.now(UTC)
    acme.api.act("record-message", contact_id=contact.pk)
    assert before <= Contact.objects.get().last_message_at <= datetime.now(UTC)  # type: ignore[operator]


def test_the_contact_with_the_latest_message_is_found_first(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    for contact in (people[1], people[0]):
        acme.api.act("record-message", contact_id=contact.pk)
    found = acme.api.act("search-contacts").json()
    assert [contact["name"] for contact in found] == ["a", "b", "d", "c"]


def test_a_message_of_a_merged_contact_counts_for_the_other(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    acme.api.act("merge-contacts", contact_id=people[0].pk, merge_ids=[people[1].pk])
    answer = acme.api.act("record-message", contact_id=people[1].pk)
    assert answer.headers["Qyvo-Merged-Into"] == people[0].pk
    assert acme.api.act("record-message", phone=people[1].phone).json()["total_messages"] == 2


@pytest.mark.parametrize(
    "at",
    ["2999-01-01T00:00:00Z", "1969-01-01T00:00:00Z", "x", 5,
     "2026-05-07T08:14:23Z\0", "2026-05-07\ud80008:14:23Z"],
)  # fmt: skip
def test_a_bad_time_of_a_message_is_refused(acme: SimpleNamespace, at: Any) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    answer = acme.api.act("record-message", phone=PHONE, at=at)
    assert_error(answer, 422, "validation_failed", "at")
    assert Contact.objects.get().total_messages == 0


@pytest.mark.django_db(transaction=True)
def test_of_messages_at_once_none_is_lost(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE)

    def send(number: int) -> int:
        return sum(acme.api.act("record-message", phone=PHONE).status_code == 200 for _ in range(5))

    assert sum(all_at_once(send, 4)) == Contact.objects.get().total_messages
    assert Contact.objects.get().total_messages > 0


# The locale


def test_the_locale_is_set_by_create_and_update_and_stays_if_it_is_left_out(api: Api) -> None:
    def locale() -> Any:
        return api.act("get-contact", phone=PHONE).json()["locale"]

    assert api.create(name="Ann", locale=" fr-FR ").status_code == 201
    assert locale() == "fr-FR"
    assert "locale" not in api.create(name="Ann").json()
    assert locale() == "fr-FR"
    assert api.create(name="Ann")["Qyvo-Result"] == "unchanged"
    api.act("update-contact", phone=PHONE, name="Eva")
    assert locale() == "fr-FR"
    api.act("update-contact", phone=PHONE, locale="de")
    assert locale() == "de"
    assert api.create(name="Eva", locale=None)["Qyvo-Result"] == "updated"
    assert locale() is None
    assert_error(api.create(locale="x" * 36), 422, "validation_failed", "locale")


def test_in_a_batch_each_row_says_for_itself_whether_the_locale_changes(api: Api) -> None:
    phones = [f"+1415555010{n}" for n in range(4)]
    for phone in phones:
        api.create(phone, locale="fr")
    rows: list[dict[str, Any]] = [{"phone": phone, "name": "x"} for phone in phones]
    rows[1]["locale"], rows[2]["locale"] = "de", ""
    rows.append({"phone": phones[0], "name": "last"})
    answer = api.act("create-contacts", contacts=rows).json()
    assert (answer["updated"], answer["superseded"]) == (4, 1)
    stored = dict(Contact.objects.values_list("phone", "locale"))
    assert [stored[phone] for phone in phones] == ["fr", "de", "", "fr"]
    assert Contact.objects.get(phone=phones[0]).name == "last"
