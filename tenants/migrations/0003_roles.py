from typing import Any

from django.apps.registry import Apps
from django.db import migrations

from tenants.roles import RIGHTS, grant


def create(apps: Apps, schema_editor: Any) -> None:
    grant(apps, RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_rate_limit"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
