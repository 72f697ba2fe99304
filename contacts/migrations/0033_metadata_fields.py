"""Fields that a tenant defines: the table, its row-level security, and managers may edit fields."""

from typing import Any

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.state import StateApps

import tenants.fields
from tenants.isolation import protect
from tenants.roles import grant


def grant_rights(apps: StateApps, schema_editor: Any) -> None:
    grant(apps, ["contacts.metadatafield"])


class Migration(migrations.Migration):
    dependencies = [("contacts", "0032_notes"), ("tenants", "0008_oauth")]

    operations = [
        migrations.CreateModel(
            name="MetadataField",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=255)),
                ("label", models.CharField(max_length=100)),
                ("kind", models.CharField(choices=[("text", "Text"), ("number", "Number"), ("date", "Date"), ("choice", "Choice"), ("yes_no", "Yes or no")], default="text", max_length=20)),
                ("choices", models.JSONField(blank=True, default=list)),
                ("position", models.PositiveSmallIntegerField(default=0, help_text="Fields with smaller numbers come first.", validators=[django.core.validators.MaxValueValidator(9999)])),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "verbose_name": "field",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "key"), name="field_key"),
                    models.UniqueConstraint(fields=("tenant", "label"), name="field_label"),
                ],
            },
        ),
        protect("contacts.MetadataField"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
