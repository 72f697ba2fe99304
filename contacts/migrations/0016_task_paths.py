"""Tasks that an older version has put into the queue name functions by the modules of that version.

Without this migration, a worker of the new version could not import them.
"""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations

MOVED = {
    "contacts.bulk_actions.run_bulk_action": "contacts.jobs.bulk_actions.run_bulk_action",
    "contacts.uploads.run_import": "contacts.importing.uploads.run_import",
}


def rename(apps: Apps, schema_editor: Any, moved: dict[str, str] = MOVED) -> None:
    tasks = apps.get_model("django_tasks_database", "DBTaskResult").objects.using(
        schema_editor.connection.alias
    )
    for old, new in moved.items():
        tasks.filter(task_path=old).update(task_path=new)


def rename_back(apps: Apps, schema_editor: Any) -> None:
    rename(apps, schema_editor, {new: old for old, new in MOVED.items()})


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0015_tags_by_code_point"),
        ("django_tasks_database", "0021_conditional_partial_index_ordering"),
    ]

    operations = [migrations.RunPython(rename, rename_back)]
