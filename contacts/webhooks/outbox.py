"""The outbox of webhooks: which deliveries there are, who sends them, when a failed one is retried.

Deliveries are made from the change log after the commit of a change (a transactional outbox): a
change that was rolled back is never delivered, and a committed one is delivered at least once.
`sender` sends them.
"""

import logging
import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from contacts.change_log.feed import FeedPosition
from contacts.db.transactions import hold_tenant
from contacts.models import (
    EVENT_OF_KIND,
    TEST_EVENT,
    Change,
    Delivery,
    DeliveryQuerySet,
    Webhook,
)
from tenants.isolation import tenant_context
from tenants.models import Tenant

logger = logging.getLogger(__name__)

MAX_WEBHOOKS = 20  # of a tenant
CHANGES_AT_ONCE = 2000  # changes of the log that one transaction makes into deliveries
LEASE = timedelta(seconds=120)  # of a claimed delivery: longer than a worker needs for a batch
PAUSED_AFTER = timedelta(days=3)  # without a success
REPLAYED_AT_ONCE = 1000  # deliveries that one transaction sends again

# Seconds between two attempts: twelve attempts in a day.
RETRY_DELAYS = [10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 36_000]
JITTER = 0.1  # of a delay, so that retries after an outage do not all come at once

# Why an attempt has failed, as it is stored: in English. Pages translate it. After one of
# `NO_ANSWER`, the error of the program may follow in brackets, for those who operate the receiver.
ANSWERED = gettext_noop("It answered %(status)s.")
NOT_HTTP = gettext_noop("The answer is not HTTP.")
NOT_ALLOWED = gettext_noop("Its address is not allowed.")
NO_HOST = gettext_noop("Its host name was not found.")
NO_TLS = gettext_noop("The encrypted connection failed.")
TIMED_OUT = gettext_noop("It did not answer in time.")
UNREACHABLE = gettext_noop("It could not be reached.")
HUNG_UP = gettext_noop("It closed the connection without an answer.")
NO_ANSWER = (NOT_HTTP, NOT_ALLOWED, NO_HOST, NO_TLS, TIMED_OUT, UNREACHABLE, HUNG_UP)


# Webhooks


def refuse_too_many(tenant: Tenant) -> None:
    """Raises `ValueError` if the tenant already has as many webhooks as it may have."""
    if tenant.webhooks.count() >= MAX_WEBHOOKS:
        raise ValueError(
            _("There are %(count)s webhooks already; delete one first.") % {"count": MAX_WEBHOOKS}
        )


class UrlTaken(ValueError):
    """Another webhook of the tenant has the same URL: its receiver would get each event twice."""

    sentence = gettext_noop(
        "The webhook %(id)s has this url already. Change or delete that webhook."
    )

    def __init__(self, pk: str) -> None:
        super().__init__(_(self.sentence) % {"id": pk})


def refuse_same_url(tenant: Tenant, url: str, pk: str) -> None:
    """Raises `UrlTaken` if a webhook of the tenant, other than the webhook `pk`, has this URL."""
    same = tenant.webhooks.filter(url=url).exclude(pk=pk).order_by("pk")
    if first := same.values_list("pk", flat=True).first():
        raise UrlTaken(first)


@transaction.atomic
def create(webhook: Webhook) -> None:
    """Saves a new webhook, which gets every change that is committed from now on, and enqueues a
    test. Raises `ValueError` if its tenant has too many webhooks, and `UrlTaken`."""
    # Without this lock, two requests at once would both count 19 webhooks and create a 21st, or two
    # with the same URL.
    hold_tenant(webhook.tenant_id, alone=True)
    refuse_same_url(webhook.tenant, webhook.url, webhook.pk)
    refuse_too_many(webhook.tenant)
    webhook.place = [*webhook.tenant.changes.latest_position()]
    webhook.save(force_insert=True)
    enqueue_test(webhook)


@transaction.atomic
def change(webhook: Webhook, fields: dict[str, Any]) -> None:
    """Changes what `fields` has: `url`, `events`, `import_rows`, and `paused`, a boolean.

    Raises `UrlTaken`, and `Webhook.DoesNotExist` if the webhook was deleted.
    """
    hold_tenant(webhook.tenant_id, alone=True)  # as in `create`
    webhook.refresh_from_db(from_queryset=Webhook.objects.select_for_update(no_key=True))
    if "url" in fields:
        refuse_same_url(webhook.tenant, fields["url"], webhook.pk)
    stored = {name: value for name, value in fields.items() if name != "paused"}
    for name, value in stored.items():
        setattr(webhook, name, value)
    webhook.save(update_fields=[*stored])
    if "paused" in fields:
        (pause if fields["paused"] else resume)(webhook)


