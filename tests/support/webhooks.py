"""Sending what waits for a webhook."""

from typing import Any

from django.utils import timezone

from contacts.models import EVENTS, Delivery, Webhook
from contacts.webhooks import outbox
from contacts.webhooks.sender import deliver
from tenants.models import Tenant
from tests.support.changes import settle

State = Delivery.State


def create(tenant: Tenant, url: str, *events: str, **fields: Any) -> Webhook:
    """A webhook without the delivery of its first test."""
    webhook = Webhook(tenant=tenant, url=url, events=[*events] or EVENTS, **fields)
    outbox.create(webhook)
    webhook.deliveries.all().delete()
    return webhook


def send(*, due: bool = False) -> None:
    """`due`: also what should wait a while before it is tried again."""
    if due:
        Delivery.objects.filter(state=State.PENDING).update(due_at=timezone.now())
    settle()
    deliver(once=True)
