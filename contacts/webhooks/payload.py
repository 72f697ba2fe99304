"""The JSON that a delivery carries.

The shapes are written out here and not taken from the API: receivers parse them for years, so a
change of the API must not change them silently. `tests/webhooks/test_payload.py` holds the bytes of
an example, and fails if the API gets another shape.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone

from contacts.models import ENDS, Change, Contact, Delivery, Import, Webhook

Json = dict[str, Any]
READ_AS = ("encoding", "delimiter", "header_line", "sheet", "sheets")
KINDS_WITH_CHANGED_FIELDS = [Change.Kind.UPDATED, Change.Kind.OPTED_IN, Change.Kind.OPTED_OUT]


class Message(NamedTuple):
    """One request to a webhook: the delivery, its raw body and the headers that sign it."""

    delivery: Delivery
    body: bytes
    signatures: dict[str, str]


def messages(webhook: Webhook, deliveries: list[Delivery]) -> list[Message]:
    """The requests that send `deliveries`, signed now.

    The number of statements does not grow with the number of deliveries.
    """
    jobs = webhook.tenant.imports.with_counts().in_bulk([d.job_id for d in deliveries if d.job_id])
    changes = webhook.tenant.changes.in_bulk([d.change_id for d in deliveries if d.change_id])
    contacts = contacts_of(webhook, changes.values())
    now = timezone.now()

    def message(delivery: Delivery) -> Message:
        change, job = changes.get(delivery.change_id), jobs.get(delivery.job_id)
        content = import_content(job) if job else change_content(change, contacts) if change else {}
        raw = encoded(envelope(delivery, change) | content)
        return Message(delivery, raw, signatures(webhook, delivery.pk, raw, now))

    return [message(delivery) for delivery in deliveries]


def signatures(webhook: Webhook, pk: str, body: bytes, at: datetime) -> dict[str, str]:
    """Our own header, and the headers of Standard Webhooks, which its libraries verify (Standard
    Webhooks specification, "Webhook headers"). `pk`: of the delivery."""
    return {
        "X-Qyvo-Signature": webhook.signature(body, at),
        "webhook-id": pk,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": webhook.standard_signature(pk, body, at),
    }


def encoded(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def envelope(delivery: Delivery, change: Change | None) -> Json:
    """The keys that every body begins with. `sequence` is null if no contact changed."""
    return {
        "event": delivery.event,
        "id": delivery.pk,
        "sequence": change.pk if change else None,
        "timestamp": timestamp(change.at if change else delivery.created_at),
        "tenant_id": delivery.tenant_id,
    }


def import_content(job: Import) -> Json:
    return {"import": import_json(job)}


def change_content(change: Change, contacts: dict[str, Json]) -> Json:
    """`changed` lists fields of the contact; the proof of a decision on consent is not one."""
    has_fields = change.kind in KINDS_WITH_CHANGED_FIELDS
    changed = sorted(change.fields.keys() - {"consent"}) if has_fields else []
    return {"changed": changed, "contact": contacts[change.contact_id]}


def contacts_of(webhook: Webhook, changes: Iterable[Change]) -> dict[str, Json]:
    """The contacts of `changes` in JSON, by id.

    A contact that exists is shown as it is now. A deleted or merged contact is shown as it was when
    it ended, a merged one with `merged_into`. Of an erased person only the id is shown.
    """
    pks = {change.contact_id for change in changes}
    found = webhook.tenant.contacts.in_bulk([*pks])
    shown = {pk: contact_json(contact) for pk, contact in found.items()}
    gone = pks - shown.keys()
    ends = webhook.tenant.changes.filter(contact_id__in=gone, kind__in=ENDS).order_by("id")
    last_end = {end.contact_id: end for end in ends}  # an undo may have let a contact end twice
    for pk in gone:
        shown[pk] = ended_contact_json(last_end[pk]) if pk in last_end else {"id": pk}
    return shown


def ended_contact_json(end: Change) -> Json:
    merged = {"merged_into": end.into} if end.into else {}
    if not end.fields:  # erased, or older than `prune_changes` keeps the values
        return {"id": end.contact_id} | merged
    return contact_json(Contact.ended(end)) | merged


def contact_json(contact: Contact) -> Json:
    return {
        "id": contact.pk,
        "phone": contact.phone,
        "name": contact.name or None,
        "email": contact.email or None,
        "source": contact.source,
        "locale": contact.locale or None,
        "metadata": contact.metadata,
        "tags": contact.tags,
        "opted_in_at": timestamp(contact.opted_in_at),
        "opted_out_at": timestamp(contact.opted_out_at),
        "last_message_at": timestamp(contact.last_message_at),
        "total_messages": contact.total_messages,
        "created_at": timestamp(contact.created_at),
    }


def import_json(job: Import) -> Json:
    """An import that was loaded by `Import.objects.with_counts()`."""
    read_as = job.options.get("read_as", {})
    return {
        "id": job.pk,
        "state": job.state,
        "file_name": job.file_name,
        "mode": job.options["mode"],
        "dry_run": job.dry_run,
        **{name: read_as.get(name) for name in READ_AS},
        "columns": job.columns,
        "column_list": column_list(job),
        "rows": job.rows,
        **{name: getattr(job, f"{name}_so_far") for name in (*Import.COUNTS, "warnings")},
        "warning_list": [{"line": line, "warning": warning} for line, warning in job.warning_list],
        "hint": job.hint or None,
        "problem": job.problem or None,
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
    }


def column_list(job: Import) -> list[Json] | None:
    """PostgreSQL has its own order of the keys in a JSON column, so they are put in order here."""
    listed = job.options.get("column_list")
    keys = ("index", "header", "field")
    return listed and [{key: column[key] for key in keys} for column in listed]


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, whole seconds, with the offset: 2026-05-07T08:14:23+00:00."""
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
