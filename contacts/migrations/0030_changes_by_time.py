"""An index for the admin's list of changes, which shows them by day. On PostgreSQL, it is built
beside writers. The version before does not use it."""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models

INDEX = models.Index(fields=["tenant", "at", "id"], name="change_by_time")


def options(schema_editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}


def forwards(apps: Apps, schema_editor: Any) -> None:
    schema_editor.add_index(apps.get_model("contacts", "Change"), INDEX, **options(schema_editor))


def backwards(apps: Apps, schema_editor: Any) -> None:
    schema_editor.remove_index(apps.get_model("contacts", "Change"), INDEX, **options(schema_editor))


class Migration(migrations.Migration):
    atomic = False  # an index cannot be built beside writers in a transaction

    dependencies = [("contacts", "0029_tenant_locks")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(forwards, backwards)],
            [migrations.AddIndex("change", INDEX)],
        ),
    ]
