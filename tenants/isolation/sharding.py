"""What differs for Django where a Citus cluster spreads the tenants over several databases: whoever
opens a connection adapts it. `contacts.db.citus` has the differences in the product's own SQL.

The module is also Django's list of compilers for such a connection. Django would insert many rows
with INSERT … SELECT, which Citus sends to its nodes with COPY, and PostgreSQL refuses COPY under
row-level security.
"""

import re
from typing import Any

from django.db.backends.postgresql.compiler import (
    SQLAggregateCompiler,
    SQLCompiler,
    SQLDeleteCompiler,
    SQLUpdateCompiler,
)
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.models.sql.compiler import SQLInsertCompiler

__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
    "SchemaEditor",
    "adapt",
    "is_sharded",
]


# Whether a database is one of a cluster, by its alias, as the last connection to it has found out.
# A thread that opened a connection only for this question would keep it from those that write.
known: dict[str, bool] = {}


def is_sharded(connection: Any) -> bool:
    """Whether `connection` (Django's) is to a Citus cluster."""
    if connection.alias not in known:
        connection.ensure_connection()
    return known.get(connection.alias, False)


CHECKED_COLUMN = re.compile(r'(ALTER TABLE "(\w+)" ADD COLUMN "(\w+)" .*) (CHECK \(.*\))')


class SchemaEditor(DatabaseSchemaEditor):
    """Migrates. Citus refuses a statement that adds a column and its check."""

    def execute(self, sql: Any, params: Any = ()) -> None:
        parts = CHECKED_COLUMN.fullmatch(str(sql))
        super().execute(parts[1] if parts else sql, params)
        if parts:
            name = f"{parts[2]}_{parts[3]}_check"[-63:]  # as PostgreSQL names it
            super().execute(f'ALTER TABLE "{parts[2]}" ADD CONSTRAINT "{name}" {parts[4]}', None)


def adapt(connection: Any) -> None:
    """Keeps the ORM from statements that Citus refuses, if `connection` is open to a cluster."""
    is_to_cluster = getattr(connection.connection, "is_sharded", False)
    known[connection.alias] = is_to_cluster
    if is_to_cluster and connection.ops.compiler_module != __name__:
        connection.ops.compiler_module, connection.ops._cache = __name__, None
        connection.SchemaEditorClass = SchemaEditor
        # There, the id alone is no primary key, see `contacts.db.distribution`.
        connection.features.allows_group_by_selected_pks = False
