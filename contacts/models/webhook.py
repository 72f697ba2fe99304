"""The tables of webhooks and of their deliveries.

`contacts.webhooks.outbox` makes deliveries and records what becomes of them;
`contacts.webhooks.sender` sends them.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from contacts.db.pacing import Pace
from tenants.fields import ULIDField, new_ulid
from tenants.keys import lasting_hmac
from tenants.models import Tenant

from .change import PRUNED, Change
from .owned import Owned

IMPORT_FINISHED = "import.finished"
TEST_EVENT = "webhook.test"  # sent to every webhook, so not among `EVENTS`
# Receivers are not told whether a contact was deleted or erased.
EVENT_OF_KIND = {str(kind): f"contact.{kind}" for kind in Change.Kind} | {
    "erased": "contact.deleted"
}
EVENTS = [*dict.fromkeys(EVENT_OF_KIND.values()), IMPORT_FINISHED]
MAX_URL = 2000  # characters
PREFIX = "whsec_"  # of a secret, as in Standard Webhooks
OLD_SECRET_VALID = timedelta(hours=24)  # after a rotation


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the webhooks, then their deliveries.

        In this order, because a worker makes deliveries under a lock on the webhook: once the
        webhook is gone, no delivery is added. The deliveries go in short transactions.
        """
        gone = list(self.values_list("tenant_id", "pk"))
        with transaction.atomic():
            tenants, pks = {tenant_id for tenant_id, _ in gone}, [pk for _, pk in gone]
            chosen = Webhook.objects.filter(tenant__in=tenants, pk__in=pks).order_by("pk")
            list(chosen.select_for_update())
            deleted = super(WebhookQuerySet, chosen).delete()
        for tenant_id, pk in gone:
            Delivery.objects.filter(tenant=tenant_id, webhook=pk).delete_in_batches()
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def with_due_deliveries(self) -> "WebhookQuerySet":
        """Webhooks that are not paused and have a delivery to be sent now."""
        own = {"tenant": models.OuterRef("tenant"), "webhook": models.OuterRef("pk")}
        due = Delivery.objects.filter(**own).due(timezone.now())
        return self.filter(models.Exists(due), paused_at=None).order_by("pk")


def fresh_salt() -> str:
    return secrets.token_hex(16)


class Webhook(Owned):
    """An endpoint of a tenant that gets events about contacts and imports.

    The secret is not stored: it is computed from the installation's key and `salt`. `place` is the
    position in the change log up to which changes have become deliveries.
    """

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="webhooks", db_index=False)
    url = models.CharField(max_length=MAX_URL)
    events = models.JSONField(default=list)
    import_rows = models.BooleanField(
        default=False,
        help_text=gettext_lazy("Also an event for each contact that an import writes."),
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

    @property
    def secret(self) -> str:
        return self.secret_of(self.salt)

    def secret_of(self, salt: str) -> str:
        digest = lasting_hmac("contacts.Webhook", f"{self.pk} {salt}", "sha256")
        return f"{PREFIX}{digest.hexdigest()}"

    @transaction.atomic
    def rotate(self) -> None:
        """Gives the webhook a new `secret`. Deliveries of the next 24 hours are signed with both
        secrets, so that a receiver has time to take over the new one.

        Raises `Webhook.DoesNotExist` if the webhook was deleted.
        """
        # Without the lock, of two rotations at once the first secret would never sign anything.
        self.refresh_from_db(from_queryset=Webhook.objects.select_for_update(no_key=True))
        self.old_salt, self.salt = self.salt, fresh_salt()
        self.rotated_at = timezone.now()
        self.save(update_fields=["old_salt", "salt", "rotated_at"])

    def signature(self, body: bytes, at: datetime) -> str:
        """The value of `X-Qyvo-Signature` for a raw `body` that is sent at this moment.

        The HMAC-SHA256 covers the moment too, so that a recorded request cannot be replayed later
        with a new `t=`.
        """
        moment = int(at.timestamp())
        signed = b"%d.%b" % (moment, body)
        digests = [hmac.new(secret.encode(), signed, sha256) for secret in self.secrets_at(at)]
        return ",".join([f"t={moment}", *(f"v1={digest.hexdigest()}" for digest in digests)])

    def standard_signature(self, delivery_id: str, body: bytes, at: datetime) -> str:
        """The value of `webhook-signature` (Standard Webhooks, "Signature scheme").

        The key is what follows `whsec_`, decoded as base64. Our secrets have hexadecimal digits
        there, which are base64, too.
        """
        signed = b"%b.%d.%b" % (delivery_id.encode(), int(at.timestamp()), body)
        keys = [b64decode(secret.removeprefix(PREFIX)) for secret in self.secrets_at(at)]
        digests = [b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys]
        return " ".join(f"v1,{digest}" for digest in digests)

    def secrets_at(self, at: datetime) -> list[str]:
        """The secrets that sign deliveries at this moment, the newest first."""
        salts = [self.salt]
        if self.rotated_at and at - self.rotated_at < OLD_SECRET_VALID:
            salts.append(self.old_salt)
        return [self.secret_of(salt) for salt in salts]

    def wants(self, event: str, actor: str = "") -> bool:
        """Whether the webhook gets this event. `actor`: who made the change, if one did."""
        return event in self.events and (self.import_rows or not actor.startswith("import:"))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        return Webhook.objects.filter(tenant=self.tenant_id, pk=self.pk).delete()

    def own_deliveries(self) -> "DeliveryQuerySet":
        """Like `deliveries`, but with the tenant, which every index begins with."""
        return Delivery.objects.filter(tenant=self.tenant_id, webhook=self)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def pending(self) -> "DeliveryQuerySet":
        return self.filter(state=Delivery.State.PENDING)

    def due(self, now: datetime) -> "DeliveryQuerySet":
        return self.pending().filter(due_at__lte=now)

    def pending_changes(self) -> "DeliveryQuerySet":
        """The ids of the changes that pending deliveries still need for their bodies."""
        waiting = self.pending().filter(change__isnull=False)
        return waiting.values("change")  # type: ignore[return-value]

    def delete_in_batches(self) -> None:
        for some, _ in self.in_batches(PRUNED):
            some.delete()

    def in_batches(self, size: int, after: str = "") -> "Iterator[tuple[DeliveryQuerySet, str]]":
        """The deliveries in the order of their ids, at most `size` for each transaction of the
        caller, and the id of the last of them: one long transaction would keep rows locked, on
        SQLite the whole database. `after`: only deliveries with a greater id."""
        pace, last = Pace(size), after
        while rows := list(
            (self.filter(pk__gt=last) if last else self)
            .order_by("pk")
            .values_list("tenant_id", "pk")[: pace.size]
        ):
            tenants, pks = {tenant_id for tenant_id, _ in rows}, [pk for _, pk in rows]
            last = pks[-1]
            with pace.turn(len(pks)):
                yield Delivery.objects.filter(tenant__in=tenants, pk__in=pks), last


class Delivery(Owned):
    """An event for one webhook. Every attempt to send it carries the same id."""

    class State(models.TextChoices):
        PENDING = "pending", gettext_lazy("Pending")
        DELIVERED = "delivered", gettext_lazy("Delivered")
        DEAD = "dead", gettext_lazy("Dead")  # all attempts have failed; it can be replayed

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
            # Without it, deleting an import would read all deliveries.
            models.Index(fields=["job"], condition=Q(job__isnull=False), name="delivery_of_import"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"

    @property
    def next_attempt(self) -> datetime | None:
        """When the delivery is due; None if it is finished."""
        return self.due_at if self.state == self.State.PENDING else None
