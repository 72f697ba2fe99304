"""Webhooks: who is told of changes, and which deliveries wait for them.

Deliveries are derived from the change log: a change that was rolled back is never told, one that
was committed always. `deliveries` sends them.
"""

import hmac
import random
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from contacts.change_log.feed import FeedPosition
from contacts.db.pacing import Pace
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .change import PRUNED, Change

IMPORT_FINISHED = "import.finished"
TEST = "webhook.test"
# The event of each kind of change; a person who was erased is a contact deleted.
EVENT_OF = {str(kind): f"contact.{kind}" for kind in Change.Kind} | {"erased": "contact.deleted"}
EVENTS = [*dict.fromkeys(EVENT_OF.values()), IMPORT_FINISHED]
MAX_URL = 2000  # characters
MAX_WEBHOOKS = 20  # of a tenant
BOTH_VALID = timedelta(hours=24)  # the old secret and the new one
GIVEN_UP = timedelta(days=3)  # of failures: the endpoint is paused
DERIVED = 2000  # changes looked at in a transaction
LEASE = timedelta(seconds=120)  # of a delivery that is being sent: longer than a batch takes

# Seconds from one try to the next: twelve in a day.
PAUSES = [10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 36_000]
JITTER = 0.1  # of a pause, so that receivers are not asked by all at once


def events(raw: Any) -> list[str]:
    """The events to send, without repetitions; all where none is named."""
    if raw in (None, "", []):
        return EVENTS
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ValueError("The events must be a list of strings.")
    if unknown := [name for name in raw if name not in EVENTS]:
        raise ValueError(f"There is no event “{unknown[0][:100]}”; send of {', '.join(EVENTS)}.")
    return [name for name in EVENTS if name in raw]


def refuse_too_many(tenant: Tenant) -> None:
    """Raises `ValueError` where the tenant cannot have another webhook."""
    if tenant.webhooks.count() >= MAX_WEBHOOKS:
        raise ValueError(f"There are {MAX_WEBHOOKS} webhooks already; delete one first.")


