"""Django's PostgreSQL backend for requests: limits how long a request waits for the server.

Settings of PostgreSQL and of TCP do not notice that the server's machine is frozen, so the client
limits the time itself. Commands and workers use Django's own backend, and may wait.
"""

import time
from functools import partial
from typing import Any

import psycopg
from django.db.backends.postgresql import base

TIMEOUT = 7  # seconds for a statement
CANCEL_TIMEOUT = 1  # second for PostgreSQL to cancel a statement that takes longer
# How long a statement may wait for a lock. A little more than PostgreSQL's `deadlock_timeout` of
# one second: with the same value PostgreSQL would report a deadlock, which `transactional` retries,
# as a lock timeout.
LOCK_TIMEOUT = "1050ms"
PAUSE = 1  # second without new connections to a server that has not answered


def wait(connection: psycopg.Connection[Any], gen: Any, interval: float = 0.1) -> Any:
    """Replaces the method of psycopg: waits for the result of a statement, at most `TIMEOUT`
    seconds. After that, cancels the statement, closes the connection and raises
    `OperationalError`."""
    try:
        return psycopg.Connection.wait(connection, gen, interval, timeout=TIMEOUT)
    except psycopg.errors._WaitTimeout as error:
        try:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        except psycopg.OperationalError:
            DatabaseWrapper.pause_connecting()
        connection.close()
        raise psycopg.OperationalError(f"no answer within {TIMEOUT} seconds") from error


class DatabaseWrapper(base.DatabaseWrapper):
    lock_timeout = LOCK_TIMEOUT  # sent with each transaction, see `tenants.isolation`
    silent_until = 0.0  # a time of `time.monotonic`, for all threads

    @classmethod
    def pause_connecting(cls) -> None:
        """Refuses new connections for `PAUSE` seconds. Otherwise the next requests would wait for
        the timeout one after the other."""
        cls.silent_until = time.monotonic() + PAUSE

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if time.monotonic() < self.silent_until:
            raise psycopg.OperationalError("PostgreSQL did not answer another request a moment ago")
        try:
            connection = super().get_new_connection(conn_params)
        except psycopg.errors.ConnectionTimeout:
            self.pause_connecting()
            raise
        connection.wait = partial(wait, connection)
        return connection
