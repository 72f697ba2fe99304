"""The dialects of SQL, by the kind of the database (see `connections.sql_kind`).

No other package asks which database is in use: it takes the dialect from here.
"""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from tenants.isolation import is_sharded

from .citus import Citus
from .postgresql import PostgreSQL, PostgreSQL18
from .sqlite import SQLite

DIALECTS: dict[str, type[SQLite] | type[PostgreSQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql18": PostgreSQL18,
    "citus": Citus,
}


def dialect_of(using: str = DEFAULT_DB_ALIAS) -> Any:
    """How the database of a connection spells what the databases spell differently."""
    connection = connections[using]
    is_citus = connection.vendor == "postgresql" and is_sharded(connection)
    return DIALECTS["citus" if is_citus else connection.vendor]


def has_one_writer(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the database lets one transaction write at a time, as SQLite does."""
    return connections[using].vendor == "sqlite"
