"""What a webhook sends."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.utils import timezone

from contacts.api.contacts import ContactDetail
from contacts.api.fields import Timestamp
from contacts.api.imports import ImportJob
from contacts.models import ENDS, Change, Contact, Delivery, Import, Webhook


class Message(NamedTuple):
    delivery: Delivery
    body: bytes
    signature: str


def messages(webhook: Webhook, deliveries: list[Delivery]) -> list[Message]:
    """What is to be sent of `deliveries`, in a constant number of statements."""
    jobs = Import.objects.with_counts().in_bulk([d.job_id for d in deliveries if d.job_id])
    changes = Change.objects.in_bulk([d.change_id for d in deliveries if d.change_id])
    contacts = shown_contacts(webhook, changes.values())
    now, made = timezone.now(), []
    for delivery in deliveries:
        change = changes.get(delivery.change_id)
        job = jobs.get(delivery.job_id)
        content = told_import(job) if job else told_change(change, contacts) if change else {}
        at = change.at if change else delivery.created_at
        body = {
            "event": delivery.event,
            "id": delivery.pk,
            "sequence": change.pk if change else None,
            "timestamp": Timestamp().to_representation(at),
            "tenant_id": webhook.tenant_id,
        } | content
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        made.append(Message(delivery, raw, webhook.signature(raw, now)))
    return made


def told_import(job: Import) -> dict[str, Any]:
    return {"import": ImportJob(job).data}


def told_change(change: Change, contacts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    changed = sorted(change.fields.keys() - {"consent"}) if change.kind in CHANGING else []
    return {"changed": changed, "contact": contacts[change.contact_id]}


CHANGING = [Change.Kind.UPDATED, Change.Kind.OPTED_IN, Change.Kind.OPTED_OUT]


def shown_contacts(webhook: Webhook, changes: Iterable[Change]) -> dict[str, dict[str, Any]]:
    """The contacts of `changes` by id, as get-contact shows them; those that are gone as they
    were at the end, with `merged_into`; of people who were erased the id alone."""
    pks = {change.contact_id for change in changes}
    shown = {
        pk: dict(ContactDetail(contact).data)
        for pk, contact in webhook.tenant.contacts.in_bulk([*pks]).items()
    }
    ends = webhook.tenant.changes.filter(contact_id__in=pks - shown.keys(), kind__in=ENDS)
    gone = {end.contact_id: end for end in ends.order_by("id")}  # the last one of each counts
    for pk in pks - shown.keys():
        shown[pk] = told_end(gone[pk]) if pk in gone else {"id": pk}
    return shown


def told_end(end: Change) -> dict[str, Any]:
    into = {"merged_into": end.into} if end.into else {}
    if not end.fields:
        return {"id": end.contact_id} | into
    return dict(ContactDetail(Contact.ended(end)).data) | into
