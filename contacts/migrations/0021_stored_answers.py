"""Answers that are kept for requests with an Idempotency-Key, and their row-level security."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0020_duplicates"),
        ("tenants", "0007_known_address"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                ("pk", models.CompositePrimaryKey("tenant_id", "token", "key", blank=True, editable=False, primary_key=True, serialize=False)),
                ("token", models.BigIntegerField()),
                ("key", models.CharField(max_length=255)),
                ("request", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
        ),
        protect("contacts.StoredAnswer"),
    ]
