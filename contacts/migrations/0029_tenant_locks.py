"""All policies in a form that also runs on Citus; and the rows that transactions lock for a whole
tenant, with their row-level security."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.isolation import protect, renew


class Migration(migrations.Migration):
    atomic = False  # see `renew`, which can be repeated
    dependencies = [("contacts", "0028_tag_counts"), ("tenants", "0008_oauth")]

    operations = [
        renew(),
        migrations.CreateModel(
            name="TenantLock",
            fields=[
                ("tenant", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="tenants.tenant")),
            ],
            options={"default_permissions": ()},
        ),
        protect("contacts.TenantLock"),
    ]
