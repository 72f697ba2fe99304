"""What a delivery carries, byte for byte: receivers parse it for years."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.api.contacts import ContactDetail
from contacts.api.imports import ImportJob
from contacts.models import Change, Contact, Delivery, Import, Webhook
from contacts.webhooks import payload
from qyvo.views import openapi
from tenants.models import Tenant
from tests.support.openapi import validator

pytestmark = pytest.mark.django_db
AT = datetime(2026, 5, 7, 8, 14, 23, 999_999, tzinfo=UTC)
TENANT_ID = "01J1Y3V8KFQ6S8V1X3Z5B7D9F2"
CONTACT_ID = "01J1Y3V8K2N6Q4R7S9T0W5X8ZA"
OTHER_ID = "01J1Y3V8K3N6Q4R7S9T0W5X8ZB"
DELIVERY_ID = "01J1Y3V8KEP5R7T9W2X4Z6B8D1"
JOB_ID = "01J1Y3V8KGP5R7T9W2X4Z6B8D3"
HEAD = (
    '{"event":"EVENT","id":"01J1Y3V8KEP5R7T9W2X4Z6B8D1","sequence":SEQUENCE,'
    '"timestamp":"2026-05-07T08:14:23+00:00","tenant_id":"01J1Y3V8KFQ6S8V1X3Z5B7D9F2"'
)
CONTACT = (
    '{"id":"01J1Y3V8K2N6Q4R7S9T0W5X8ZA","phone":"+14155550123","name":"Romäin",'
    '"email":null,"source":"api","locale":"fr-FR",'
    '"metadata":{"a":["ü",null,{"b":""}],"lifetime_value":8742.5},"tags":["vip","fr-FR"],'
    '"opted_in_at":"2026-05-07T08:14:23+00:00","opted_out_at":null,"last_message_at":null,'
    '"total_messages":3,"created_at":"2026-05-07T08:14:23+00:00"}'
)
IMPORT = (
    '{"id":"01J1Y3V8KGP5R7T9W2X4Z6B8D3","state":"done","file_name":"März.csv","mode":"upsert",'
    '"dry_run":false,"encoding":"utf-8","delimiter":",","header_line":1,"sheet":null,"sheets":null,'
    '"columns":{"Mobile":"phone"},"column_list":[{"index":0,"header":"Mobile","field":"phone"}],'
    '"rows":15,"created":1,"updated":2,"unchanged":3,'
    '"superseded":4,"failed":5,"warnings":1,'
    '"warning_list":[{"line":3,"warning":"The e-mail is no address."}],"hint":null,"problem":null,'
    '"started_at":"2026-05-07T08:14:23+00:00",'
    '"finished_at":"2026-05-07T08:14:23+00:00"}'
)


def head(event: str, sequence: int | None) -> str:
    return HEAD.replace("EVENT", event).replace("SEQUENCE", json.dumps(sequence))


@pytest.fixture
def webhook() -> Webhook:
    tenant = Tenant.objects.create(pk=TENANT_ID, name="Acme", slug="acme-of-payloads")
    return Webhook.objects.create(tenant=tenant, url="https://shop.example.com/hooks")


@pytest.fixture
def contact(webhook: Webhook) -> Contact:
    contact = Contact.objects.create(
        pk=CONTACT_ID, tenant=webhook.tenant, phone="+14155550123", name="Romäin", locale="fr-FR",
        metadata={"a": ["ü", None, {"b": ""}], "lifetime_value": 8742.5}, tags=["vip", "fr-FR"],
    )  # fmt: skip
    Contact.objects.filter(pk=contact.pk).update(opted_in_at=AT, total_messages=3, created_at=AT)
    Change.objects.all().delete()
    return Contact.objects.get(pk=contact.pk)


def change(webhook: Webhook, kind: str, **values: Any) -> Change:
    held: dict[str, Any] = {"contact_id": CONTACT_ID, "at": AT, "actor": "user:1"} | values
    return Change.objects.create(tenant=webhook.tenant, kind=kind, **held)


def sent(webhook: Webhook, event: str, **of: Any) -> str:
    delivery = Delivery(
        pk=DELIVERY_ID, tenant=webhook.tenant, webhook=webhook, event=event, created_at=AT, **of
    )
    [message] = payload.messages(webhook, [delivery])
    described = openapi()["webhooks"][event]["post"]["requestBody"]["content"]["application/json"]
    validator(openapi(), described["schema"]).validate(json.loads(message.body))
    return message.body.decode()


def test_the_bytes_of_a_changed_contact(webhook: Webhook, contact: Contact) -> None:
    fields = {"tags": {"added": ["vip"]}, "name": {"old": "", "new": "Romäin"}, "consent": {}}
    updated = change(webhook, "updated", fields=fields)
    expected = head("contact.updated", updated.pk)
    expected += f',"changed":["name","tags"],"contact":{CONTACT}}}'
    assert sent(webhook, "contact.updated", change=updated) == expected


def test_the_bytes_of_a_merged_contact(webhook: Webhook) -> None:
    fields = {
        "phone": {"old": "+14155550123"}, "name": {"old": "Romäin"}, "locale": {"old": "fr-FR"},
        "source": {"old": "api"}, "tags": {"removed": ["vip", "fr-FR"]},
        "metadata": {"a": {"old": ["ü", None, {"b": ""}]}, "lifetime_value": {"old": 8742.5}},
        "opted_in_at": {"old": "2026-05-07T08:14:23+00:00"}, "total_messages": {"old": 3},
        "created_at": {"old": "2026-05-07T08:14:23+00:00"},
    }  # fmt: skip
    merged = change(webhook, "merged", fields=fields, into=OTHER_ID)
    expected = head("contact.merged", merged.pk)
    expected += f',"changed":[],"contact":{CONTACT[:-1]},"merged_into":"{OTHER_ID}"}}}}'
    assert sent(webhook, "contact.merged", change=merged) == expected


def test_the_bytes_of_an_erased_person(webhook: Webhook) -> None:
    erased = change(webhook, "erased")
    expected = head("contact.deleted", erased.pk)
    expected += f',"changed":[],"contact":{{"id":"{CONTACT_ID}"}}}}'
    assert sent(webhook, "contact.deleted", change=erased) == expected


@pytest.fixture
def job(webhook: Webhook) -> Import:
    job = Import.objects.create(
        pk=JOB_ID, tenant=webhook.tenant, file_name="März.csv", state="done", rows=15,
        options={
            "mode": "upsert", "map": {}, "fields": {"Mobile": "phone"},
            "read_as": {"encoding": "utf-8", "delimiter": ",", "header_line": 1},
            "column_list": [{"index": 0, "header": "Mobile", "field": "phone"}],
        },
        created=1, updated=2, unchanged=3, superseded=4, failed=5, warnings=1,
        warning_list=[[3, "The e-mail is no address."]], started_at=AT, finished_at=AT,
    )  # fmt: skip
    return Import.objects.with_counts().get(pk=job.pk)


def test_the_bytes_of_a_finished_import(webhook: Webhook, job: Import) -> None:
    expected = f'{head("import.finished", None)},"import":{IMPORT}}}'
    assert sent(webhook, "import.finished", job=job) == expected


def test_the_bytes_of_a_test(webhook: Webhook) -> None:
    assert sent(webhook, "webhook.test") == f"{head('webhook.test', None)}}}"


def test_the_shapes_are_those_of_the_api(contact: Contact, job: Import) -> None:
    """The contract promises the contact of get-contact and the import of `GET /imports/ID`. Whoever
    adds a field to one of these decides here whether receivers get the field too."""
    assert payload.contact_json(contact) == ContactDetail(contact).data
    assert payload.import_json(job) == ImportJob(job).data


def test_an_import_without_columns_has_the_shape_of_the_api(acme: SimpleNamespace) -> None:
    """A refused file has no columns, no rows, and a problem."""
    Import.objects.create(
        tenant=acme.tenant, file_name="x", state="refused", problem="No phone.",
        options={"mode": "upsert"}, dry_run=True,
    )  # fmt: skip
    job = Import.objects.with_counts().get()
    assert payload.import_json(job) == ImportJob(job).data
