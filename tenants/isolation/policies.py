"""The policy of each table with a tenant, for migrations."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.apps.registry import Apps
from django.db import migrations

from .connection import SETTING
from .context import ALL_TENANTS, NO_TENANT

POLICY = "tenant_isolation"

# The setting is NULL if this session never set it, and empty after a transaction that did. Both
# mean: no rows.
RULE = f"""
CASE current_setting('{SETTING}', true)
    WHEN '{ALL_TENANTS}' THEN true
    WHEN '{NO_TENANT}' THEN false
    ELSE tenant_id = current_setting('{SETTING}', true)::uuid
END"""


def protect(*models: str) -> migrations.RunPython:
    """The migration operation that adds the policy to the tables of `models`.

    `models`: labels such as `contacts.Tag`. Each model needs a column `tenant_id`. The operation is
    reversible, and does nothing on SQLite.
    """
    return migrations.RunPython(partial(add_policies, models), partial(drop_policies, models))


def add_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"CREATE POLICY {POLICY} ON {table} USING ({RULE})", params=None)
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def drop_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"DROP POLICY {POLICY} ON {table}")


def tables(models: Iterable[str], apps: Apps, schema_editor: Any) -> list[str]:
    """The quoted table names of `models`; empty on SQLite."""
    if schema_editor.connection.vendor != "postgresql":
        return []
    return [schema_editor.quote_name(apps.get_model(name)._meta.db_table) for name in models]