# Who is told


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes them, and then what was to be sent to them: nothing is derived any more."""
        gone = list(self.values_list("tenant_id", "pk"))
        with transaction.atomic():
            mine = Webhook.objects.filter(pk__in=[pk for _, pk in gone]).order_by("pk")
            list(mine.select_for_update())
            deleted = super(WebhookQuerySet, mine).delete()
        for tenant_id, pk in gone:
            Delivery.objects.filter(tenant=tenant_id, webhook=pk).clear()
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def with_something_due(self) -> "WebhookQuerySet":
        mine = {"tenant": models.OuterRef("tenant"), "webhook": models.OuterRef("pk")}
        due = Delivery.objects.filter(**mine).due(timezone.now())
        return self.filter(models.Exists(due), paused_at=None).order_by("pk")

    def tell(self, tenant_id: str, event: str, **fields: Any) -> None:
        """Tells those of a tenant who want to know."""
        wanted = [hook for hook in self.filter(tenant=tenant_id) if hook.wants(event)]
        Delivery.objects.bulk_create(hook.delivery(event, **fields) for hook in wanted)


def fresh_salt() -> str:
    return secrets.token_hex(16)


class Webhook(models.Model):
    """An address that is told of changes.

    Its secret is not stored: it is made of the installation's key and `salt`. `place`: how far
    the change log has been made into deliveries.
    """

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="webhooks", db_index=False)
    url = models.CharField(max_length=MAX_URL)
    events = models.JSONField(default=list)
    import_rows = models.BooleanField(
        default=False, help_text="Also an event for each contact that an import writes."
    )
    salt = models.CharField(max_length=32, default=fresh_salt, editable=False)
    old_salt = models.CharField(max_length=32, blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    place = models.JSONField(default=list, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["tenant", "id"], name="webhook_by_tenant")]

    def __str__(self) -> str:
        return self.url

    @transaction.atomic
    def establish(self) -> None:
        """Saves a new one, and tells it so. It hears of all that happens from now on.

        Raises `ValueError` where its tenant has too many.
        """
        Tenant.objects.select_for_update(no_key=True).get(pk=self.tenant_id)
        refuse_too_many(self.tenant)
        self.place = [*self.tenant.changes.latest_position()]
        self.save(force_insert=True)
        self.test()

    @property
    def secret(self) -> str:
        return self.secret_of(self.salt)

    def secret_of(self, salt: str) -> str:
        digest = salted_hmac("contacts.Webhook", f"{self.pk} {salt}", algorithm="sha256")
        return f"whsec_{digest.hexdigest()}"

    def rotate(self) -> None:
        """Gives it a new `secret`; what is sent in the next 24 hours is signed with both."""
        self.old_salt, self.salt = self.salt, fresh_salt()
        self.rotated_at = timezone.now()
        self.save(update_fields=["old_salt", "salt", "rotated_at"])

    def signature(self, body: bytes, at: datetime) -> str:
        """`X-Qyvo-Signature`: HMAC-SHA256 of the moment and the body, so that neither can be
        exchanged; with the old secret too, while it is valid."""
        salts = [self.salt]
        if self.rotated_at and at - self.rotated_at < BOTH_VALID:
            salts.append(self.old_salt)
        moment = int(at.timestamp())
        signed = b"%d.%b" % (moment, body)
        digests = (hmac.new(self.secret_of(salt).encode(), signed, sha256) for salt in salts)
        return ",".join([f"t={moment}", *(f"v1={digest.hexdigest()}" for digest in digests)])

    def wants(self, event: str, actor: str = "") -> bool:
        return event in self.events and (self.import_rows or not actor.startswith("import:"))

    def delivery(self, event: str, **fields: Any) -> "Delivery":
        return Delivery(tenant_id=self.tenant_id, webhook=self, event=event, **fields)

    def test(self) -> "Delivery":
        """Tells it nothing but that it is told."""
        delivery = self.delivery(TEST)
        delivery.save(force_insert=True)
        return delivery

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        return Webhook.objects.filter(pk=self.pk).delete()

    def mine(self) -> "DeliveryQuerySet":
        """Its deliveries, by the index that begins with the tenant."""
        return Delivery.objects.filter(tenant=self.tenant_id, webhook=self)

    def derive(self, *, wait: bool = False) -> bool:
        """Makes deliveries of some of what has happened since; False, where there is no more.

        What another worker is about is left to it, unless this is to `wait` for it.
        """
        found, _ = self.tenant.changes.after(FeedPosition(*self.place))
        if not found.exists():
            return False
        with transaction.atomic():
            rows = Webhook.objects.filter(pk=self.pk).select_for_update(skip_locked=not wait)
            if (mine := rows.first()) is None:
                return False
            found, place = self.tenant.changes.after(FeedPosition(*mine.place))
            changes = list(found[:DERIVED].values_list("xid", "pk", "kind", "actor"))
            Delivery.objects.bulk_create(
                (
                    mine.delivery(EVENT_OF[kind], change_id=pk)
                    for _, pk, kind, actor in changes
                    if mine.wants(EVENT_OF[kind], actor)
                ),
                ignore_conflicts=True,  # a dump may have brought it
            )
            if changes:
                place = place._replace(xid=changes[-1][0], id=changes[-1][1])
            Webhook.objects.filter(pk=self.pk).update(place=[*place])
        self.place = [*place]
        return len(changes) == DERIVED

    def resume(self) -> None:
        """Where it is paused: sends to it again, and at once all that has waited meanwhile."""
        if self.paused_at is None:
            return
        self.paused_at = self.failing_since = None
        self.save(update_fields=["paused_at", "failing_since"])
        self.mine().filter(state=Delivery.State.PENDING).update(due_at=timezone.now())

    def has_answered(self) -> None:
        Webhook.objects.filter(pk=self.pk).update(
            last_success_at=timezone.now(), failing_since=None
        )

    def has_failed(self) -> None:
        """Pauses it where it has done nothing but that for three days."""
        now = timezone.now()
        mine = Webhook.objects.filter(pk=self.pk)
        mine.filter(failing_since=None).update(failing_since=now)
        mine.filter(failing_since__lte=now - GIVEN_UP, paused_at=None).update(paused_at=now)


# What waits for them


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def pending(self) -> "DeliveryQuerySet":
        return self.filter(state=Delivery.State.PENDING)

    def due(self, now: datetime) -> "DeliveryQuerySet":
        return self.pending().filter(due_at__lte=now)

    @transaction.atomic
    def claim(self, number: int) -> "list[Delivery]":
        """At most `number` of those that are due, for this worker alone: others leave them alone
        for two minutes, in which they are sent or their worker has died."""
        now = timezone.now()
        due = self.due(now).order_by("due_at", "id")
        claimed = list(due.select_for_update(skip_locked=True)[:number])
        for delivery in claimed:
            delivery.due_at = now + LEASE
        self.filter(pk__in=[delivery.pk for delivery in claimed]).update(due_at=now + LEASE)
        return claimed

    def delivered(self, statuses: Iterable[int], pks: Sequence[str]) -> None:
        """Notes that they have arrived, with one status for each."""
        by_status: dict[int, list[str]] = {}
        for status, pk in zip(statuses, pks, strict=True):
            by_status.setdefault(status, []).append(pk)
        for status, some in by_status.items():
            self.filter(pk__in=some).update(
                state=Delivery.State.DELIVERED, attempts=F("attempts") + 1,
                last_status=status, problem="", finished_at=timezone.now(),
            )  # fmt: skip

    def replay(self) -> int:
        """Sends them again, dead and delivered ones too, under the same ids; how many. What the
        log does not know any more cannot be told."""
        known = Q(change=None) | Q(change__in=Change.objects.values("pk"))
        return self.filter(known).update(
            state=Delivery.State.PENDING, attempts=0, due_at=timezone.now(), finished_at=None
        )

    def changes(self) -> "DeliveryQuerySet":
        """The ids of the changes that are still to be told."""
        waiting = self.filter(state=Delivery.State.PENDING, change__isnull=False)
        return waiting.values("change")  # type: ignore[return-value]

    def prune(self, before: datetime) -> None:
        """Deletes those that were finished before then, and what a webhook that is gone left."""
        self.exclude(state=Delivery.State.PENDING).filter(finished_at__lt=before).clear()
        self.exclude(webhook__in=Webhook.objects.values("pk")).clear()

    def clear(self) -> None:
        """Deletes them, some at a time."""
        pace, last = Pace(PRUNED), ""
        while pks := list(
            (self.filter(pk__gt=last) if last else self)
            .order_by("pk")
            .values_list("pk", flat=True)[: pace.size]
        ):
            last = pks[-1]
            with pace.turn(len(pks)):
                Delivery.objects.filter(pk__in=pks).delete()


class Delivery(models.Model):
    """Something that a webhook is told. Its id stays the same with every try."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"  # given up; it can be replayed

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="deliveries", db_index=False, db_constraint=False
    )
    webhook = models.ForeignKey(
        Webhook, models.DO_NOTHING, related_name="deliveries", db_index=False, db_constraint=False
    )
    event = models.CharField(max_length=30)
    change = models.ForeignKey(
        Change, models.DO_NOTHING, null=True, related_name="+", db_index=False, db_constraint=False
    )
    job = models.ForeignKey(
        "contacts.Import", models.CASCADE, null=True, related_name="+", db_index=False
    )
    state = models.CharField(max_length=20, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    last_status = models.PositiveSmallIntegerField(null=True)
    problem = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "webhook", "change"], name="delivery_once_per_change"
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "webhook", "due_at", "id"],
                condition=Q(state="pending"),
                name="delivery_due",
            ),
            models.Index(fields=["tenant", "webhook", "id"], name="delivery_by_webhook"),
            # For imports that are deleted.
            models.Index(fields=["job"], condition=Q(job__isnull=False), name="delivery_of_import"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"

    def fail(self, status: int | None, problem: str) -> None:
        """Notes that a try has failed, and when the next one is; after the last it is dead.

        Unless another worker has got it meanwhile, because this one took so long.
        """
        mine = Delivery.objects.filter(pk=self.pk, state=self.State.PENDING, due_at=self.due_at)
        self.attempts += 1
        noted: dict[str, Any] = {"attempts": self.attempts, "last_status": status}
        now = timezone.now()
        if self.attempts > len(PAUSES):
            noted |= {"state": self.State.DEAD, "finished_at": now}
        else:
            pause = PAUSES[self.attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            noted |= {"due_at": now + timedelta(seconds=pause)}
        mine.update(problem=problem[:300], **noted)
