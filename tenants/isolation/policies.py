"""The policy of each table with a tenant, for migrations."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.apps.registry import Apps
from django.db import migrations

from .connection import SETTING
from .context import ALL_TENANTS

POLICY = "tenant_isolation"

# The setting is NULL if this session never set it, and empty after a transaction that did. Both
# mean: no rows. CASE, and not OR: the planner would expect one row in a hundred to pass OR where it
# has no statistics, and then choose plans for few rows.
#
# PostgreSQL prepares the rule for each table of a statement, and evaluates it for each row. With 16
# tenants, to search their ids as text takes a sixth of the time that it takes to read an array of
# them. The text has an id only as a whole: all ids have 32 digits, and commas are between them.
RULE = f"""
CASE current_setting('{SETTING}', true)
    WHEN '{ALL_TENANTS}' THEN true
    ELSE strpos(current_setting('{SETTING}', true), encode(uuid_send(tenant_id), 'hex')) > 0
END"""

PROTECTED = """
SELECT polrelid::regclass::text FROM pg_policy
WHERE polname = %s AND pg_table_is_visible(polrelid) ORDER BY polrelid::regclass::text
"""


def protect(*models: str) -> migrations.RunPython:
    """The migration operation that adds the policy to the tables of `models`.

    `models`: labels such as `contacts.Tag`. Each model needs a column `tenant_id`. The operation is
    reversible, and does nothing on SQLite.
    """
    return migrations.RunPython(partial(add_policies, models), partial(drop_policies, models))


def renew() -> migrations.RunPython:
    """The migration operation that gives all stored policies the rule of this version, see `RULE`.
    Not undone: each form of the rule shows the same rows. For a migration that is not atomic: a
    transaction for all tables would keep those that it has locked while it waits for the next."""
    return migrations.RunPython(renew_policies, migrations.RunPython.noop)


def renew_policies(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(PROTECTED, [POLICY])
            protected = [table for (table,) in cursor.fetchall()]
        for table in protected:
            schema_editor.execute(f"ALTER POLICY {POLICY} ON {table} USING ({RULE})", params=None)


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
