"""How far the stored names are folded as people type them, and its row-level security.

The names themselves are folded in the background: see `contacts.jobs.name_folding`.
"""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.fields
from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [("contacts", "0023_near_keys"), ("tenants", "0007_known_address")]

    operations = [
        migrations.CreateModel(
            name="NameFolding",
            fields=[
                ("tenant", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="tenants.tenant")),
                ("version", models.PositiveSmallIntegerField()),
                ("place", models.JSONField()),
                ("last_id", tenants.fields.ULIDField(null=True)),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(help_text="When all contacts were read.", null=True)),
            ],
            options={"default_permissions": ()},
        ),
        protect("contacts.NameFolding"),
    ]
