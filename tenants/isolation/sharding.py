"""What differs for Django where a Citus cluster spreads the tenants over several databases: whoever
opens a connection adapts it. `contacts.db.citus` has the differences in the product's own SQL.

The module is also Django's list of compilers for such a connection. Django would insert many rows
with INSERT … SELECT, which Citus sends to its nodes with COPY, and PostgreSQL refuses COPY under
row-level security.
"""

from typing import Any

from django.db.backends.postgresql.compiler import (
    SQLAggregateCompiler,
    SQLCompiler,
    SQLDeleteCompiler,
    SQLUpdateCompiler,
)
from django.db.models.sql.compiler import SQLInsertCompiler

__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
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


def adapt(connection: Any) -> None:
    """Keeps the ORM from statements that Citus refuses, if `connection` is open to a cluster."""
    is_to_cluster = getattr(connection.connection, "is_sharded", False)
    known[connection.alias] = is_to_cluster
    if is_to_cluster and connection.ops.compiler_module != __name__:
        connection.ops.compiler_module, connection.ops._cache = __name__, None
        # There, the id alone is no primary key, see `contacts.db.distribution`.
        connection.features.allows_group_by_selected_pks = False
