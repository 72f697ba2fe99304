"""list-contacts: every contact once, in the order of its last change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from contacts.models import Contact, tag
from contacts.writing import delete, links
from tests.support.api import Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def pages(api: Api, **body: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        answer = api.act("list-contacts", cursor=cursor, **body)
        assert answer.status_code == 200, answer.json()
        assert list(answer.json()) == ["data", "next_cursor"]
        yield answer.json()["data"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


def phones(api: Api, **body: Any) -> list[str]:
    return [contact["phone"] for page in pages(api, **body) for contact in page]


def add(tenant: Any, count: int, **fields: Any) -> list[str]:
    """Their phones. Some share one `updated_at`, as the rows of a batch may."""
    numbers = [f"+1415555{n:04}" for n in range(count)]
    moment = datetime(2026, 5, 7, 8, 14, 23, 500_000, tzinfo=UTC)
    for n, phone in enumerate(numbers):
        ContactFactory.create(tenant=tenant, phone=phone, **fields)
        Contact.objects.filter(tenant=tenant, phone=phone).update(
            updated_at=moment + timedelta(microseconds=n // 3)
        )
    return numbers


def test_a_contact_is_shown_as_get_contact_shows_it_and_its_last_change(
    api: Api, acme: SimpleNamespace
) -> None:
    add(acme.tenant, 1, tags=["a"], metadata={"n": 1})
    [[contact]] = pages(api)
    assert contact.pop("updated_at") == "2026-05-07T08:14:23+00:00"
    whole = {"phone": "+14155550000", "include": ["former_phones"]}
    assert contact == api.act("get-contact", **whole).json()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20, 500])
def test_every_contact_comes_once_and_in_order(
    api: Api, acme: SimpleNamespace, globex: SimpleNamespace, limit: int
) -> None:
    numbers = add(acme.tenant, 20)
    add(globex.tenant, 3)
    assert phones(api, limit=limit) == numbers


def test_the_default_page_has_100(api: Api, acme: SimpleNamespace) -> None:
    numbers = add(acme.tenant, 101)
    assert [len(page) for page in pages(api)] == [100, 1]
    assert phones(api) == numbers


def test_a_last_page_that_is_full_has_no_cursor(api: Api, acme: SimpleNamespace) -> None:
    add(acme.tenant, 4)
    assert [len(page) for page in pages(api, limit=2)] == [2, 2]
    assert [len(page) for page in pages(api, limit=3.0)] == [3, 1]
    assert list(pages(api, limit=2, tag="nobody's")) == [[]]


def test_the_list_is_filtered_by_tag_and_time(api: Api, acme: SimpleNamespace) -> None:
    numbers = add(acme.tenant, 6)
    for phone in numbers[3:5]:
        contact = acme.tenant.contacts.get(phone=phone)
        api.act("add-tag", contact_id=contact.pk, tag="vip")
    assert phones(api, tag="vip", limit=1) == numbers[3:5]
    assert phones(api, tag="VIP") == []
    since = acme.tenant.contacts.get(phone=numbers[4]).updated_at
    assert phones(api, updated_since=since.isoformat()) == [numbers[4]]
    assert phones(api, updated_since="2026-05-07T10:14:23.500001+02:00")[0] == numbers[5]


def test_a_changed_contact_comes_again_at_the_end(api: Api, acme: SimpleNamespace) -> None:
    numbers = add(acme.tenant, 6)
    reader = pages(api, limit=2)
    first = next(reader)
    api.act("update-contact", phone=numbers[0], name="changed")
    rest = [contact["phone"] for page in reader for contact in page]
    assert [contact["phone"] for contact in first] == numbers[:2]
    assert rest == [*numbers[2:], numbers[0]]


def test_a_cursor_is_good_for_its_own_list_only(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        add(member.tenant, 3, tags=["a"])
    first = acme.api.act("list-contacts", limit=1, tag="a").json()
    cursor = first["next_cursor"]
    assert acme.api.act("list-contacts", cursor=cursor, tag="a").status_code == 200
    assert first["data"][0]["id"] not in cursor
    forged = [
        (globex.api, {"cursor": cursor, "tag": "a"}),
        (acme.api, {"cursor": cursor}),
        (acme.api, {"cursor": cursor, "tag": "a", "updated_since": "2026-05-07T08:14:23Z"}),
        (acme.api, {"cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), "tag": "a"}),
        (acme.api, {"cursor": "x", "tag": "a"}),
        (acme.api, {"cursor": ":::", "tag": "a"}),
        (acme.api, {"cursor": "é\u0000", "tag": "a"}),
    ]
    for api, body in forged:
        assert_error(api.act("list-contacts", **body), 422, "validation_failed", "cursor")


BAD_VALUES: dict[str, list[Any]] = {
    "limit": [0, -1, 501, 1.5, 0.0, 500.5, "ten", True, [], 10**30],
    "cursor": [1, [], {}, True],
    "updated_since": [1, "x", "2026-05-07", "2026-05-07T08:14:23", []],
}


@in_one_test(
    ("field", "value"),
    [
        *[(field, value) for field, values in BAD_VALUES.items() for value in values],
        ("updated_since", "0001-01-01T00:00:00+23:59"),
        ("updated_since", "2026-13-07T08:14:23Z"),
        ("tag", True),
        ("tag", "\x00"),
    ],
)
def test_a_bad_field_is_named(api: Api, field: str, value: Any) -> None:
    response = api.act("list-contacts", **{field: value})
    assert_error(response, 422, "validation_failed", field)


@pytest.mark.parametrize("few", [0, 100])
def test_contacts_of_a_tag_come_in_the_same_order_whether_many_or_few_have_it(
    api: Api, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(tag, "SMALL_RESULT", few)
    numbers = add(acme.tenant, 20)
    some = [phone for n, phone in enumerate(numbers) if n % 3]
    Contact.objects.update(tags=["vips", "my vip"])
    Contact.objects.filter(phone__in=some).update(tags=["vips", "vip"])
    links.match(acme.tenant.contacts.all())
    for limit in (1, 4, 100):
        assert phones(api, tag="vip", limit=limit) == some


def test_a_page_costs_three_statements_and_one_of_a_tag_two_more(acme: SimpleNamespace) -> None:
    acme.api.get("/api/v1/me")
    add(acme.tenant, 30, tags=["a", "b"])
    cases: list[tuple[dict[str, Any], int]] = [
        ({"limit": 2}, 3),
        ({"limit": 30}, 3),
        ({"limit": 30, "tag": "a"}, 5),
        ({"limit": 30, "tag": "nobody's"}, 2),
    ]
    for body, number in cases:
        assert len(statements(partial(acme.api.act, "list-contacts", **body))) == number


@pytest.mark.django_db(transaction=True)
def test_a_reader_misses_no_contact_that_stands_still_while_writers_run(
    acme: SimpleNamespace,
) -> None:
    still = add(acme.tenant, 60)
    busy = [f"+1415556{n:04}" for n in range(20)]
    done = Event()

    def write() -> None:
        turn = 0
        while not done.is_set():
            phone = busy[turn % len(busy)]
            acme.tenant.contacts.update_or_create(phone=phone, defaults={"name": str(turn)})
            if turn % 5 == 4:
                delete.delete_one(acme.tenant, {"phone": phone})
            turn += 1
        connection.close()

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            seen: list[str] = []
            cursor = None
            for _ in range(40):  # the writer moves the end on and on
                answer = acme.api.act("list-contacts", limit=3, cursor=cursor).json()
                seen += [contact["phone"] for contact in answer["data"]]
                cursor = answer["next_cursor"]
                if cursor is None:
                    break
            assert [phone for phone in seen if phone in still] == still
    finally:
        done.set()
        writer.join()
