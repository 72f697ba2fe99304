"""The dialects of SQL, by the kind of the database (see `connections.sql_kind`).

No other package asks which database is in use: it takes the dialect from here.
"""

from .postgresql import PostgreSQL, PostgreSQL18
from .sqlite import SQLite

DIALECTS: dict[str, type[SQLite] | type[PostgreSQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql18": PostgreSQL18,
}
