"""The counts of tags, stored for all processes, and their row-level security."""

import django.db.models.deletion
from django.db import migrations, models

import contacts.values.rules
from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0027_dismiss_pairs"),
        ("tenants", "0008_oauth"),
    ]

    operations = [
        migrations.CreateModel(
            name="TagCounts",
            fields=[
                ("tenant", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="tenants.tenant")),
                ("numbers", models.JSONField(encoder=contacts.values.rules.CompactJSON)),
                ("snapshot", models.TextField()),
                ("counted_at", models.DateTimeField()),
            ],
            options={"default_permissions": ()},
        ),
        protect("contacts.TagCounts"),
    ]
