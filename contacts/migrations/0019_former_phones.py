"""Former phones. On PostgreSQL, neither step keeps writers waiting: the column has no default, and the
index is built beside them. The version before runs on the new table."""

from typing import Any

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models

INDEX = models.Index(
    condition=models.Q(("former_of__isnull", False)),
    fields=["tenant", "former_of", "phone"],
    name="contact_former_phones",
)


def options(schema_editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}


def add_index(apps: Apps, schema_editor: Any) -> None:
    contact = apps.get_model("contacts", "Contact")
    schema_editor.add_index(contact, INDEX, **options(schema_editor))


def remove_index(apps: Apps, schema_editor: Any) -> None:
    """Deletes the former phones, too: the version before would take them for contacts."""
    contact = apps.get_model("contacts", "Contact")
    contact._base_manager.exclude(former_of=None).delete()
    schema_editor.remove_index(contact, INDEX, **options(schema_editor))


class Migration(migrations.Migration):
    atomic = False  # an index cannot be built beside writers in a transaction

    dependencies = [
        ("contacts", "0018_exports"),
        ("tenants", "0007_known_address"),
    ]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="former_of",
            field=models.ForeignKey(db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", related_query_name="former", to="contacts.contact"),
        ),
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(add_index, remove_index)],
            [migrations.AddIndex("contact", INDEX)],
        ),
    ]
