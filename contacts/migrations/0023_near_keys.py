"""The keys of the search for duplicates. The search of each tenant begins again, to store them."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models

import tenants.fields
from tenants.isolation import protect


def begin_again(apps: Apps, schema_editor: object) -> None:
    apps.get_model("contacts", "DuplicateSearch").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0022_lists_without_former_phones"),
        ("tenants", "0007_known_address"),
    ]

    operations = [
        migrations.CreateModel(
            name="NearKey",
            fields=[
                ("contact_id", tenants.fields.ULIDField(primary_key=True, serialize=False)),
                ("beginning", models.BigIntegerField()),
                ("tail", models.BigIntegerField()),
                ("tenant", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["tenant", "beginning"], name="near_key_beginning"),
                    models.Index(fields=["tenant", "tail"], name="near_key_tail"),
                ],
            },
        ),
        protect("contacts.NearKey"),
        migrations.RunPython(begin_again, migrations.RunPython.noop),
    ]
