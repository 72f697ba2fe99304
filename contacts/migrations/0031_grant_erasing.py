"""Managers may erase people. No table changes."""

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

from tenants.roles import grant


def grant_rights(apps: StateApps, schema_editor: Any) -> None:
    grant(apps, ["contacts.erasure"])


class Migration(migrations.Migration):
    dependencies = [("contacts", "0030_changes_by_time")]

    operations = [
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
