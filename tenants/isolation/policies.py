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
# mean: no rows. The second condition never fails where the first one is true, because the database
# may evaluate them in any order; and unlike CASE, Citus can send both to its shards.
RULE = f"""
current_setting('{SETTING}', true) = '{ALL_TENANTS}'
OR tenant_id = nullif(
    nullif(current_setting('{SETTING}', true), '{ALL_TENANTS}'), '{NO_TENANT}'
)::uuid"""


def protect(*models: str) -> migrations.RunPython:
    """The migration operation that adds the policy to the tables of `models`.

    `models`: labels such as `contacts.Tag`. Each model needs a column `tenant_id`. The operation is
    reversible, and does nothing on SQLite.
    """
    return migrations.RunPython(partial(add_policies, models), partial(drop_policies, models))


def renew(*models: str) -> migrations.RunPython:
    """The migration operation that gives the policies of `models` the rule of this version, see
    `RULE`. Not undone: both forms of the rule show the same rows."""
    return migrations.RunPython(partial(alter_policies, models), migrations.RunPython.noop)


def add_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"CREATE POLICY {POLICY} ON {table} USING ({RULE})", params=None)
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def alter_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"ALTER POLICY {POLICY} ON {table} USING ({RULE})", params=None)


def drop_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"DROP POLICY {POLICY} ON {table}")


def tables(models: Iterable[str], apps: Apps, schema_editor: Any) -> list[str]:
    """The quoted table names of `models`; empty on SQLite."""
    if schema_editor.connection.vendor != "postgresql":
        return []
    return [schema_editor.quote_name(apps.get_model(name)._meta.db_table) for name in models]
