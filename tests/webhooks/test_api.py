"""Webhooks over the API: who may create one, and which URLs are allowed."""

import json
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.api import webhooks
from contacts.api.webhooks import WebhookView
from contacts.models import EVENTS, Delivery, Webhook
from contacts.webhooks import outbox
from contacts.webhooks.addresses import Forbidden, check_address, check_host
from tests.support.api import assert_error
from tests.support.cases import in_one_test
from tests.support.sql import all_rows

pytestmark = pytest.mark.django_db
# Addresses


PRIVATE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1",
    "::ffff:a9fe:a9fe", "fec0::2", "::127.0.0.1", "::ffff:0:127.0.0.1", "5f00::1", "64:ff9b:1::1",
    "2001:db8::1", "192.88.99.1", "::ffff:192.88.99.1", "64:ff9b::c058:6301", "2002:c058:6301::1",
    "3fff::1", "3fff:fff:ffff::1", "2001:2::1", "2001:10::1", "2001:1ff::1", "2001:0:7f00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused(settings: Any, address: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    with pytest.raises(Forbidden):
        check_address(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_allowed(settings: Any, address: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_network_can_be_allowed(settings: Any, address: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    check_address(address)
    with pytest.raises(Forbidden):
        check_address("10.0.0.1")


@pytest.mark.parametrize(
    "host",
    ["127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "１２７.0.0.1", "①②⑦.0.0.1", "127%2e0.0.1",
     "%31%32%37.0.0.1", "０x7f.1", "2130706433", "0177.0.0.1"],
)  # fmt: skip
def test_a_host_is_read_as_clients_read_it(settings: Any, host: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    with pytest.raises(Forbidden):
        check_host(host)


# The API


WEBHOOKS = "/api/v1/webhooks"
GOOD = {"url": "https://shop.example.com/hooks?x=1", "events": ["contact.updated"]}


def create(member: SimpleNamespace, **body: Any) -> Any:
    return member.api.send(json.dumps(GOOD | body), WEBHOOKS)


def test_a_webhook_is_created_shown_and_deleted_over_the_api(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    answer = create(acme)
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    webhook = Webhook.objects.get()
    secret = body.pop("secret")
    assert secret == webhook.secret
    assert body["events"] == ["contact.updated"]
    assert acme.api.get(WEBHOOKS).json() == [body]
    one = f"{WEBHOOKS}/{webhook.pk}"
    assert acme.api.get(one).json() == body
    assert [delivery.event for delivery in webhook.deliveries.all()] == ["webhook.test"]
    assert globex.api.get(WEBHOOKS).json() == []
    assert_error(globex.api.get(one), 404, "not_found")
    gone = globex.api.client.delete(one, headers=globex.api.headers)
    assert_error(gone, 404, "not_found")
    gone = acme.api.client.delete(one, headers=acme.api.headers)
    assert (gone.status_code, gone.content) == (204, b"")
    assert not Webhook.objects.exists()
    assert not Delivery.objects.exists()
    assert_error(acme.api.get(one), 404, "not_found")
    assert_error(acme.api.get(f"{WEBHOOKS}/x"), 404, "not_found")


@in_one_test(
    ("field", "value"),
    [("url", value) for value in (
        None, "", 1, "shop.example.com", "http://shop.example.com", "ftp://shop.example.com",
        "https://", "https://user:pass@shop.example.com", "https://shop.example.com:x/",
        "https://shop.example.com/a b", "https://shop.example.com/\nx", "https://[::1", "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest", "https://shöp.example.com/",
        "https://shop.example.com/" + "x" * 2000, "https://shop.example.com:99999/", ["https://x.example"],
    )] + [("events", ["contact.eaten"]), ("events", "contact.created"), ("events", [1]),
          ("events", {}), ("import_rows", "yes")],
)  # fmt: skip
def test_a_bad_webhook_is_refused(acme: SimpleNamespace, field: str, value: Any) -> None:
    assert_error(create(acme, **{field: value}), 422, "validation_failed", field)
    assert not Webhook.objects.exists()


def test_without_events_a_webhook_gets_all_events(acme: SimpleNamespace) -> None:
    assert create(acme, events=[]).json()["events"] == EVENTS


def test_plain_http_is_for_development(acme: SimpleNamespace, settings: Any) -> None:
    settings.DEBUG = True
    assert create(acme, url="http://n8n.example:5678/webhook/x").status_code == 201


def test_plain_http_and_private_addresses_are_for_allowed_networks(
    acme: SimpleNamespace, settings: Any
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16")]
    for url in ("http://10.1.2.3/x", "https://10.1.2.3/x", "http://n8n.internal:5678/x"):
        assert create(acme, url=url).status_code == 201, url
    for url in ("http://10.2.2.3/x", "https://10.2.2.3/x", "http://93.184.215.14/x"):
        assert_error(create(acme, url=url), 422, "validation_failed", "url")


def test_without_encryption_only_allowed_addresses_are_reached(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16")]
    check_address("::ffff:10.1.2.3", plain=True)
    for address in ("93.184.215.14", "64:ff9b::5db8:d70e", "10.2.2.3"):
        with pytest.raises(Forbidden):
            check_address(address, plain=True)


def test_the_same_url_twice_is_a_conflict_that_names_the_first_webhook(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    first = create(acme).json()["id"]
    assert first in assert_error(create(acme), 409, "conflict")["message"]
    assert create(globex).status_code == 201
    assert acme.tenant.webhooks.count() == 1


def test_a_tenant_has_at_most_twenty(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    for number in range(20):
        assert create(acme, url=f"https://shop.example/{number}").status_code == 201
    assert_error(create(acme), 422, "validation_failed", "url")
    assert create(globex).status_code == 201


def test_a_user_without_a_tenant_has_no_webhooks(outsider: SimpleNamespace) -> None:
    for answer in (create(outsider), outsider.api.get(WEBHOOKS), outsider.api.get(f"{WEBHOOKS}/x")):
        assert_error(answer, 422, "no_workspace")


# One webhook


@pytest.fixture
def hook(acme: SimpleNamespace) -> Webhook:
    return Webhook.objects.get(pk=create(acme).json()["id"])


def ask(member: SimpleNamespace, hook: Webhook, verb: str = "", **body: Any) -> Any:
    """Sends `body` to an address of the webhook; PATCH without a verb."""
    path = f"{WEBHOOKS}/{hook.pk}{verb and f'/{verb}'}"
    if verb == "deliveries":
        return member.api.get(path)
    if verb:
        return member.api.send(json.dumps(body), path)
    data, kind = json.dumps(body), "application/json"
    return member.api.client.patch(path, data, content_type=kind, headers=member.api.headers)


def test_a_webhook_is_changed_in_what_is_sent_only(acme: SimpleNamespace, hook: Webhook) -> None:
    secret, place = hook.secret, hook.place
    body = ask(acme, hook, url="https://shop.example.com/2").json()
    assert body["url"] == "https://shop.example.com/2"
    assert body["events"] == GOOD["events"]
    body = ask(acme, hook, events=None, import_rows="true").json()
    assert (body["url"], body["events"]) == ("https://shop.example.com/2", EVENTS)
    assert body["import_rows"] is True
    assert acme.api.get(f"{WEBHOOKS}/{hook.pk}").json() == body == ask(acme, hook).json()
    hook.refresh_from_db()
    assert (hook.secret, hook.place) == (secret, place)


def test_a_bad_change_of_a_webhook_changes_nothing(acme: SimpleNamespace, hook: Webhook) -> None:
    other = create(acme, url="https://shop.example.com/other").json()
    assert (
        other["id"] in assert_error(ask(acme, hook, url=other["url"]), 409, "conflict")["message"]
    )
    for field, value in [("url", "http://x.example"), ("url", None), ("events", ["x"]),
                         ("import_rows", 1), ("paused", "no")]:  # fmt: skip
        bad: dict[str, Any] = {"import_rows": True, field: value}
        assert_error(ask(acme, hook, **bad), 422, "validation_failed", field)
    assert ask(acme, hook, url=GOOD["url"]).status_code == 200, "it keeps its own"
    assert ask(acme, hook).json()["import_rows"] is False


def test_a_webhook_is_paused_and_resumed(acme: SimpleNamespace, hook: Webhook) -> None:
    paused_at = ask(acme, hook, paused=True).json()["paused_at"]
    assert paused_at
    assert ask(acme, hook, paused=True).json()["paused_at"] == paused_at
    assert not Webhook.objects.with_due_deliveries().exists()
    assert ask(acme, hook, paused=False).json()["paused_at"] is None
    assert Webhook.objects.with_due_deliveries().exists()


def test_a_rotation_shows_the_new_secret_once(acme: SimpleNamespace, hook: Webhook) -> None:
    old = hook.secret
    path, key = f"{WEBHOOKS}/{hook.pk}/rotate", {"Idempotency-Key": "k"}
    first, again = (acme.api.send("", path, **key).json() for _ in range(2))
    hook.refresh_from_db()
    assert hook.secrets_at(timezone.now()) == [first["secret"], old]
    assert again == first | {"secret": None}


def test_a_test_is_sent_and_listed(acme: SimpleNamespace, hook: Webhook) -> None:
    answer = ask(acme, hook, "test")
    assert answer.status_code == 202
    page = ask(acme, hook, "deliveries").json()
    assert page["data"][0] == answer.json()
    assert [entry["event"] for entry in page["data"]] == ["webhook.test"] * 2
    assert page["next_cursor"] is None


def test_deliveries_are_listed_page_by_page(acme: SimpleNamespace, hook: Webhook) -> None:
    for _ in range(4):
        outbox.enqueue_test(hook)
    dead = {"state": "dead", "attempts": 12, "last_status": 500, "problem": "It answered 500."}
    hook.deliveries.update(**dead, finished_at=timezone.now())
    path, found = f"{WEBHOOKS}/{hook.pk}/deliveries", list[Any]()
    cursor: str | None = ""
    while cursor is not None:
        page = acme.api.get(f"{path}?limit=2&cursor={cursor}").json()
        found += page["data"]
        cursor = page["next_cursor"]
    assert [entry["id"] for entry in found] == [
        *hook.deliveries.order_by("-pk").values_list("pk", flat=True)
    ]
    assert {name: found[0][name] for name in dead} == dead
    assert found[0]["next_attempt_at"] is None
    cursor = acme.api.get(f"{path}?limit=1").json()["next_cursor"]
    other = create(acme, url="https://shop.example.com/other").json()["id"]
    of_other = f"{WEBHOOKS}/{other}/deliveries?cursor={cursor}"
    assert_error(acme.api.get(of_other), 422, "validation_failed", "cursor")
    for limit in ("0", "501", "x"):
        assert_error(acme.api.get(f"{path}?limit={limit}"), 422, "validation_failed", "limit")


def test_deliveries_are_sent_again(acme: SimpleNamespace, hook: Webhook) -> None:
    """As the command does; tests/webhooks/test_delivery.py tests which."""
    Webhook.objects.update(paused_at=timezone.now())
    delivery, since = hook.deliveries.get(), "2026-05-07T00:00:00Z"
    none = {"replayed": 0, "next_cursor": None}
    assert ask(acme, hook, "replay", since=since).json() == none, "it is pending"
    assert Webhook.objects.get().paused_at is None
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("dead", {"since": since}, 1), ("delivered", {"since": since}, 0),
        ("delivered", {"since": since, "delivered": True}, 1),
        ("delivered", {"delivery_id": delivery.pk.lower()}, 1),
    ]  # fmt: skip
    for state, body, number in cases:
        hook.deliveries.update(state=state)
        answer = ask(acme, hook, "replay", **body).json()
        assert answer == {"replayed": number, "next_cursor": None}, body
    for bad, field in [
        ({}, "since"),
        ({"since": "x"}, "since"),
        ({"delivery_id": "x"}, "delivery_id"),
        ({"since": since, "cursor": "x"}, "cursor"),
    ]:
        assert_error(ask(acme, hook, "replay", **bad), 422, "validation_failed", field)
    unknown = ask(acme, hook, "replay", delivery_id=hook.pk)
    assert_error(unknown, 404, "not_found")


@pytest.mark.both
def test_many_deliveries_are_sent_again_in_short_transactions_and_several_requests(
    acme: SimpleNamespace, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier request that have arrived meanwhile are not sent once more."""
    monkeypatch.setattr(outbox, "REPLAYED_AT_ONCE", 2)
    monkeypatch.setattr(webhooks, "MAX_REPLAYED", 4)
    for _ in range(8):
        outbox.enqueue_test(hook)
    finished = {"state": "delivered", "finished_at": timezone.now()}
    hook.deliveries.update(**finished)
    pks = [*hook.deliveries.order_by("pk").values_list("pk", flat=True)]
    again, replayed = list[list[str]](), list[int]()
    cursor: str | None = ""
    while cursor is not None:
        body = {"since": "2026-05-07T00:00:00Z", "delivered": True, "cursor": cursor}
        with CaptureQueriesContext(connection) as captured:
            answer = ask(acme, hook, "replay", **body).json()
        updates = [q for q in captured if q["sql"].startswith('UPDATE "contacts_delivery"')]
        replayed.append(answer["replayed"])
        assert len(updates) == -(-answer["replayed"] // 2)
        pending = hook.deliveries.pending()
        again.append(sorted(pending.values_list("pk", flat=True)))
        pending.update(**finished)
        cursor = answer["next_cursor"]
    assert (again, replayed) == ([pks[:4], pks[4:8], pks[8:]], [4, 4, 1])


@pytest.mark.parametrize("verb", ["", "rotate", "test", "deliveries", "replay"])
def test_a_webhook_of_another_tenant_is_not_found(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, hook: Webhook,
    verb: str,
) -> None:  # fmt: skip
    before = all_rows(Webhook, Delivery)
    body = {"paused": True, "since": "2026-05-07T00:00:00Z"}
    assert_error(ask(globex, hook, verb, **body), 404, "not_found")
    assert_error(ask(outsider, hook, verb, **body), 422, "no_workspace")
    assert all_rows(Webhook, Delivery) == before
    assert ask(acme, hook, verb, **body).status_code in (200, 202)


def test_a_webhook_that_is_deleted_meanwhile_is_not_found(
    acme: SimpleNamespace, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up and the lock."""
    monkeypatch.setattr(WebhookView, "find", lambda view, pk: hook)
    Webhook.objects.filter(pk=hook.pk).delete()
    for verb in ("", "rotate"):
        assert_error(ask(acme, hook, verb, paused=True), 404, "not_found")
