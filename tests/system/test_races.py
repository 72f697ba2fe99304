"""Races of many requests, sent to the production server."""

import random
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Event, Thread
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from contacts.models import Change, Contact
from tenants.models import ApiToken
from tests.support.api import ACTIONS, CREATE, PHONE, rows
from tests.support.changes import logged, settle
from tests.support.concurrency import CALLERS, all_at_once
from tests.support.factories import ContactFactory
from tests.support.former_phones import HAD, HAD_TOO, NOW, merged, race
from tests.support.processes import post
from tests.support.sql import assert_links_match_tags

pytestmark = pytest.mark.django_db(transaction=True)


# Races


def test_concurrent_updates_all_survive(server: httpx.Client, acme: SimpleNamespace) -> None:
    """Of different fields, different metadata keys and different tags, on one contact."""
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["gone"], metadata={"a": 1})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("update-contact", {"name": "New"}),
        ("update-contact", {"email": "new@example.com"}),
        *[("update-contact", {"metadata": {f"k{n}": n}}) for n in range(15)],
        *[("add-tag", {"tag": f"t{n}"}) for n in range(15)],
        ("remove-tag", {"tag": "gone"}),
    ]

    def call(number: int) -> int:
        action, body = calls[number]
        return post(server, ACTIONS + action, {"phone": PHONE} | body).status_code

    assert set(all_at_once(call, callers=len(calls))) == {200}
    contact = Contact.objects.get()
    assert (contact.name, contact.email) == ("New", "new@example.com")
    assert contact.metadata == {"a": 1} | {f"k{n}": n for n in range(15)}
    assert sorted(contact.tags) == sorted(f"t{n}" for n in range(15))
    assert_links_match_tags()


def test_overlapping_batches_do_not_deadlock(server: httpx.Client, server_data_dir: Path) -> None:
    contacts = rows(160)

    def call(number: int) -> httpx.Response:
        turned = contacts[number * 10 :] + contacts[: number * 10]
        named = [
            {**row, "name": f"n{number}", "tags": [f"x{number}", *row["tags"]]} for row in turned
        ]
        return post(server, ACTIONS + "create-contacts", {"contacts": named[:: (-1) ** number]})

    answers = all_at_once(call, callers=16)
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["created"] for answer in answers) == 160
    assert sum(answer.json()["failed"] for answer in answers) == 0
    assert Contact.objects.count() == 160
    assert "deadlock" not in (server_data_dir / "log").read_text()


def test_writers_that_race_leave_a_chain_without_a_gap(
    server: httpx.Client, acme: SimpleNamespace
) -> None:
    def write(n: int) -> None:
        body = {"phone": PHONE, "name": f"n{n}", "metadata": {"n": n}}
        assert post(server, CREATE, body).status_code == 201

    all_at_once(write, 24)
    [(first, _), *rest] = logged()
    assert (first, len(rest)) == ("created", 23)
    assert {kind for kind, _ in rest} == {"updated"}
    for (_, before), (_, after) in pairwise(rest):
        assert after["name"]["old"] == before["name"]["new"]
        assert after["metadata"]["n"]["old"] == before["metadata"]["n"]["new"]
    assert rest[-1][1]["name"]["new"] == Contact.objects.get().name


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_follows_writers_sees_every_change_once(
    server: httpx.Client, acme: SimpleNamespace
) -> None:
    start = Barrier(5)
    done = Event()
    seen: list[int] = []

    def read() -> None:
        body: dict[str, Any] = {}
        start.wait()
        is_last, page = False, dict[str, Any](data=[1])
        while page["data"] or not is_last:
            is_last = done.is_set()
            page = post(server, ACTIONS + "list-changes", body).json()
            seen.extend(change["sequence"] for change in page["data"])
            body = {"cursor": page["next_cursor"]}

    def write(writer: int) -> None:
        start.wait()
        for n in range(20):
            rows = [{"phone": f"+1415555{(writer * 7 + n + i) % 40:04}", "name": f"{writer}.{n}"}
                    for i in range(5)]  # fmt: skip
            post(server, ACTIONS + "create-contacts", {"contacts": rows})

    reader = Thread(target=read)
    writers = [Thread(target=write, args=[n]) for n in range(4)]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    settle()
    done.set()
    reader.join()
    assert sorted(seen) == sorted(Change.objects.values_list("pk", flat=True))
    assert len(seen) > 40


