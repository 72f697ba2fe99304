"""Which database it is."""

from .postgresql import PostgreSQL, PostgreSQL18
from .sqlite import SQLite

DIALECTS: dict[str, type[SQLite] | type[PostgreSQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql18": PostgreSQL18,
}
