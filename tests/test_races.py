"""Many callers at once: one row for a phone, no deadlock, no failure.

Over HTTP against two processes of the production server, and with threads that each have a
connection of their own.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.db import connection, transaction

from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Outcome, Tag
from tenants.models import ApiToken

from .api import CREATE, PHONE
from .conftest import of_the_owner
from .test_write_path import assert_links_match_tags

CALLERS = 50


def all_at_once(call: Callable[[int], Any], callers: int = CALLERS) -> list[Any]:
    """What `call(0)` to `call(callers - 1)` return, started together."""
    start = Barrier(callers)

    def run(number: int) -> Any:
        start.wait()
        try:
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(run, range(callers)))


def test_parallel_calls_with_one_new_phone_give_one_row(server: httpx.Client) -> None:
    body = {"phone": PHONE, "name": "Romain", "tags": "vip, fr-FR", "metadata": {"a": 1}}
    answers = all_at_once(lambda number: server.post(CREATE, json=body))
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

    answers = all_at_once(lambda number: server.post(CREATE, json=body(number)))
    assert Counter(answer.status_code for answer in answers) == {201: CALLERS}
    contact = Contact.objects.get()
    winner = body(contact.metadata["n"])
    assert (contact.name, contact.tags) == (winner["name"], winner["tags"])
    assert_links_match_tags()


def test_parallel_calls_with_overlapping_new_tags_all_succeed(server: httpx.Client) -> None:
    names = [f"tag-{n}" for n in range(50)]  # with more, some wait longer than a request may

    def call(number: int) -> httpx.Response:
        turned = names[number:] + names[:number]
        return server.post(CREATE, json={"phone": f"+14155550{number:03}", "tags": turned})

    answers = all_at_once(call)
    assert Counter(answer.status_code for answer in answers) == {201: CALLERS}
    assert_links_match_tags()


@pytest.fixture
def slow_tags(transactional_db: None) -> Iterator[None]:
    """Each new tag takes a while on PostgreSQL, so that two callers do meet. SQLite lets one
    writer in at a time, however fast."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END';"
            "CREATE TRIGGER slow BEFORE INSERT ON contacts_tag"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION slow CASCADE")


@of_the_owner
@pytest.mark.usefixtures("slow_tags")
def test_callers_with_the_same_new_tags_in_other_orders_do_not_deadlock(
    acme: SimpleNamespace,
) -> None:
    def call(number: int) -> None:
        acme.tenant.contacts.update_or_create(
            phone=f"+1415555{number:04}", defaults={"tags": ["a", "b", "c"][:: (-1) ** number]}
        )

    all_at_once(call, callers=4)
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_threads_with_one_new_phone_create_it_once(acme: SimpleNamespace) -> None:
    def call(number: int) -> Outcome:
        defaults = {"name": "Romain", "tags": ["b", "a"]}
        contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults=defaults)
        return contact.outcome

    outcomes = Counter(all_at_once(call, callers=20))
    assert outcomes == {Outcome.CREATED: 1, Outcome.UNCHANGED: 19}
    assert_links_match_tags()


def rename(tag: Tag) -> None:
    tag.name = "new"
    tag.save()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mend", [rename, Tag.delete])
def test_mending_a_tag_while_callers_use_it_fails_nobody(
    acme: SimpleNamespace, mend: Callable[[Tag], Any]
) -> None:
    def call(number: int) -> None:
        if number == 10:
            mend(acme.tenant.tags.get(name="old"))
        else:
            defaults = {"tags": ["old", f"t{number}"]}
            acme.tenant.contacts.update_or_create(phone=f"+1415555{number:04}", defaults=defaults)

    for _ in range(3):
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["old"]})
        all_at_once(call, callers=20)
        assert Contact.objects.count() == 20
        assert_links_match_tags()
        Contact.objects.all().delete()
        Tag.objects.all().delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mend", [rename, Tag.delete])
@pytest.mark.parametrize("first", ["the writer", "the mender"])
def test_who_links_a_tag_and_who_mends_it_wait_for_each_other(
    acme: SimpleNamespace, mend: Callable[[Tag], Any], first: str
) -> None:
    """The first holds its transaction open while the second starts."""

    def write() -> None:
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["old", "x"]})

    def mend_old() -> None:
        mend(Tag.objects.get(pk=old.pk))

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        finally:
            connection.close()

    old = Tag.objects.create(tenant=acme.tenant, name="old")
    holder, waiter = (write, mend_old) if first == "the writer" else (mend_old, write)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            holder()
            waiting = pool.submit(run, waiter)
            assert not wait([waiting], timeout=0.5).done, "it waits"
        waiting.result(timeout=30)
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_deleting_many_tags_while_callers_use_them_fails_nobody(acme: SimpleNamespace) -> None:
    def call(number: int) -> None:
        if number % 5 == 0:
            acme.tenant.tags.filter(name__in=["a", "b", "c"]).delete()
        else:
            tags = ["c", "b", "a"][number % 3 :]
            acme.tenant.contacts.update_or_create(
                phone=f"+1415555{number % 3:04}", defaults={"tags": tags, "name": str(number)}
            )

    for _ in range(5):
        all_at_once(call, callers=20)
        assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_the_victim_of_a_deadlock_tries_again(acme: SimpleNamespace) -> None:
    """Two rows locked in opposite orders, by two who meet on the first try."""
    tags = [Tag.objects.create(tenant=acme.tenant, name=name) for name in "ab"]
    meet = Barrier(2)
    tries = []

    def call(number: int) -> None:
        @transactional
        def lock_both() -> None:
            tries.append(number)
            for step, tag in enumerate(tags[:: (-1) ** number]):
                Tag.objects.select_for_update().get(pk=tag.pk)
                if step == 0 and tries.count(number) == 1 and connection.vendor == "postgresql":
                    meet.wait(timeout=30)

        lock_both()

    all_at_once(call, callers=2)
    # The victim may take its first row again before the other wakes up, and be one once more.
    assert len(tries) > 2 if connection.vendor == "postgresql" else len(tries) == 2


def test_a_revoked_token_stops_within_a_second_on_every_process(server: httpx.Client) -> None:
    def refused(number: int) -> int:
        with httpx.Client(base_url=server.base_url, headers=server.headers) as client:
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
                server.post(CREATE, json={"phone": phone, "name": "x"}).status_code
                for phone in mine
            ]
        rows = [{"phone": phone, "name": f"n{n}"} for phone in random.Random(n).sample(phones, 200)]
        answer = server.post("/api/v1/actions/create-contacts", json={"contacts": rows})
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
        action = ("create-contact", "delete-contact")[n % 2]
        address = f"/api/v1/actions/{action}"
        body = {"phone": PHONE, "name": f"n{n}"}
        return [server.post(address, json=body).status_code for _ in range(15)]

    answers = all_at_once(act, 12)
    assert {code for codes in answers[::2] for code in codes} == {201}
    assert {code for codes in answers[1::2] for code in codes} <= {200, 404}
