"""A lock that one process of an installation holds, on whatever machine it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

# When the machine of the process stops without closing the connection, PostgreSQL notices it after
# 25 s. With its own settings, the lock would be held for two hours.
SETTINGS = """
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL tcp_keepalives_idle = 10;
SET LOCAL tcp_keepalives_interval = 5;
SET LOCAL tcp_keepalives_count = 3
"""


@contextmanager
def lock_of_all_machines(name: str) -> Iterator[bool]:
    """Whether this process has the lock `name` during the block. Does not wait. The database
    releases the lock when the process ends, however that happens.

    PostgreSQL holds the lock for a transaction on a connection of its own, because a pooler may
    give another session to each transaction. The transaction keeps no row and no snapshot. SQLite
    serves the processes of one machine, which have locked a file already.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        yield True
        return
    connection.ensure_connection()
    own = connection.Database.connect(**connection.get_connection_params())
    try:
        own.execute(SETTINGS)
        query = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
        yield own.execute(query, [f"job {name}"]).fetchone()[0]
    finally:
        own.close()
