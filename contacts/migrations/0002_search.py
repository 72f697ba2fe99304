from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models

import contacts.db.fields
from contacts.values.rules import folded


def fold(apps: Apps, schema_editor: Any) -> None:
    contacts = apps.get_model("contacts", "Contact").objects
    batch = []
    for contact in contacts.only("name", "email").iterator(chunk_size=1000):
        contact.name_folded = folded(contact.name)
        contact.email_folded = folded(contact.email)
        batch.append(contact)
        if len(batch) == 1000:
            contacts.bulk_update(batch, ["name_folded", "email_folded"])
            batch.clear()
    contacts.bulk_update(batch, ["name_folded", "email_folded"])


class Migration(migrations.Migration):
    dependencies = [("contacts", "0001_initial")]

    operations = [
        migrations.RemoveIndex("contact", "contact_email"),
        migrations.AddField("contact", "name_folded", contacts.db.fields.FoldedField(of="name")),
        migrations.AddField("contact", "email_folded", contacts.db.fields.FoldedField(of="email")),
        migrations.RunPython(fold, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex("contact", models.Index(fields=["tenant", "email_folded"], name="contact_email")),
        migrations.AddIndex("contact", models.Index(fields=["tenant", "last_message_at", "id"], name="contact_recency")),
    ]
