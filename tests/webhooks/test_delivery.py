"""Webhooks: each committed change is delivered at least once, a rolled-back one never."""

import asyncio
import hmac
import io
import json
import socket
import time
from base64 import b64decode, b64encode
from collections import Counter
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from contacts.importing import ending
from contacts.models import EVENTS, Change, Delivery, Import, Webhook
from contacts.webhooks import outbox, payload, sender
from contacts.webhooks.outbox import RETRY_DELAYS, Attempt, enqueue_deliveries
from contacts.webhooks.sender import deliver
from contacts.writing import merge
from tests.support.api import PHONE
from tests.support.changes import settle
from tests.support.commands import lines
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.receiver import Received, Receiver, receiving
from tests.support.sql import statements
from tests.support.webhooks import State, create, send

pytestmark = [
    pytest.mark.django_db(transaction=True),  # sending has a connection of its own
    pytest.mark.usefixtures("loopback_allowed"),
]
PATIENCE = 60  # seconds for a machine that is busy with other things


def verify(received: Received, *secrets: str) -> None:
    verify_standard(received, *secrets)
    moment, *digests = received.headers["X-Qyvo-Signature"].split(",")
    signed = moment.removeprefix("t=").encode() + b"." + received.body
    expected = [hmac.new(s.encode(), signed, sha256).hexdigest() for s in secrets]
    assert digests == [f"v1={digest}" for digest in expected]
    assert abs(int(moment.removeprefix("t=")) - time.time()) < 60


def verify_standard(received: Received, *secrets: str) -> None:
    """As the specification of Standard Webhooks says. Its own libraries verify a delivery in
    tests/system/generated_clients.py."""
    headers = received.headers
    assert headers["webhook-id"] == headers["X-Qyvo-Delivery-Id"]
    moment = headers["X-Qyvo-Signature"].partition(",")[0]
    assert headers["webhook-timestamp"] == moment.removeprefix("t=")
    start = f"{headers['webhook-id']}.{headers['webhook-timestamp']}."
    keys = [b64decode(secret.removeprefix("whsec_"), validate=True) for secret in secrets]
    digests = [hmac.digest(key, start.encode() + received.body, sha256) for key in keys]
    expected = " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)
    assert headers["webhook-signature"] == expected


# What is delivered


