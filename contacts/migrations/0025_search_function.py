"""Searches by the trigram index for the role that row-level security holds for, on PostgreSQL.

PostgreSQL evaluates a policy before every condition that might reveal a row, such as LIKE. For this
role, LIKE can therefore not use an index. The function runs as the owner of the tables, for whom no
policy holds, and finds the ids of the current tenant's contacts. Whoever uses the ids reads the
rows themselves under the policy.

- The tenant comes from the setting that the policies read, and from nowhere else. Without a tenant,
  the function finds nothing.
- Patterns are parameters. `search_path` is fixed, so that no other schema can bring its own `~~`.
- Only roles that may read contacts may execute the function.
"""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations

NAME = "contacts_search(text[], text[], text[])"
# The plan depends on the patterns: how many contacts have their trigrams.
FUNCTION = """
CREATE FUNCTION contacts_search(names text[], emails text[], phones text[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    tenant text := current_setting('qyvo.tenant', true);
BEGIN
    IF tenant IS NULL OR tenant IN ('', 'all') THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT id FROM {table} WHERE tenant_id = tenant::uuid AND (
        name_folded LIKE ANY (names) OR email_folded LIKE ANY (emails) OR phone LIKE ANY (phones)
    );
END $$
"""
TABLE = "SELECT format('%I.contacts_contact', current_schema())"
READERS = """
SELECT DISTINCT quote_ident(rolname) FROM pg_class, aclexplode(relacl) AS granted
JOIN pg_roles ON pg_roles.oid = granted.grantee
WHERE pg_class.oid = 'contacts_contact'::regclass AND granted.privilege_type = 'SELECT'
"""


def add_function(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(TABLE)
        [table] = cursor.fetchone()
        cursor.execute(READERS)
        readers = [role for [role] in cursor.fetchall()]
    schema_editor.execute(FUNCTION.format(table=table), params=None)
    schema_editor.execute(f"REVOKE ALL ON FUNCTION {NAME} FROM PUBLIC")
    for role in readers:
        schema_editor.execute(f"GRANT EXECUTE ON FUNCTION {NAME} TO {role}")


def drop_function(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION {NAME}")


class Migration(migrations.Migration):
    dependencies = [("contacts", "0024_name_folding")]

    operations = [migrations.RunPython(add_function, drop_function)]