def test_parallel_calls_with_one_new_phone_give_one_row(server: httpx.Client) -> None:
    body = {"phone": PHONE, "name": "Romain", "tags": "vip, fr-FR", "metadata": {"a": 1}}
    answers = all_at_once(lambda number: post(server, CREATE, body))
    assert Counter(answer.status_code for answer in answers) == {201: CALLERS}
    results = Counter(answer.headers["Qyvo-Result"] for answer in answers)
    assert results == {"created": 1, "unchanged": CALLERS - 1}
    assert len({answer.text for answer in answers}) == 1
    assert Contact.objects.get().tags == ["vip", "fr-FR"]
    assert_links_match_tags()


def test_parallel_calls_with_different_values_leave_one_callers_whole(
    server: httpx.Client,
) -> None:
    def body(number: int) -> dict[str, Any]:
        tags = [f"t{number}", "shared"]
        return {"phone": PHONE, "name": f"n{number}", "tags": tags, "metadata": {"n": number}}

    answers = all_at_once(lambda number: post(server, CREATE, body(number)))
    assert Counter(answer.status_code for answer in answers) == {201: CALLERS}
    contact = Contact.objects.get()
    winner = body(contact.metadata["n"])
    assert (contact.name, contact.tags) == (winner["name"], winner["tags"])
    assert_links_match_tags()


def test_parallel_calls_with_overlapping_new_tags_all_succeed(server: httpx.Client) -> None:
    names = [f"tag-{n}" for n in range(50)]

    def call(number: int) -> httpx.Response:
        turned = names[number:] + names[:number]
        return post(server, CREATE, {"phone": f"+14155550{number:03}", "tags": turned})

    answers = all_at_once(call)
    assert Counter(answer.status_code for answer in answers) == {201: CALLERS}
    assert_links_match_tags()


def test_a_revoked_token_stops_within_a_second_on_every_process(server: httpx.Client) -> None:
    def refused(number: int) -> int:
        with httpx.Client(base_url=server.base_url, headers=server.headers, timeout=60) as client:
            return client.get("/api/v1/me").status_code

    assert Counter(all_at_once(refused, callers=10)) == {200: 10}
    ApiToken.objects.get().revoke()
    time.sleep(1)
    assert Counter(all_at_once(refused, callers=10)) == {401: 10}


# What only the real server shows


def test_a_body_sent_in_chunks_is_read(server: httpx.Client) -> None:
    """Node's streams, some PHP clients and n8n send no Content-Length."""
    chunks = [b'{"phone": "', PHONE.encode(), b'", "name": "Rom', b'ain"}']
    json_type = {"Content-Type": "application/json"}
    answer = server.post(CREATE, content=iter(chunks), headers=json_type)
    assert (answer.status_code, answer.json()["name"]) == (201, "Romain")
    answer = server.post(CREATE, content=iter([b" " * 70_000] * 2), headers=json_type)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "charset", ["base64", "hex", "idna", "punycode", "undefined", "utf-8", "x"]
)
@pytest.mark.parametrize("query", ["?a=%41", "?a=%ff%00", "?" + "a=1&" * 1001])
def test_a_charset_decodes_no_query_string(server: httpx.Client, charset: str, query: str) -> None:
    json_type = {"Content-Type": f"application/json; Charset={charset}; x=y"}
    answer = server.post(CREATE + query, content=f'{{"phone": "{PHONE}"}}', headers=json_type)
    assert answer.status_code == 201
    assert answer.headers["X-Request-Id"]


def test_static_files_of_the_admin_are_served(server: httpx.Client) -> None:
    page = server.get("/admin/", follow_redirects=True)
    assert page.status_code == 200
    assert "Qyvo Contacts" in page.text
    assert server.get("/static/admin/css/base.css").headers["Content-Type"].startswith("text/css")


