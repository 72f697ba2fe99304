"""The calls of `generated_clients.py`, by the client that openapi-python-client generates."""

import io
import json
import os

from python_client import AuthenticatedClient
from python_client import models as m
from python_client.api.contacts import (
    create_contact,
    create_contacts,
    list_contacts,
    record_consent,
    search_contacts,
    update_contact,
)
from python_client.api.imports import create_import
from python_client.api.tags import add_tag
from python_client.api.webhooks import create_webhook
from python_client.types import File

client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"])


def call(operation, body):
    return operation.sync(client=client, body=body)


phone = "+1 415 555 0123"
created = call(create_contact, m.ContactInput(phone=phone, name="Romain", tags=["vip"]))
updated = call(update_contact, m.ContactChanges(contact_id=created.id, name="Romain R."))
cleared = call(update_contact, m.ContactChanges(contact_id=created.id, email=None))
tagged = call(add_tag, m.TagOfContact(phone=phone, tag="beta"))
rows = [m.BatchRow(phone="+33 6 12 34 56 78", name="Zoé", ref="row-1"), m.BatchRow(phone="+1 415")]
batch = call(create_contacts, m.BatchInput(contacts=rows))
found = call(search_contacts, m.SearchInput(query="romain", limit=5))
first = call(list_contacts, m.ListInput(limit=1))
second = call(list_contacts, m.ListInput(limit=1, cursor=first.next_cursor))
decision = m.ConsentInput(phone=phone, status=m.ConsentInputStatus.OPTED_IN, source="form")
consent = call(record_consent, decision)
file = File(io.BytesIO(b"Mobile\n+33612345678\n"), "people.csv", "text/csv")
form = m.ImportForm(file=file, mode=m.ImportFormMode.CREATE_ONLY, dry_run=True, tag=["a", "b"])
job = call(create_import, form)
webhook = call(create_webhook, m.WebhookInput(url="https://shop.example.com/hooks"))
refused = call(create_contact, m.ContactInput(phone="+1 415"))

print(json.dumps({
    "created": created.name,
    "updated": updated.name,
    "email": cleared.email,
    "tags": tagged.tags,
    "batch": [result.status for result in batch.results],
    "found": [contact.phone for contact in found],
    "listed": [contact.phone for page in (first, second) for contact in page.data],
    "opted_in": bool(consent.opted_in_at),
    "import": [job.mode, job.dry_run],
    "webhook": webhook.secret.startswith("whsec_"),
    "refused": refused.message,
}))  # fmt: skip
