"""What the code adds to Django's database connections.

SQLite connections get the functions that PostgreSQL has as operators. PostgreSQL connections get a
cursor that prepares statements, and fewer health checks.
"""

import json
import re
import time
from datetime import datetime
from functools import partial
from typing import Any, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import _queries

from contacts.values.rules import is_number, spelled, spelled_alike
from tenants.isolation import is_sharded

from .citus import ValuesCursor
from .expressions import DAY, MICROSECOND
from .postgresql import PostgreSQL18

# psycopg splits a statement at its parameters, and remembers the parts of statements up to this
# number of characters. Its default is 4,096. The statement of `complete_upsert` is longer: to split
# it for each request took longer than all else that a write does in Python.
_queries.MAX_CACHED_STATEMENT_LENGTH = 16_384


class PreparingCursor(psycopg.Cursor[Any]):
    """A cursor that sends the parameters separately from the statement.

    Django's own cursor writes the parameters into the statement, so that the text differs each time
    and PostgreSQL cannot use the plan again.
    """

    def _convert_query(self, *args: Any, **kwargs: Any) -> Any:
        """Keeps the query for Django's log of statements: psycopg forgets a prepared query."""
        self._query = super()._convert_query(*args, **kwargs)
        return self._query


def prepared_cursor(using: str = DEFAULT_DB_ALIAS) -> Any:
    """A cursor for statements that run often: PostgreSQL plans them once per connection.

    `using`: the alias of the database. The setting `prepare_threshold` can switch preparing off,
    as some connection poolers need.

    Use this cursor for writing only. The best plan of a query that reads depends on its values, and
    a prepared statement may keep a plan that is bad for other values.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    if is_sharded(connection):
        return ValuesCursor(connection.create_cursor(), connection)
    return connection._prepare_cursor(PreparingCursor(connection.connection))


def release(using: str = DEFAULT_DB_ALIAS) -> None:
    """Lets other threads use the connection of this one, where threads share connections: called
    outside a transaction, before the thread waits for another one."""
    if give_back := getattr(connections[using], "give_back", None):
        give_back()


def sql_kind(using: str = DEFAULT_DB_ALIAS) -> str:
    """The key in `DIALECTS` for the database with the alias `using`."""
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return connection.vendor
    if is_sharded(connection):
        return "citus"
    return "postgresql18" if connection.pg_version >= PostgreSQL18.VERSION else "postgresql"


def add_functions(connection: Any, **kwargs: Any) -> None:
    """Defines on a new SQLite connection the functions that PostgreSQL has as operators.

    A receiver of Django's signal `connection_created`.
    """
    if connection.vendor == "sqlite":
        add = partial(connection.connection.create_function, deterministic=True)
        add("contacts_merged", 2, merged_metadata)
        add("contacts_added_tags", 2, added_tags)
        add("contacts_holds", -1, metadata_has)
        add("contacts_between", 4, metadata_between)
        add("contacts_updated_after", 2, text_updated_after)


def trust_busy_connections(**kwargs: Any) -> None:
    """Checks the health of a connection at most once a second, and not with every request.

    Each check is a round trip to the database. A connection that was idle for a second or more is
    checked by the next request. A receiver of Django's signal `request_started`.
    """
    now = time.monotonic()
    for each in cast("list[Any]", connections.all(initialized_only=True)):
        if now - getattr(each, "asked_at", -1) < 1:
            each.health_check_done = True
        else:
            each.asked_at = now


def merged_metadata(stored: str, given: str) -> str:
    """The metadata `stored` with the keys of `given`: PostgreSQL's `||` for JSON, for SQLite."""
    return spelled(json.loads(stored) | json.loads(given))


def added_tags(stored: str, given: str) -> str:
    """The comma-separated tags `stored`, then those of `given` that are new: `ADDED_TAGS` for
    SQLite."""
    names = [*stored.split(","), *given.split(",")]
    return ",".join(dict.fromkeys(filter(None, names)))


def text_updated_after(stored: str, now: str) -> str:
    """`updated_after` for timestamps as SQLite stores them: UTC, without an offset.

    Timestamps in this form sort as text in the order of time.
    """
    if now > stored:
        return now
    return (datetime.fromisoformat(stored) + MICROSECOND).isoformat(" ")


def metadata_has(stored: str, key: str, *values: str) -> bool:
    """`expressions.MetadataHas` for one row, on SQLite."""
    metadata = json.loads(stored)
    return key in metadata and (not values or spelled_alike(metadata[key]) in values)


def metadata_between(stored: str, key: str, low: str | None, high: str | None) -> bool:
    """`expressions.MetadataBetween` for one row, on SQLite."""
    value = json.loads(stored).get(key)
    bounds = [json.loads(bound) for bound in (low, high) if bound is not None]
    if isinstance(bounds[0], str):
        is_of_kind = isinstance(value, str) and bool(re.fullmatch(DAY, value))
    else:
        is_of_kind = is_number(value)
    if not is_of_kind:
        return False
    return (low is None or bounds[0] <= value) and (high is None or value <= bounds[-1])
