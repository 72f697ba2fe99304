"""The calls of `generated_clients.py`, by the client that openapi-generator generates."""

import json
import os

import openapi_client as m

configuration = m.Configuration(host=os.environ["URL"], access_token=os.environ["TOKEN"])
client = m.ApiClient(configuration)
contacts, tags = m.ContactsApi(client), m.TagsApi(client)

phone = "+1 415 555 0123"
created = contacts.create_contact(m.ContactInput(phone=phone, name="Romain", tags=["vip"]))
updated = contacts.update_contact(m.ContactChanges(contact_id=created.id, name="Romain R."))
cleared = contacts.update_contact(m.ContactChanges(contact_id=created.id, email=None))
tagged = tags.add_tag(m.TagOfContact(phone=phone, tag="beta"))
row = m.BatchRow(phone="+33 6 12 34 56 78", name="Zoé", ref=m.BatchRowRef("row-1"))
batch = contacts.create_contacts(m.BatchInput(contacts=[row, m.BatchRow(phone="+1 415")]))
found = contacts.search_contacts(search_input=m.SearchInput(query="romain", limit=5))
first = contacts.list_contacts(list_input=m.ListInput(limit=1))
second = contacts.list_contacts(list_input=m.ListInput(limit=1, cursor=first.next_cursor))
decision = m.ConsentInput(phone=phone, status="opted_in", source="form")
consent = contacts.record_consent(decision)
file = ("people.csv", b"Mobile\n+33612345678\n")
job = m.ImportsApi(client).create_import(file, mode="create-only", dry_run=True, tag=["a", "b"])
webhook = m.WebhooksApi(client).create_webhook(m.WebhookInput(url="https://shop.example.com/hooks"))
try:
    contacts.create_contact(m.ContactInput(phone="+1 415"))
except m.ApiException as error:
    refused = error

print(json.dumps({
    "created": created.name,
    "updated": updated.name,
    "email": cleared.email,
    "tags": tagged.tags,
    "batch": [result.status for result in batch.results],
    "found": [contact.phone for contact in found],
    "listed": [entry.actual_instance.phone for page in (first, second) for entry in page.data],
    "opted_in": bool(consent.opted_in_at),
    "import": [job.mode, job.dry_run],
    "webhook": webhook.secret.startswith("whsec_"),
    "refused": refused.data.message,
}))  # fmt: skip
