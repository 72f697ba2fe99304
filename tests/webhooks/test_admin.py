"""Webhooks in the admin: create, test, rotate, resume, replay; only within the own tenant."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.translation import trans_real

from contacts.admin import webhooks
from contacts.models import EVENTS, Delivery, Webhook
from contacts.webhooks import outbox
from tenants.models import Tenant
from tests.support.admin import contact_form, errors, url

pytestmark = pytest.mark.django_db
HOOKS = "https://shop.example.com/hooks"


def create(tenant: Tenant, url: str = HOOKS) -> Webhook:
    webhook = Webhook(tenant=tenant, url=url, events=EVENTS)
    outbox.create(webhook)
    return webhook


@pytest.fixture
def webhook(acme: SimpleNamespace) -> Webhook:
    return create(acme.tenant)


def act(client: Client, action: str, *webhooks: Webhook) -> Any:
    chosen = {"action": action, "_selected_action": [hook.pk for hook in webhooks]}
    return client.post(url(Webhook, "changelist"), chosen, follow=True)


def test_a_webhook_is_created_and_its_secret_shown_once(
    staff: Client,
    acme: SimpleNamespace,
) -> None:
    address = url(Webhook, "add")
    data = contact_form(staff, address, url=HOOKS, events=["contact.created"])
    data.pop("import_rows")
    response = staff.post(address, data)
    made = Webhook.objects.get()
    assert (made.tenant, made.events) == (acme.tenant, ["contact.created"])
    assert made.secret in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    pages = [url(Webhook, "change", made.pk), *(url(m, "changelist") for m in (Webhook, Delivery))]
    for page in pages:
        answer = staff.get(page)
        assert answer.status_code == 200
        assert made.secret not in answer.content.decode()
    assert [delivery.event for delivery in made.deliveries.all()] == ["webhook.test"]


@pytest.mark.parametrize("value", ["", "http://x.example", "https://10.0.0.1/", "x"])
def test_a_bad_address_is_a_form_error(staff: Client, value: str) -> None:
    address = url(Webhook, "add")
    assert "url" in errors(staff.post(address, {"url": value, "events": EVENTS}))
    assert not Webhook.objects.exists()


def test_the_twenty_first_webhook_is_a_form_error(staff: Client, acme: SimpleNamespace) -> None:
    for number in range(20):
        create(acme.tenant, f"{HOOKS}/{number}")
    address = url(Webhook, "add")
    assert "__all__" in errors(staff.post(address, {"url": HOOKS, "events": EVENTS}))


def test_a_url_that_another_webhook_has_is_a_form_error(
    staff: Client, webhook: Webhook, acme: SimpleNamespace
) -> None:
    other = create(acme.tenant, f"{HOOKS}/other")
    address = url(Webhook, "change", other.pk)
    data = contact_form(staff, address, url=HOOKS)
    assert webhook.pk in str(errors(staff.post(address, data)))
    assert staff.post(address, data | {"url": other.url}).status_code == 302


def test_a_webhook_is_changed(staff: Client, webhook: Webhook) -> None:
    address = url(Webhook, "change", webhook.pk)
    data = contact_form(staff, address, url=f"{HOOKS}/2", events=["contact.deleted"])
    data["import_rows"] = "on"
    assert staff.post(address, data).status_code == 302
    secret, place = webhook.secret, webhook.place
    webhook.refresh_from_db()
    assert (webhook.url, webhook.events) == (f"{HOOKS}/2", ["contact.deleted"])
    assert webhook.import_rows
    assert (webhook.secret, webhook.place) == (secret, place)


def test_saving_an_outdated_page_untouched_keeps_the_new_url(
    staff: Client,
    webhook: Webhook,
) -> None:
    address = url(Webhook, "change", webhook.pk)
    stale = contact_form(staff, address)
    stale.pop("import_rows")
    Webhook.objects.filter(pk=webhook.pk).update(url=f"{HOOKS}/2")
    assert staff.post(address, stale).status_code == 302
    webhook.refresh_from_db()
    assert webhook.url == f"{HOOKS}/2"


def test_a_secret_is_rotated_one_webhook_at_a_time(
    staff: Client,
    webhook: Webhook,
    acme: SimpleNamespace,
) -> None:
    old = webhook.secret
    response = act(staff, "rotate", webhook)
    webhook.refresh_from_db()
    assert webhook.secret != old
    assert webhook.secret in response.content.decode()
    other = create(acme.tenant, f"{HOOKS}/other")
    before = webhook.secret
    assert "Select one webhook" in act(staff, "rotate", webhook, other).content.decode()
    webhook.refresh_from_db()
    assert webhook.secret == before


def test_a_paused_webhook_says_so_and_can_be_resumed(staff: Client, webhook: Webhook) -> None:
    Webhook.objects.update(failing_since=timezone.now())
    assert "failing since" in staff.get(url(Webhook, "changelist")).content.decode()
    Webhook.objects.update(paused_at=timezone.now())
    assert "paused since" in staff.get(url(Webhook, "changelist")).content.decode()
    act(staff, "resume", webhook)
    assert Webhook.objects.get().paused_at is None
    act(staff, "pause", webhook)
    assert Webhook.objects.get().paused_at
    act(staff, "resume", webhook)
    webhook.refresh_from_db()
    assert webhook.paused_at is webhook.failing_since is None
    act(staff, "test", webhook)
    assert webhook.deliveries.filter(event="webhook.test").count() == 2


def test_dead_deliveries_are_listed_and_sent_again(staff: Client, webhook: Webhook) -> None:
    problem = "<script>alert(1)</script>"
    Delivery.objects.update(state=Delivery.State.DEAD, problem=problem, attempts=12)
    page = staff.get(url(Delivery, "changelist"), {"q": webhook.pk}).content.decode()
    assert "<script>alert" not in page
    assert webhook.deliveries.get().pk in page
    assert "1 dead" in staff.get(url(Webhook, "change", webhook.pk)).content.decode()
    assert "sent again: 1." in act(staff, "replay", webhook).content.decode()
    assert Delivery.objects.get().state == Delivery.State.PENDING
    Delivery.objects.update(state=Delivery.State.DELIVERED)
    chosen = {"action": "replay", "_selected_action": [webhook.deliveries.get().pk]}
    staff.post(url(Delivery, "changelist"), chosen)
    assert Delivery.objects.get().state == Delivery.State.PENDING
    for query in ("x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        found = staff.get(url(Delivery, "changelist"), {"q": query})
        assert found.context["cl"].result_count == 0


def test_staff_see_and_change_only_webhooks_of_their_tenant(
    staff: Client,
    superuser: Client,
    globex: SimpleNamespace,
) -> None:
    theirs = create(globex.tenant, "https://globex.example/hooks")
    secret, place = theirs.secret, url(Webhook, "changelist")
    Delivery.objects.update(state=Delivery.State.DEAD)
    assert "globex" not in staff.get(place).content.decode()
    assert "globex" in superuser.get(place).content.decode()
    listed = staff.get(url(Delivery, "changelist"), {"q": theirs.pk})
    assert listed.context["cl"].result_count == 0
    for model, pk in ((Webhook, theirs.pk), (Delivery, theirs.deliveries.get().pk)):
        for page in ("change", "delete", "history"):
            answer = staff.get(url(model, page, pk))
            assert answer.status_code in (302, 403, 404)
            assert "globex" not in answer.content.decode()
    for action in ("rotate", "replay", "test", "pause", "resume"):
        act(staff, action, theirs)
    staff.post(
        url(Delivery, "changelist"),
        {"action": "replay", "_selected_action": [theirs.deliveries.get().pk]},
    )
    theirs.refresh_from_db()
    assert theirs.secret == secret
    assert theirs.deliveries.get().state == Delivery.State.DEAD
    assert "webhook__id" not in staff.get(url(Delivery, "changelist")).content.decode()


def test_the_problem_of_a_delivery_is_in_the_language_of_the_user(
    staff: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trans_real.DjangoTranslation, "gettext", lambda self, text: f"_{text}")
    page = url(Delivery, "change", webhook.deliveries.get().pk)
    for status, problem in (
        (500, "It answered 500."), (None, "The answer is not HTTP."),
        (None, "It could not be reached. (ClientConnectorError: Cannot connect to host b:80)"),
    ):  # fmt: skip
        Delivery.objects.update(last_status=status, problem=problem)
        for address in (url(Delivery, "changelist"), page):
            assert f"_{problem}" in staff.get(address).content.decode()


def test_not_all_deliveries_are_counted(
    staff: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 1)
    page = url(Webhook, "change", webhook.pk)
    assert ">1 pending, 0 dead<" in staff.get(page).content.decode()
    outbox.enqueue_test(webhook)
    assert ">over 1 pending, 0 dead<" in staff.get(page).content.decode()