def test_a_new_contact_is_delivered(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    acme.api.create(name="Ann", tags="vip", metadata={"ü": [1, None]})
    send()
    [received] = receiver.received
    headers = received.headers
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Qyvo-Event"] == "contact.created"
    assert headers["X-Qyvo-Webhook-Id"] == webhook.pk
    verify(received, webhook.secret)
    change, delivery = Change.objects.get(), Delivery.objects.get()
    assert received.json == {
        "event": "contact.created", "id": delivery.pk, "sequence": change.pk,
        "timestamp": change.at.isoformat(timespec="seconds"), "tenant_id": acme.tenant.pk,
        "changed": [], "contact": acme.api.act("get-contact", phone=PHONE).json(),
    }  # fmt: skip
    assert headers["X-Qyvo-Delivery-Id"] == delivery.pk
    assert (delivery.state, delivery.attempts, delivery.last_status) == (State.DELIVERED, 1, 200)
    send()
    assert len(receiver.received) == 1


def test_each_kind_of_change_is_an_event(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    api = acme.api
    pk = api.create(name="Ann").json()["id"]
    api.act("update-contact", phone=PHONE, name="Bob", metadata={"a": 1})
    for status in ("opted_in", "opted_out"):
        api.act("record-consent", phone=PHONE, status=status)
    other = ContactFactory.create(tenant=acme.tenant)
    mine = acme.tenant.contacts.get(pk=pk)
    merge.merge([[mine, other]])
    api.act("delete-contact", contact_id=pk)
    send()
    told = [received.json for received in receiver.received]
    told.sort(key=lambda body: body["sequence"])
    events = {body["event"]: body for body in told}
    assert {*events} == {*EVENTS} - {"import.finished"}
    updated = next(body for body in told if body["event"] == "contact.updated")
    assert updated["changed"] == ["metadata", "name"]
    assert events["contact.opted_in"]["changed"] == ["opted_in_at"]
    merged = events["contact.merged"]["contact"]
    assert (merged["id"], merged["merged_into"]) == (other.pk, pk)
    deleted = events["contact.deleted"]["contact"]
    assert (deleted["id"], deleted["name"], deleted["metadata"]) == (pk, other.name, {"a": 1})
    assert updated["contact"] == deleted, "every event shows it as it was when it was deleted"


def test_deliveries_about_an_erased_person_carry_only_the_id(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    pk = acme.api.create(name="Ann").json()["id"]
    call_command("erase_contact", PHONE, "--tenant", "acme", stdout=io.StringIO())
    send()
    assert {*receiver.events()} == {"contact.created", "contact.deleted"}
    for received in receiver.received:
        assert received.json["contact"] == {"id": pk}


def test_a_change_that_was_rolled_back_is_not_delivered(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    with transaction.atomic():
        acme.tenant.contacts.update_or_create(phone=PHONE)
        transaction.set_rollback(True)
    send()
    assert receiver.received == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_change_that_is_committed_late_is_delivered(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    with transaction.atomic():
        acme.tenant.contacts.update_or_create(phone=PHONE)
        all_at_once(lambda number: acme.api.create("+14155550124"), 1)
        deliver(once=True)
        assert receiver.received == []
    send()
    phones = [received.json["contact"]["phone"] for received in receiver.received]
    assert sorted(phones) == [PHONE, "+14155550124"]


def test_only_the_chosen_events_are_delivered(acme: SimpleNamespace, receiver: Receiver) -> None:
    create(acme.tenant, receiver.url, "contact.deleted")
    acme.api.create()
    acme.api.act("delete-contact", phone=PHONE)
    send()
    assert receiver.events() == ["contact.deleted"]


def test_changes_of_other_tenants_and_earlier_changes_are_not_delivered(
    acme: SimpleNamespace, globex: SimpleNamespace, receiver: Receiver
) -> None:
    acme.api.create("+14155550124")
    settle()
    create(acme.tenant, receiver.url)
    globex.api.create()
    send()
    assert receiver.received == []
    acme.api.create()
    send()
    assert [received.json["contact"]["phone"] for received in receiver.received] == [PHONE]


@pytest.mark.parametrize(("import_rows", "number"), [(False, 0), (True, 3)])
def test_an_import_is_one_event_and_its_rows_only_on_request(
    acme: SimpleNamespace, receiver: Receiver, tmp_path: Path, import_rows: bool, number: int
) -> None:
    create(acme.tenant, receiver.url, import_rows=import_rows)
    (tmp_path / "f.csv").write_text("phone\n" + "".join(f"+1415555010{n}\n" for n in range(3)))
    command = ["import_contacts", str(tmp_path / "f.csv"), "--tenant", "acme"]
    lines(*command, "--dry-run")
    lines(*command)
    send()
    assert Counter(receiver.events()) == Counter(
        {"import.finished": 1} | ({"contact.created": number} if number else {})
    )
    [body] = [r.json for r in receiver.received if r.json["event"] == "import.finished"]
    job = acme.tenant.imports.get()
    assert body["import"] == acme.api.get(f"/api/v1/imports/{job.pk}").json()
    assert body["import"]["created"] == 3


def test_a_refused_import_is_an_event_too(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    job = Import.objects.create(tenant=acme.tenant, file_name="x", options={"mode": "upsert"})
    ending.refuse(job, "No phone.")
    send()
    [received] = receiver.received
    assert received.json["event"] == "import.finished"
    assert received.json["import"]["state"] == "refused"


def test_an_import_does_not_end_without_its_event(
    acme: SimpleNamespace, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed between the two would lose the event."""

    def fail(*args: Any, **fields: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(ending, "enqueue_event", fail)
    job = Import.objects.create(tenant=acme.tenant, file_name="x", options={"mode": "upsert"})
    with pytest.raises(DatabaseError):
        ending.finish(job)
    assert not Import.objects.get().is_over


@pytest.mark.both
def test_a_thousand_deliveries_cost_no_more_statements_each_than_ten(
    acme: SimpleNamespace, webhook: Webhook
) -> None:
    def cost(number: int) -> int:
        rows = [{"phone": f"+1415{number:03}{n:04}"} for n in range(number)]
        acme.api.act("create-contacts", contacts=rows)
        settle()
        enqueue_deliveries()
        found = len(statements(lambda: sender.claim(webhook)))
        Delivery.objects.all().delete()
        return found

    assert cost(2) == cost(90)


# Receivers as they are


def test_a_receiver_that_was_down_gets_every_delivery_later(acme: SimpleNamespace) -> None:
    with receiving() as receiver:
        webhook = create(acme.tenant, receiver.url)
    for n in range(3):
        acme.api.create(f"+1415555010{n}")
    send()
    assert {*Delivery.objects.values_list("state", "attempts")} == {(State.PENDING, 1)}
    problem = Delivery.objects.latest("pk").problem
    assert problem.startswith("It could not be reached. (ClientConnectorError: Cannot connect")
    webhook.refresh_from_db()
    assert webhook.failing_since
    with receiving(receiver.port) as again:
        deliver(once=True)
        assert again.received == [], "the retry is not due yet"
        send(due=True)
        assert again.events() == ["contact.created"] * 3
    healed = Webhook.objects.get()
    assert healed.failing_since is None
    assert healed.last_success_at


@pytest.mark.parametrize("status", [300, 301, 400, 404, 410, 500, 503, None])
def test_a_failed_delivery_is_retried_with_the_same_id_and_body(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook, status: int | None
) -> None:
    """None: the receiver hangs up."""
    receiver.answer = lambda received: status
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    acme.api.create()
    send()
    assert len(receiver.received) == 1, "redirects are not followed"
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status) == (State.PENDING, status)
    assert delivery.problem
    receiver.answer = lambda received: 204
    send(due=True)
    first, second = receiver.received
    assert first.headers["X-Qyvo-Delivery-Id"] == second.headers["X-Qyvo-Delivery-Id"]
    assert first.body == second.body
    assert Delivery.objects.get().state == State.DELIVERED


def test_attempts_are_spread_over_a_day_then_the_delivery_is_dead(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    receiver.answer = lambda received: 500
    acme.api.create()
    pauses = []
    for _ in range(12):
        before = timezone.now()
        send(due=True)
        pauses.append((Delivery.objects.get().due_at, before, timezone.now()))
    for (due_at, before, after), seconds in zip(pauses, RETRY_DELAYS, strict=False):
        pause = timedelta(seconds=seconds)
        assert before + 0.9 * pause < due_at < after + 1.1 * pause
    assert 23 * 3600 < sum(RETRY_DELAYS) < 24 * 3600
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.DEAD, 12)
    send(due=True)
    assert len(receiver.received) == 12


def test_dead_deliveries_can_be_replayed(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    acme.api.create()
    acme.api.create("+14155550124")
    send()
    pks = sorted(Delivery.objects.values_list("pk", flat=True))
    Delivery.objects.filter(pk=pks[0]).update(state=State.DEAD, attempts=12)
    receiver.received.clear()
    long_ago = (timezone.now() - timedelta(days=1)).isoformat()
    replay = ["replay_webhook", webhook.pk]
    assert lines(*replay, "--since", long_ago) == ["deliveries to be sent again: 1"]
    send()
    assert [r.headers["X-Qyvo-Delivery-Id"] for r in receiver.received] == pks[:1]
    assert lines(*replay, "--since", long_ago, "--delivered")[0].endswith(": 2")
    assert lines(*replay, "--delivery", pks[1], "--delivered")[0].endswith(": 0"), "it is pending"
    send()
    assert lines(*replay, "--delivery", pks[1], "--delivered")[0].endswith(": 1")
    with pytest.raises(CommandError, match="This webhook has no delivery"):
        lines(*replay, "--delivery", webhook.pk)
    send()
    assert len(receiver.received) == 4


@pytest.mark.slow
def test_a_slow_receiver_delays_no_other_webhook(
    acme: SimpleNamespace, globex: SimpleNamespace, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It answers when the other webhook has all of its deliveries."""
    monkeypatch.setattr(sender, "TIMEOUT", 2 * PATIENCE)
    slow, all_sent = create(acme.tenant, receiver.url), Event()
    receiver.answer = lambda received: 200 if all_sent.wait(PATIENCE) else 500

    def count(received: Received) -> int:
        if len(fast.received) == 30:
            all_sent.set()
        return 200

    with receiving() as fast:
        fast.answer = count
        create(globex.tenant, fast.url)
        acme.api.create()
        for n in range(30):
            globex.api.create(f"+1415555010{n % 10}", name=f"{n}")
        send()
    assert slow.deliveries.get().state == State.DELIVERED


def test_a_receiver_that_answers_byte_by_byte_times_out(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is for the whole attempt, not for each byte."""
    monkeypatch.setattr(sender, "TIMEOUT", 1)

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100:
                try:
                    peer.send(bytes([byte]))
                except OSError:
                    return
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        create(acme.tenant, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=drip, args=[listener])
        thread.start()
        acme.api.create()
        send()
        thread.join()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.PENDING, 1)
    assert delivery.problem == "It did not answer in time. (TimeoutError)"


def test_the_text_of_an_answer_is_not_stored(acme: SimpleNamespace) -> None:
    """The answer may repeat data of people who are erased later."""

    def repeat(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(peer.recv(65_536).partition(b"\r\n\r\n")[2] or peer.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        create(acme.tenant, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=repeat, args=[listener])
        thread.start()
        acme.api.create(name="Ann Secret")
        send()
        thread.join()
    assert Delivery.objects.get().problem == "The answer is not HTTP."


@pytest.mark.both
def test_deleting_a_webhook_while_it_gets_deliveries_disturbs_no_other(
    acme: SimpleNamespace, globex: SimpleNamespace, receiver: Receiver
) -> None:
    doomed = create(acme.tenant, receiver.url)

    def delete(received: Received) -> int:
        Webhook.objects.filter(pk=doomed.pk).delete()
        connection.close()
        return 500

    receiver.answer = delete
    with receiving() as other:
        create(globex.tenant, other.url)
        acme.api.create()
        globex.api.create()
        send()
        assert other.events() == ["contact.created"]
    assert {*Delivery.objects.values_list("webhook", "state")} == {
        (globex.tenant.webhooks.get().pk, State.DELIVERED)
    }


def test_webhooks_take_turns(
    acme: SimpleNamespace, globex: SimpleNamespace, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A webhook with few deliveries does not wait until another one has sent its many."""
    monkeypatch.setattr(sender, "WEBHOOKS_AT_ONCE", 1)
    monkeypatch.setattr(sender, "BATCH", 5)
    create(acme.tenant, receiver.url)
    with receiving() as other:
        create(globex.tenant, other.url)
        acme.api.act(
            "create-contacts", contacts=[{"phone": f"+141555500{n}"} for n in range(50, 90)]
        )
        globex.api.create()
        other.answer = lambda received: len(receiver.received) + 200
        send()
        told = globex.tenant.webhooks.get().own_deliveries().get()
    assert len(receiver.received) == 40
    assert (told.last_status or 0) <= 205, "after at most one batch of the other webhook"


@pytest.mark.slow
def test_a_very_slow_name_lookup_delays_no_other_webhook(
    acme: SimpleNamespace, globex: SimpleNamespace, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It ends when the other webhook has its delivery."""
    monkeypatch.setattr(sender, "TIMEOUT", 2 * PATIENCE)
    monkeypatch.setattr(sender, "REQUESTS_AT_ONCE", 40)
    really, has_arrived = socket.getaddrinfo, Event()

    def lookup(host: Any, *args: Any, **options: Any) -> Any:
        if host == "slow.example":
            assert has_arrived.wait(PATIENCE)
            raise socket.gaierror
        return really(host, *args, **options)

    def arrive(received: Received) -> int:
        has_arrived.set()
        return 200

    receiver.answer = arrive
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    create(acme.tenant, "http://slow.example/hooks")
    create(globex.tenant, f"http://localhost:{receiver.port}/hooks")
    acme.api.act("create-contacts", contacts=[{"phone": f"+141555500{n}"} for n in range(50, 90)])
    globex.api.create()
    send()
    assert receiver.events() == ["contact.created"]
    assert globex.tenant.webhooks.get().own_deliveries().get().state == State.DELIVERED


def test_a_late_failure_does_not_overwrite_a_success(
    acme: SimpleNamespace, webhook: Webhook
) -> None:
    acme.api.create()
    settle()
    enqueue_deliveries()
    [slow] = outbox.claim(webhook, 1)
    Delivery.objects.update(due_at=timezone.now())  # the first worker took too long
    [fast] = outbox.claim(webhook, 1)
    outbox.record(webhook, [Attempt(slow, None, "Timeout")])
    assert Delivery.objects.get().attempts == 0
    outbox.record(webhook, [Attempt(fast, 200, "")])
    outbox.record(webhook, [Attempt(fast, None, "Timeout")])
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.DELIVERED, 1)


# Many workers, and dead ones


@pytest.mark.both
def test_two_workers_at_once_send_each_delivery_once(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    rows = [{"phone": f"+1415555{n:04}"} for n in range(400)]
    assert acme.api.act("create-contacts", contacts=rows).json()["created"] == 400
    settle()
    threads = [Thread(target=deliver, kwargs={"once": True}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    send()
    ids = [received.headers["X-Qyvo-Delivery-Id"] for received in receiver.received]
    assert len(ids) == len({*ids}) == 400
    assert {*Delivery.objects.values_list("state", flat=True)} == {State.DELIVERED}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_pruning_waits_for_a_worker_that_is_enqueueing(
    acme: SimpleNamespace, webhook: Webhook
) -> None:
    acme.api.create()
    settle()
    Change.objects.update(at=timezone.now() - timedelta(days=500))
    with transaction.atomic():
        webhook.own_row().select_for_update().get()
        thread = Thread(target=prune)
        thread.start()
        thread.join(1)
        assert thread.is_alive()
    thread.join()
    assert Delivery.objects.filter(change__in=Change.objects.all()).count() == 1


def prune() -> None:
    lines("prune_changes", "--older-than", "400d")
    connection.close()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite numbers no transactions")
def test_changes_of_a_restored_dump_are_delivered_once(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    """Their order by transaction differs from their order by id."""
    for n in range(4):
        acme.api.create(f"+1415555010{n}")
    for change, xid in zip(Change.objects.order_by("pk"), (12, 10, 13, 11), strict=True):
        Change.objects.filter(pk=change.pk).update(xid=2**50 + xid)
    second = Change.objects.order_by("pk")[1]
    told = [Change.objects.order_by("xid")[0].pk]
    Webhook.objects.update(place=[2**50 + 10, second.pk])
    Delivery.objects.create(
        tenant=acme.tenant, webhook=webhook, event="contact.created", change=second,
        state=State.DELIVERED,
    )  # fmt: skip
    call_command("migrate", verbosity=0)
    acme.api.create("+14155550109")
    send()
    expected = {*Change.objects.values_list("pk", flat=True)} - {*told}
    assert sorted(r.json["sequence"] for r in receiver.received) == sorted(expected)
    late = create(acme.tenant, f"{receiver.url}/late")
    send()
    assert not late.own_deliveries().exists()


def test_each_change_becomes_one_delivery(acme: SimpleNamespace, webhook: Webhook) -> None:
    for n in range(5):
        acme.api.create(f"+1415555010{n}")
    settle()
    enqueue_deliveries()
    enqueue_deliveries()
    Webhook.objects.update(place=[])  # back to the start of the log
    enqueue_deliveries()
    assert Delivery.objects.count() == 5


@pytest.mark.both
def test_many_changes_are_read_in_several_transactions(
    acme: SimpleNamespace, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.webhooks.outbox.CHANGES_AT_ONCE", 2)
    for n in range(5):
        acme.api.create(f"+1415555010{n}")
    settle()
    enqueue_deliveries()
    assert Delivery.objects.count() == 5


# Private addresses


INSIDE = [
    "127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.",
    "[::1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "127。0。0。1", "１２７.0.0.1", "127｡0．0.1",
]  # fmt: skip


def test_nothing_is_sent_inside_however_it_is_written(
    acme: SimpleNamespace, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    hooks = [create(acme.tenant, f"http://{host}:{receiver.port}/hooks") for host in INSIDE]
    acme.api.create()
    send()
    assert receiver.received == []
    for webhook in hooks:
        problem = webhook.own_deliveries().get().problem
        assert "is not a public address" in problem, webhook.url


@pytest.mark.parametrize("host", ["127.0.0.1", "127。0。0。1", "localhost"])
def test_nothing_is_sent_to_a_private_address_whatever_the_session_allows(
    acme: SimpleNamespace, receiver: Receiver, settings: Any, host: str
) -> None:
    webhook = create(acme.tenant, f"http://{host}:{receiver.port}/hooks")
    acme.api.create()
    settle()
    enqueue_deliveries()
    [delivery] = webhook.deliveries.all()
    message = payload.Message(delivery, b"{}", {})
    settings.WEBHOOK_ALLOWED_NETWORKS = []

    async def post(connector: Any) -> sender.Answer:
        async with aiohttp.ClientSession(connector=connector()) as session:
            return await sender.post(session, webhook, message)

    for connector in (aiohttp.TCPConnector, sender.PublicConnector):
        answer = asyncio.run(post(connector))
        assert answer.status is None
        assert "public address" in answer.problem
    assert receiver.received == []


def test_the_checked_address_is_the_one_that_is_connected_to(
    acme: SimpleNamespace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to a public address first, and to a private one a moment later."""
    asked: list[str] = []
    really = socket.getaddrinfo

    def lookup(host: Any, *args: Any, **options: Any) -> Any:
        if host != "hooks.example":
            return really(host, *args, **options)
        asked.append(host)
        return really("127.0.0.1" if len(asked) == 1 else "127.0.0.9", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    create(acme.tenant, f"http://hooks.example:{receiver.port}/hooks")
    acme.api.create()
    send()
    [received] = receiver.received
    assert received.headers["Host"] == f"hooks.example:{receiver.port}"
    assert len(asked) == 1


def test_a_name_with_a_public_and_a_private_address_is_refused(
    acme: SimpleNamespace, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []

    def lookup(host: str, port: int, *args: Any, **options: Any) -> Any:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.215.14", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    create(acme.tenant, f"https://hooks.example:{receiver.port}/hooks")
    acme.api.create()
    send()
    assert receiver.received == []
    problem = Delivery.objects.get().problem
    assert problem == "Its address is not allowed. (Forbidden: 127.0.0.1 is not a public address.)"


def test_plain_http_reaches_allowed_networks_only(
    acme: SimpleNamespace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads inside is reached; as soon as it leads to a public address, it is not."""
    address = "127.0.0.1"

    def lookup(host: str, port: int, *args: Any, **options: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    create(acme.tenant, f"http://n8n.example:{receiver.port}/hooks")
    acme.api.create()
    send()
    assert receiver.events() == ["contact.created"]
    address = "93.184.215.14"
    acme.api.act("delete-contact", phone=PHONE)
    send()
    assert (
        "93.184.215.14 is not in WEBHOOK_ALLOWED_NETWORKS" in Delivery.objects.latest("pk").problem
    )
    assert len(receiver.received) == 1


# Failing for days


def test_a_webhook_that_fails_for_three_days_is_paused_until_resumed(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    receiver.answer = lambda received: 500
    acme.api.create()
    send()
    Webhook.objects.update(failing_since=timezone.now() - timedelta(days=3))
    send(due=True)
    webhook.refresh_from_db()
    assert webhook.paused_at
    tried = len(receiver.received)  # so far
    acme.api.create("+14155550124")
    send(due=True)
    assert len(receiver.received) == tried
    assert Delivery.objects.filter(state=State.PENDING).count() == 2, "new deliveries wait"
    receiver.answer = lambda received: 200
    outbox.resume(webhook)
    send()
    assert {*Delivery.objects.values_list("state", flat=True)} == {State.DELIVERED}


# Secrets


def test_after_a_rotation_both_secrets_are_valid_for_a_day(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    old = webhook.secret
    [line] = lines("rotate_webhook", webhook.pk)
    webhook.refresh_from_db()
    assert line == f"secret: {webhook.secret}"
    assert webhook.secret != old
    acme.api.create()
    send()
    verify(receiver.received[-1], webhook.secret, old)
    Webhook.objects.update(rotated_at=timezone.now() - timedelta(hours=24, seconds=1))
    acme.api.act("delete-contact", phone=PHONE)
    send()
    verify(receiver.received[-1], webhook.secret)


def test_a_rotated_secret_signs_the_next_batch(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH", 1)
    stale = Webhook.objects.get()
    webhook.rotate()
    acme.api.create()
    settle()
    enqueue_deliveries()
    fresh, [message] = sender.claim(stale)
    assert message.signatures["X-Qyvo-Signature"].count("v1=") == 2
    assert fresh.secret == webhook.secret


def test_no_secret_is_stored(webhook: Webhook) -> None:
    stored = json.dumps([*Webhook.objects.values()], default=str)
    assert webhook.secret.removeprefix("whsec_") not in stored
    assert webhook.secret == Webhook.objects.get().secret


# Creation


def test_a_new_webhook_is_tested_at_once(acme: SimpleNamespace, receiver: Receiver) -> None:
    webhook = Webhook(tenant=acme.tenant, url=receiver.url, events=EVENTS)
    outbox.create(webhook)
    send()
    [received] = receiver.received
    assert received.headers["X-Qyvo-Event"] == "webhook.test"
    verify(received, webhook.secret)
    assert received.json["event"] == "webhook.test"
    assert received.json["tenant_id"] == acme.tenant.pk


# Commands


def test_the_command_creates_a_webhook(acme: SimpleNamespace) -> None:
    address = "https://shop.example.com/hooks"
    said = lines("create_webhook", address, "--tenant", "acme", "--event", "contact.deleted")
    webhook = Webhook.objects.get()
    assert said[-1] == f"secret: {webhook.secret}"
    assert webhook.events == ["contact.deleted"]
    for words, sentence in [
        ("ftp://x.example --tenant acme", "must begin with https"),
        ("https://x.example --tenant nobody", "no tenant “nobody”"),
        ("https://x.example --tenant acme --event x", "no event “x”"),
    ]:
        with pytest.raises(CommandError, match=sentence):
            lines("create_webhook", *words.split())
    with pytest.raises(CommandError, match="There is no webhook"):
        lines("rotate_webhook", "x")
    with pytest.raises(CommandError, match="Send a timestamp"):
        lines("replay_webhook", str(webhook.pk), "--since", "yesterday")


def test_pruning_keeps_changes_that_are_not_delivered_yet(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    acme.api.create(name="Ann")
    acme.api.act("delete-contact", phone=PHONE)
    settle()
    old = timezone.now() - timedelta(days=500)
    Change.objects.update(at=old)
    assert lines("prune_changes", "--older-than", "400d") == ["changes deleted: 0"]
    send()
    assert {*receiver.events()} == {"contact.created", "contact.deleted"}
    assert receiver.received[-1].json["contact"]["name"] == "Ann"
    Delivery.objects.update(finished_at=old)
    assert lines("prune_changes", "--older-than", "400d") == ["changes deleted: 1"]
    assert not Delivery.objects.exists()
    assert not Change.objects.exclude(fields={}).exists()
