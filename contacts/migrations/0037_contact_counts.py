"""The counts of contacts by day, source and consent, and their row-level security."""

import django.db.models.deletion
from django.db import migrations, models

import contacts.values.rules
import tenants.fields
from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [("contacts", "0036_bulk_dry_run"), ("tenants", "0008_oauth")]

    operations = [
        migrations.CreateModel(
            name="ContactCounts",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("zone", models.CharField(max_length=64)),
                ("numbers", models.JSONField(encoder=contacts.values.rules.CompactJSON)),
                ("counted_at", models.DateTimeField()),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("tenant", "zone"), name="contact_counts_per_zone")],
            },
        ),
        protect("contacts.ContactCounts"),
    ]