def pause(webhook: Webhook) -> None:
    """Lets deliveries wait until `resume`. Idempotent."""
    if webhook.paused_at is None:
        webhook.paused_at = timezone.now()
        webhook.save(update_fields=["paused_at"])


def resume(webhook: Webhook) -> None:
    """Ends a pause: deliveries that have waited meanwhile are due at once. Idempotent."""
    if webhook.paused_at is None:
        return
    webhook.paused_at = webhook.failing_since = None
    webhook.save(update_fields=["paused_at", "failing_since"])
    # Only those that wait for another attempt: millions may have become due during the pause.
    waiting = webhook.own_deliveries().pending().filter(due_at__gt=timezone.now())
    waiting.update(due_at=F("created_at"))


def record_success(webhook: Webhook) -> None:
    webhook.own_row().update(last_success_at=timezone.now(), failing_since=None)


def record_failure(webhook: Webhook) -> None:
    """Pauses the webhook after `PAUSED_AFTER` without a success."""
    now = timezone.now()
    stored = webhook.own_row()
    stored.filter(failing_since=None).update(failing_since=now)
    stored.filter(failing_since__lte=now - PAUSED_AFTER, paused_at=None).update(paused_at=now)


# Enqueueing


def new_delivery(webhook: Webhook, event: str, **fields: Any) -> Delivery:
    return Delivery(tenant_id=webhook.tenant_id, webhook=webhook, event=event, **fields)


def enqueue_test(webhook: Webhook) -> Delivery:
    delivery = new_delivery(webhook, TEST_EVENT)
    delivery.save(force_insert=True)
    return delivery


def enqueue_event(tenant_id: str, event: str, **fields: Any) -> None:
    """Enqueues an event that no change of a contact stands for, such as `import.finished`, for
    each webhook of the tenant that wants the event. `fields`: of the delivery."""
    wanting = [hook for hook in Webhook.objects.filter(tenant=tenant_id) if hook.wants(event)]
    Delivery.objects.bulk_create(new_delivery(hook, event, **fields) for hook in wanting)


def enqueue_deliveries(*, wait: bool = False) -> None:
    """Makes deliveries of all changes that every webhook has not read yet.

    A webhook that another worker is busy with is skipped; with `wait`, this waits for that worker,
    so that afterwards no change is left to read. With `wait` an error of the database is raised.
    """
    while enqueue_some(wait=wait):
        pass


def enqueue_some(*, wait: bool = False) -> bool:
    """One transaction for each webhook; returns whether there may be more changes to read."""
    is_left = False
    for webhook in Webhook.objects.select_related("tenant").order_by("pk"):
        try:
            with tenant_context(webhook.tenant_id):
                is_left |= enqueue_some_for(webhook, wait=wait)
        except DatabaseError:
            if wait:
                raise
            logger.exception("Deliveries of webhook %s could not be enqueued", webhook.pk)
    return is_left


def enqueue_some_for(webhook: Webhook, *, wait: bool = False) -> bool:
    """Reads at most `CHANGES_AT_ONCE` changes after the webhook's position in the log, and moves
    the position in the same transaction; returns whether there may be more."""
    unread, _ = webhook.tenant.changes.after(FeedPosition(*webhook.place))
    if not unread.exists():
        return False
    with transaction.atomic():
        rows = webhook.own_row().select_for_update(skip_locked=not wait)
        if (locked := rows.first()) is None:
            return False
        unread, position = webhook.tenant.changes.after(FeedPosition(*locked.place))
        changes = list(unread[:CHANGES_AT_ONCE].values_list("xid", "pk", "kind", "actor"))
        Delivery.objects.bulk_create(
            (
                new_delivery(locked, EVENT_OF_KIND[kind], change_id=pk)
                for _, pk, kind, actor in changes
                if locked.wants(EVENT_OF_KIND[kind], actor)
            ),
            ignore_conflicts=True,  # a restored dump may hold the delivery already
        )
        if changes:
            position = position._replace(xid=changes[-1][0], id=changes[-1][1])
        webhook.own_row().update(place=[*position])
    webhook.place = [*position]
    return len(changes) == CHANGES_AT_ONCE


# Sending


@transaction.atomic
def claim(webhook: Webhook, most: int) -> list[Delivery]:
    """At most `most` due deliveries, the longest due first, for the calling worker alone.

    They become due again after `LEASE`: by then they are sent, or their worker has died.
    """
    now = timezone.now()
    due = webhook.own_deliveries().due(now).order_by("due_at", "id")
    claimed = list(due.select_for_update(skip_locked=True)[:most])
    for delivery in claimed:
        delivery.due_at = now + LEASE
    pks = [delivery.pk for delivery in claimed]
    webhook.own_deliveries().filter(pk__in=pks).update(due_at=now + LEASE)
    return claimed


