"""Notes of staff about contacts, with their row-level security. Managers may delete those of
others. The version before deletes a contact and leaves its notes, which nobody sees then."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.state import StateApps

import tenants.fields
from tenants.isolation import protect
from tenants.roles import grant


def grant_rights(apps: StateApps, schema_editor: Any) -> None:
    grant(apps, ["contacts.note"])


class Migration(migrations.Migration):
    dependencies = [("contacts", "0031_grant_erasing")]

    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("contact_id", tenants.fields.ULIDField()),
                ("author", models.CharField(max_length=100)),
                ("text", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "default_permissions": ("delete",),
                "indexes": [models.Index(fields=["tenant", "contact_id", "created_at"], name="note_by_contact")],
            },
        ),
        protect("contacts.Note"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
