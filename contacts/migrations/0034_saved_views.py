"""Saved views: the table, its row-level security, and who may change the shared views of others."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models

import contacts.values.rules
import tenants.fields
from tenants.isolation import protect
from tenants.roles import grant


def grant_rights(apps: Apps, schema_editor: Any) -> None:
    grant(apps, ["contacts.savedview"])


class Migration(migrations.Migration):
    dependencies = [("contacts", "0033_metadata_fields"), ("tenants", "0008_oauth")]

    operations = [
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("actor", models.CharField(help_text="Who saved it, such as user:7.", max_length=100)),
                ("name", models.CharField(max_length=100)),
                ("is_shared", models.BooleanField(default=False, verbose_name="shared")),
                ("filter", models.JSONField(encoder=contacts.values.rules.CompactJSON)),
                ("counted", models.PositiveIntegerField(null=True)),
                ("counted_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "ordering": ["name", "id"],
                "default_permissions": ("change", "delete"),
                "constraints": [models.UniqueConstraint(fields=("tenant", "actor", "name"), name="view_name_per_user")],
            },
        ),
        protect("contacts.SavedView"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
