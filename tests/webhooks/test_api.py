"""Webhooks over the API: who may create one, and which URLs are allowed."""

import json
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.models import EVENTS, Delivery, Webhook
from contacts.webhooks.addresses import Forbidden, check_address, check_host
from tests.support.api import assert_error

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


@pytest.mark.parametrize(
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