def test_a_caller_cannot_inject_headers_through_the_request_id(server: httpx.Client) -> None:
    answer = server.get("/api/v1/me", headers={"X-Request-Id": "caller-1"})
    assert answer.headers["X-Request-Id"] == "caller-1"
    answer = server.get("/api/v1/me", headers={b"X-Request-Id": b"\xc3\xa9"})
    assert len(answer.headers["X-Request-Id"]) == 26


def test_batches_that_overlap_lose_nothing(server: httpx.Client, acme: SimpleNamespace) -> None:
    """Phones that another caller creates while the statement runs, which does not see them."""
    phones = [f"+1415555{n:04}" for n in range(300)]

    def write(n: int) -> list[int]:
        if n < 2:
            mine = phones[n::2][::-1]
            return [
                post(server, CREATE, {"phone": phone, "name": "x"}).status_code for phone in mine
            ]
        rows = [{"phone": phone, "name": f"n{n}"} for phone in random.Random(n).sample(phones, 200)]
        answer = post(server, ACTIONS + "create-contacts", {"contacts": rows})
        return [answer.status_code, *(answer.json()["failed"],) * (answer.status_code == 200)]

    answers = all_at_once(write, 8)
    assert {code for codes in answers[:2] for code in codes} == {201}
    assert answers[2:] == [[200, 0]] * 6
    assert Contact.objects.count() == 300
    told = Change.objects.filter(kind="created").values_list("contact_id", flat=True)
    assert sorted(told) == sorted(Contact.objects.values_list("pk", flat=True))


def test_creating_and_deleting_one_phone_at_once_never_fails(
    server: httpx.Client, acme: SimpleNamespace
) -> None:
    def act(n: int) -> list[int]:
        address = ACTIONS + ("create-contact", "delete-contact")[n % 2]
        body = {"phone": PHONE, "name": f"n{n}"}
        return [post(server, address, body).status_code for _ in range(15)]

    answers = all_at_once(act, 12)
    assert {code for codes in answers[::2] for code in codes} == {201}
    assert {code for codes in answers[1::2] for code in codes} <= {200, 404}


@pytest.mark.django_db(transaction=True)
def test_two_hundred_calls_with_current_and_former_phones_end_with_one_contact(
    acme: SimpleNamespace,
) -> None:
    race(acme.tenant, 25, calls_each=8)


def some_bodies(phones: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Two hundred actions, each with its body, for one of the four `phones` or for all."""
    found: list[tuple[str, dict[str, Any]]] = []
    for number in range(200):
        name, phone = {"name": f"n{number}"}, {"phone": phones[number % 4]}
        if number % 20 == 0:
            rows = [name | {"phone": phone} for phone in phones]
            found.append(("create-contacts", {"contacts": rows}))
        elif number % 5 == 0:
            found.append(("update-contact", name | phone))
        else:
            found.append(("create-contact", name | phone | {"tags": ["vip"]}))
    return found


def test_two_hundred_requests_with_current_and_former_phones_end_with_one_contact(
    server: httpx.Client, acme: SimpleNamespace
) -> None:
    """While two contacts are merged, and a former phone is removed that nobody sends."""
    sent, removed = [NOW, HAD, HAD_TOO, "+14155550333"], "+14155550444"
    first = merged(acme.tenant, *sent[:2], removed)
    second = merged(acme.tenant, *sent[2:])

    bodies = some_bodies(sent)
    bodies[60] = "merge-contacts", {"contact_id": first.pk, "merge_ids": [second.pk]}
    bodies[120] = "remove-former-phone", {"contact_id": first.pk, "phone": removed}

    def call(number: int) -> httpx.Response:
        action, fields = bodies[number]
        return post(server, ACTIONS + action, fields)

    answers = all_at_once(call, 200)
    assert {answer.status_code for answer in answers} == {200, 201}
    results = Counter(answer.headers.get("Qyvo-Result") for answer in answers)
    assert results["created"] == 0
    assert acme.tenant.contacts.get().pk == first.pk
    phones = Contact.all_phones.values_list("phone", flat=True)
    assert sorted(phones) == sorted(sent)
    assert_links_match_tags()
