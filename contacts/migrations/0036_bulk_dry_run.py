"""Whether a bulk action is a dry run has its own column. Before, the value of an undo was JSON then."""

import json
from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models


def read_values(apps: Apps, schema_editor: Any) -> None:
    actions = apps.get_model("contacts", "BulkAction").objects.using(
        schema_editor.connection.alias
    )
    for action in actions.filter(kind="undo", value__startswith="{"):
        change_set = json.loads(action.value)["change_set"]
        row = actions.filter(tenant=action.tenant_id, pk=action.pk)
        row.update(value=change_set, dry_run=True)


def write_values(apps: Apps, schema_editor: Any) -> None:
    actions = apps.get_model("contacts", "BulkAction").objects.using(
        schema_editor.connection.alias
    )
    for action in actions.filter(kind="undo", dry_run=True):
        value = json.dumps({"change_set": action.value, "dry_run": True})
        actions.filter(tenant=action.tenant_id, pk=action.pk).update(value=value)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0035_import_columns")]

    operations = [
        migrations.AddField(
            "bulkaction",
            "dry_run",
            models.BooleanField(db_default=False, default=False, help_text="Nothing is changed, only counted."),
        ),
        migrations.RunPython(read_values, write_values),
    ]