class Attempt(NamedTuple):
    """What became of one request. `status`: of the answer; None if there was no answer.
    `problem`: why the delivery counts as failed; empty if it has arrived."""

    delivery: Delivery
    status: int | None
    problem: str


@transaction.atomic
def record(webhook: Webhook, attempts: list[Attempt]) -> bool:
    """Records the attempts of one batch; returns whether any delivery has arrived."""
    arrived = [attempt for attempt in attempts if not attempt.problem]
    failed = [attempt for attempt in attempts if attempt.problem]
    record_arrived(webhook, arrived)
    for attempt in failed:
        record_failed(attempt)
    if arrived:
        record_success(webhook)
    elif failed:
        record_failure(webhook)
        logger.info("Webhook %s does not accept deliveries: %s", webhook.pk, failed[0].problem)
    return bool(arrived)


def record_arrived(webhook: Webhook, attempts: Iterable[Attempt]) -> None:
    """One statement for each status, of which there are few."""
    by_status: dict[int | None, list[str]] = {}
    for delivery, status, _problem in attempts:
        by_status.setdefault(status, []).append(delivery.pk)
    for status, pks in by_status.items():
        webhook.own_deliveries().filter(pk__in=pks).update(
            state=Delivery.State.DELIVERED, attempts=F("attempts") + 1,
            last_status=status, problem="", finished_at=timezone.now(),
        )  # fmt: skip


def record_failed(attempt: Attempt) -> None:
    """Schedules the next attempt; after the last one the delivery is dead.

    Changes nothing if the lease ran out and another worker has claimed the delivery: its success
    would be lost.
    """
    delivery = attempt.delivery
    own = Delivery.objects.filter(tenant=delivery.tenant_id, pk=delivery.pk)
    claimed = own.pending().filter(due_at=delivery.due_at)
    delivery.attempts += 1
    now = timezone.now()
    if delivery.attempts > len(RETRY_DELAYS):
        fate: dict[str, Any] = {"state": Delivery.State.DEAD, "finished_at": now}
    else:
        fate = {"due_at": now + retry_delay(delivery.attempts)}
    claimed.update(
        attempts=delivery.attempts, last_status=attempt.status, problem=attempt.problem[:300],
        **fate,
    )  # fmt: skip


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts, at least 1."""
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=RETRY_DELAYS[attempts - 1] * spread)


# Afterwards


class Replayed(NamedTuple):
    """`number`: how many deliveries are sent again. `last`: the id of the last of them, if there
    may be more; empty if there are none."""

    number: int
    last: str = ""


def replay_of(
    webhook: Webhook,
    *,
    delivery: str,
    since: datetime | None,
    delivered: bool,
    after: str = "",
    most: int | None = None,
) -> Replayed:
    """Sends finished deliveries of `webhook` again and resumes it.

    `delivery`: the id of one delivery, which may have arrived. If it is empty: the deliveries that
    were made at or after `since`; those that have arrived only if `delivered`. `after`, `most`: as
    in `replay`. Raises `Delivery.DoesNotExist`.
    """
    chosen = webhook.own_deliveries()
    if delivery:
        chosen.get(pk=delivery)
        chosen = chosen.filter(pk=delivery)
    else:
        # Not those made from now on: they may arrive, and be sent again, as long as this goes on.
        chosen = chosen.filter(created_at__gte=since, created_at__lte=timezone.now())
        if not delivered:
            chosen = chosen.filter(state=Delivery.State.DEAD)
    done = replay(chosen, after, most)
    resume(webhook)
    return done


def replay(deliveries: DeliveryQuerySet, after: str = "", most: int | None = None) -> Replayed:
    """Sends those of `deliveries` again that are dead or delivered, under the same ids, in the
    order of their ids and in transactions of `REPLAYED_AT_ONCE`.

    A delivery whose change is pruned is left out, because its body can no longer be made. `after`:
    only deliveries with a greater id. `most`: stops when so many are sent again.
    """
    same = Change.objects.filter(tenant=OuterRef("tenant"), pk=OuterRef("change_id"))
    has_body = Q(change=None) | Exists(same)
    finished = deliveries.filter(has_body).exclude(state=Delivery.State.PENDING)
    number = 0
    for some, last in finished.in_batches(REPLAYED_AT_ONCE, after):
        number += some.exclude(state=Delivery.State.PENDING).update(
            state=Delivery.State.PENDING, attempts=0, due_at=timezone.now(), finished_at=None
        )
        if most is not None and number >= most:
            return Replayed(number, last)
    return Replayed(number)


def prune(before: datetime) -> None:
    """Deletes deliveries that were finished before then, and deliveries of deleted webhooks."""
    finished = Delivery.objects.exclude(state=Delivery.State.PENDING)
    finished.filter(finished_at__lt=before).delete_in_batches()
    Delivery.objects.exclude(webhook__in=Webhook.objects.values("pk")).delete_in_batches()
