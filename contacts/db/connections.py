"""What a connection to the database gets when it is opened, and how it prepares statements."""

import json
import time
from datetime import datetime
from functools import partial
from typing import Any, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from contacts.values.rules import spelled

from .expressions import MICROSECOND
from .postgresql import PostgreSQL18


class PreparingCursor(psycopg.Cursor[Any]):
    def _convert_query(self, *args: Any, **kwargs: Any) -> Any:
        """Kept for Django's log of statements; psycopg itself forgets a prepared one."""
        self._query = super()._convert_query(*args, **kwargs)
        return self._query


def prepared(using: str = DEFAULT_DB_ALIAS) -> Any:
    """A cursor for what is run again and again: PostgreSQL plans it once a connection, not each
    time, unless `prepare_threshold` forbids it, as poolers may need.

    What is only read goes without: there the best plan depends on the values.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    return connection._prepare_cursor(PreparingCursor(connection.connection))


def sql_kind(using: str = DEFAULT_DB_ALIAS) -> str:
    """Which of `DIALECTS` a database understands."""
    connection: Any = connections[using]
    has_old = connection.vendor == "postgresql" and connection.pg_version >= PostgreSQL18.VERSION
    return "postgresql18" if has_old else connection.vendor


def add_functions(connection: Any, **kwargs: Any) -> None:
    """Gives a new connection to SQLite what PostgreSQL has as an operator."""
    if connection.vendor == "sqlite":
        add = partial(connection.connection.create_function, deterministic=True)
        add("contacts_merged", 2, merged_metadata)
        add("contacts_holds", -1, holds)
        add("contacts_updated_after", 2, text_updated_after)


def trust_busy_connections(**kwargs: Any) -> None:
    """Has a request ask its connection whether it still lives once a second, not each time; one
    that has been idle for longer is always asked."""
    now = time.monotonic()
    for each in cast("list[Any]", connections.all(initialized_only=True)):
        if now - getattr(each, "asked_at", -1) < 1:
            each.health_check_done = True
        else:
            each.asked_at = now


def merged_metadata(stored: str, given: str) -> str:
    return spelled(json.loads(stored) | json.loads(given))


def text_updated_after(stored: str, now: str) -> str:
    """`updated_after` for timestamps as SQLite stores them: UTC without an offset, which compare
    as text."""
    if now > stored:
        return now
    return (datetime.fromisoformat(stored) + MICROSECOND).isoformat(" ")


def holds(stored: str, key: str, *values: str) -> bool:
    held = json.loads(stored)
    return key in held and (not values or spelled(held[key]) in values)
