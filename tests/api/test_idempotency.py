"""Requests that are sent again with the same `Idempotency-Key` make their change once."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.urls import get_resolver
from django.utils import timezone

from contacts.api.idempotency import RepeatableView, changes_something
from contacts.api.urls import urlpatterns
from contacts.change_log.cause import caused_by
from contacts.erasing import erase
from contacts.management.commands import worker
from contacts.models import Change, Contact, Import, StoredAnswer, Webhook
from contacts.webhooks import outbox
from contacts.writing import former_phones, upsert
from tenants.models import ApiToken
from tests.support.api import (
    ACTION_BODIES,
    ACTIONS,
    CHANGE_SET,
    GOES,
    PHONE,
    STAYS,
    Api,
    assert_error,
    remaining,
)  # fmt: skip
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.imports_api import CSV, IMPORTS
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
KEY = "order-4711/1"
WEBHOOK = {"url": "https://shop.example.com/hooks"}


def send(api: Api, body: Any, key: str = KEY, path: str = ACTIONS + "create-contact") -> Any:
    return api.send(json.dumps(body), path, **{"Idempotency-Key": key})


def is_replay(answer: Any) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def test_a_repeated_request_gets_the_same_answer_and_changes_nothing(
    api: Api, settings: Any
) -> None:
    settings.RATELIMIT_DEFAULT = "100/hour"
    body = {"phone": PHONE, "name": "Zoé", "tags": ["vip"]}
    first = send(api, body)
    api.act("update-contact", phone=PHONE, name="Later")
    # In another spelling, and at the short address: the same request.
    again = api.send(
        '{"tags":  ["vip"], "name": "Zo\\u00e9", "phone": "%s"}' % PHONE,
        "/v1/actions/create-contact",
        **{"Idempotency-Key": KEY},
    )
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (is_replay(first), is_replay(again)) == (False, True)
    for header in ("Qyvo-Result", "Content-Type"):
        assert again.headers[header] == first.headers[header]
    assert remaining(again) == remaining(first) - 2, "each request counts"
    assert Contact.objects.get().name == "Later"


def test_every_action_that_changes_something_is_repeatable(acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["vip"])
    former_phones.insert(contact, [ACTION_BODIES["remove-former-phone"]["phone"]])
    with caused_by("command:test", CHANGE_SET):
        for pk in (STAYS, GOES):
            ContactFactory.create(pk=pk, tenant=acme.tenant)
    for name in ACTION_BODIES:
        before = transaction.savepoint()
        body, path = ACTION_BODIES[name], ACTIONS + name
        view = get_resolver().resolve(path).func.view_class  # type: ignore[attr-defined]
        body = {"contact_id": contact.pk, "phone": PHONE} | body
        with CountedChanges() as counted:
            first, again = (send(acme.api, body, name, path) for _ in range(2))
        assert first.status_code in {200, 201, 202}, (name, first.content)
        assert is_replay(again) is changes_something(view), name
        # Cursors of lists, which are not stored, name the second in which they were signed.
        assert first.content == again.content or not is_replay(again), name
        assert counted.change_sets <= 1, name
        transaction.savepoint_rollback(before)


class CountedChanges:
    """How many requests have changed contacts inside the block."""

    def __enter__(self) -> "CountedChanges":
        self.before = {*Change.objects.values_list("change_set", flat=True)}
        return self

    def __exit__(self, *args: object) -> None:
        after = {*Change.objects.values_list("change_set", flat=True)}
        self.change_sets = len(after - self.before)


def test_every_view_that_takes_posts_is_repeatable() -> None:
    for pattern in urlpatterns:
        view = cast("Any", pattern.callback).view_class
        assert issubclass(view, RepeatableView) or not hasattr(view, "post"), view


def test_a_key_belongs_to_one_request_of_one_token(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    send(acme.api, {"phone": PHONE})
    for answer in (
        send(acme.api, {"phone": PHONE, "name": "x"}),
        send(acme.api, {"phone": PHONE, "tag": "x"}, path=ACTIONS + "add-tag"),
        send(acme.api, {"phone": PHONE}, path=ACTIONS + "create-contact?x=1"),
    ):
        assert (
            "another request"
            in assert_error(answer, 422, "validation_failed", "Idempotency-Key")["errors"][
                "Idempotency-Key"
            ][0]
        )
    second_token = Api(ApiToken.objects.issue(acme.user, "second").plaintext)
    for other in (second_token, globex.api):
        assert not is_replay(send(other, {"phone": PHONE, "name": "mine"}))
    assert Contact.objects.count() == 2


def test_errors_are_not_stored(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_error(send(api, {"phone": "x"}), 422, "validation_failed", "phone")
    assert api.send("x", **{"Idempotency-Key": KEY}).status_code == 400
    missing = send(api, {"phone": PHONE, "name": "x"}, path=ACTIONS + "update-contact")
    assert_error(missing, 404, "not_found")

    def fail(*args: Any, **kwargs: Any) -> Any:
        upserted(*args, **kwargs)
        raise OperationalError from TimeoutError

    upserted = upsert.update_or_create
    with monkeypatch.context() as context:
        context.setattr(upsert, "update_or_create", fail)
        context.setattr("qyvo.api.is_unavailable", lambda error: True)
        assert send(api, {"phone": PHONE}).status_code == 503
    assert not Contact.objects.exists()
    assert not StoredAnswer.objects.exists()
    assert not is_replay(send(api, {"phone": PHONE}))


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "\t"])
def test_a_malformed_key_is_refused_by_what_changes_something(api: Api, key: str) -> None:
    answer = send(api, {"phone": PHONE}, key)
    assert_error(answer, 422, "validation_failed", "Idempotency-Key")
    assert send(api, {}, key, ACTIONS + "list-tags").status_code == 200
    assert not Contact.objects.exists()
    assert send(api, {"phone": PHONE}, "x" * 255).status_code == 201


def test_a_key_is_free_after_24_hours(acme: SimpleNamespace) -> None:
    send(acme.api, {"phone": PHONE})
    almost = timezone.now() - timedelta(hours=23, minutes=59)
    StoredAnswer.objects.update(created_at=almost)
    call_command("prune_changes", "--older-than", "1d")
    assert is_replay(send(acme.api, {"phone": PHONE}))
    StoredAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))
    assert not is_replay(send(acme.api, {"phone": PHONE, "name": "another body"}))
    StoredAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))
    call_command("prune_changes", "--older-than", "1d")
    assert not StoredAnswer.objects.exists()


def test_a_secret_is_not_stored(api: Api) -> None:
    first = send(api, WEBHOOK, path="/api/v1/webhooks")
    again = send(api, WEBHOOK, path="/api/v1/webhooks")
    assert first.json()["secret"].startswith("whsec_")
    assert again.json() == first.json() | {"secret": None}
    assert first.json()["secret"] not in StoredAnswer.objects.get().body
    assert Webhook.objects.count() == 1


def test_a_file_counts_by_its_content(api: Api) -> None:
    def raw(content: str) -> Any:
        headers = {"content_type": "text/csv", "Idempotency-Key": "raw"}
        return api.send(content, f"{IMPORTS}?tag=x", **headers)

    def form(content: str, **options: str) -> Any:
        file = SimpleUploadedFile("contacts.csv", content.encode(), "text/csv")
        headers = api.headers | {"Idempotency-Key": "form"}
        return api.client.post(IMPORTS, {"file": file} | options, headers=headers)

    for post in (raw, form):
        first, again = post(CSV), post(CSV)
        assert (first.status_code, again.status_code) == (202, 202), first.json()
        assert again.json() == first.json()
        assert again.headers["Location"] == first.headers["Location"]
        assert post(CSV + "+33612345679,Bob,,\n").status_code == 422
    assert form(CSV, tag="y").status_code == 422
    assert Import.objects.count() == 2


def test_erasing_a_person_deletes_the_answers_that_name_the_person(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    send(acme.api, {"phone": PHONE}, "1")
    send(acme.api, {"contacts": [{"phone": PHONE}]}, "2", ACTIONS + "create-contacts")
    send(acme.api, {"phone": "+33612345678"}, "other-person")
    send(globex.api, {"phone": PHONE}, "other-tenant")
    erase(acme.tenant, PHONE)
    assert {*StoredAnswer.objects.values_list("key", flat=True)} == {"other-person", "other-tenant"}


def test_a_request_without_a_key_costs_no_statement(api: Api) -> None:
    api.create()
    assert not about_answers(lambda: api.create(name="1"))
    assert about_answers(lambda: send(api, {"phone": PHONE})) == ["SELECT", "INSERT", "UPDATE"]
    assert about_answers(lambda: send(api, {"phone": PHONE})) == ["SELECT"]


def about_answers(call: Callable[[], Any]) -> list[str]:
    return [sql.partition(" ")[0] for sql in statements(call) if "storedanswer" in sql]


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_is_executed(acme: SimpleNamespace) -> None:
    url = "/api/v1/webhooks"
    answers = all_at_once(lambda _: send(acme.api, WEBHOOK, path=url), 20)
    kinds = Counter((answer.status_code, is_replay(answer)) for answer in answers)
    assert kinds[201, False] == 1
    assert {*kinds} <= {(201, False), (201, True), (409, False)}, kinds
    assert Webhook.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_key_whose_request_runs_too_long_is_a_conflict(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.isolation.connection.lock_timeout", lambda connection: "50ms")
    with transaction.atomic():
        StoredAnswer.objects.claim(acme.tenant, acme.token.pk, KEY, "another request")
        [answer] = all_at_once(lambda _: send(acme.api, {"phone": PHONE}), 1)
    assert_error(answer, 409, "conflict")
    assert not Contact.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_request_that_fails_in_the_end_leaves_the_key_to_the_next(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of requests at once, the first fails after its change: one of the others makes it."""
    create, failures = outbox.create, iter([True])

    def fail_once(webhook: Webhook) -> None:
        create(webhook)
        if next(failures, False):
            raise ValueError("The url is bad.")

    monkeypatch.setattr(outbox, "create", fail_once)
    answers = all_at_once(lambda _: send(acme.api, WEBHOOK, path="/api/v1/webhooks"), 6)
    kinds = Counter((answer.status_code, is_replay(answer)) for answer in answers)
    assert (kinds[422, False], kinds[201, False]) == (1, 1), kinds
    assert Webhook.objects.count() == 1


def test_a_worker_deletes_answers_that_nobody_can_ask_for_any_more(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("old", "new"):
        send(acme.api, {"phone": PHONE}, key)
    old = StoredAnswer.objects.filter(key="old")
    old.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    monkeypatch.setattr(worker.Command, "work", lambda *args, **options: None)
    monkeypatch.setattr(worker, "COMPANIONS", ())
    call_command("worker", "--once")
    assert [*StoredAnswer.objects.values_list("key", flat=True)] == ["new"]
