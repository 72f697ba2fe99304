"""Exports in the background: the table, its row-level security, and who may see exports."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models

import tenants.fields
from tenants.isolation import protect
from tenants.roles import grant


def grant_rights(apps: Apps, schema_editor: Any) -> None:
    grant(apps, ["contacts.export"])


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0017_import_warnings"),
        ("tenants", "0007_known_address"),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("actor", models.CharField(help_text="Who asked for it, such as user:7.", max_length=100)),
                ("format", models.CharField(max_length=20)),
                ("filters", models.JSONField(help_text="As in list-contacts; none if a person chose each contact.", null=True)),
                ("state", models.CharField(choices=[("queued", "Queued"), ("writing", "Writing"), ("done", "Done"), ("refused", "Refused"), ("expired", "Expired")], default="queued", max_length=20)),
                ("problem", models.TextField(blank=True, help_text="Why it was refused, or does not go on.")),
                ("total", models.PositiveIntegerField(help_text="Contacts, once they are known.", null=True)),
                ("written", models.PositiveIntegerField(default=0)),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="exports", to="tenants.tenant")),
            ],
            options={"indexes": [models.Index(fields=["tenant", "id"], name="export_by_tenant")]},
        ),
        protect("contacts.Export"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
