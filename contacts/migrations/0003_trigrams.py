"""Trigram indexes make search-contacts quick on PostgreSQL; its answers are the same without."""

from typing import Any

from django.apps.registry import Apps
from django.db import DatabaseError, migrations, transaction

MISSING = """
  No trigram indexes: {reason}
  search-contacts answers the same without them, but reads all contacts of a tenant.
  To have them later, see docs/operations.md, “PostgreSQL”.
"""


def create(apps: Apps, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
            if cursor.fetchone() == (0,):
                print(MISSING.format(reason="this PostgreSQL has no pg_trgm; install its contrib package."))
                return
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            # It may lie in a schema that is not searched.
            cursor.execute("SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_trgm'")
            operators = f"{cursor.fetchone()[0]}.gin_trgm_ops"
            cursor.execute(
                "CREATE INDEX contact_trigrams ON contacts_contact USING gin"
                f" (name_folded {operators}, email_folded {operators}, phone {operators})"
            )
    except DatabaseError as error:
        print(MISSING.format(reason=f"pg_trgm could not be created: {error}".strip()))


def drop(apps: Apps, schema_editor: Any) -> None:
    schema_editor.execute("DROP INDEX IF EXISTS contact_trigrams")


class Migration(migrations.Migration):
    dependencies = [("contacts", "0002_search")]

    operations = [migrations.RunPython(create, drop)]
