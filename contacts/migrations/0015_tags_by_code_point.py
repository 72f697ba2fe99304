"""An index for the pages of list-tags: names in the order of their code points, as Python sorts.

SQLite compares texts by code point anyway, and has that index by the unique constraint. On
PostgreSQL the constraint's index has the order of the database's collation.
"""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations


def create(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            'CREATE INDEX tag_by_code_point ON contacts_tag (tenant_id, name COLLATE "C")'
        )


def drop(apps: Apps, schema_editor: Any) -> None:
    schema_editor.execute("DROP INDEX IF EXISTS tag_by_code_point")


class Migration(migrations.Migration):
    dependencies = [("contacts", "0014_opt_outs")]

    operations = [migrations.RunPython(create, drop)]
