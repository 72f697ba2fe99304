"""PostgreSQL as requests use it: none waits long for one that says nothing any more.

Neither settings of the server nor of the network notice when its machine is frozen, so the time is
kept here. Commands and workers use Django's own, and may wait.
"""

import time
from functools import partial
from typing import Any

import psycopg
from django.db.backends.postgresql import base

PATIENCE = 7  # seconds that a statement may take
LAST_PATIENCE = 1  # second for PostgreSQL to end one that takes longer
# How long a statement may wait for a lock. A little more than PostgreSQL's `deadlock_timeout` of a
# second: at the same moment it would report a deadlock, which `transactional` tries
# again, as a lock that did not come.
LOCK_TIMEOUT = "1050ms"
PAUSE = 1  # second in which nobody else asks a server that says nothing for a connection


def wait(connection: psycopg.Connection[Any], gen: Any, interval: float = 0.1) -> Any:
    """Takes the place of the method: the answer to a statement, where it comes in time.

    Else raises `OperationalError`, the statement cancelled and the connection closed.
    """
    try:
        return psycopg.Connection.wait(connection, gen, interval, timeout=PATIENCE)
    except psycopg.errors._WaitTimeout as error:
        try:
            connection.cancel_safe(timeout=LAST_PATIENCE)
        except psycopg.OperationalError:
            DatabaseWrapper.leave_alone()
        connection.close()
        raise psycopg.OperationalError(f"no answer within {PATIENCE} seconds") from error


class DatabaseWrapper(base.DatabaseWrapper):
    lock_timeout = LOCK_TIMEOUT  # sent with each transaction, see `tenants.isolation`
    silent_until = 0.0  # of `time.monotonic`, for all threads

    @classmethod
    def leave_alone(cls) -> None:
        """Else the requests behind would wait in vain one after another."""
        cls.silent_until = time.monotonic() + PAUSE

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if time.monotonic() < self.silent_until:
            raise psycopg.OperationalError("PostgreSQL has just left others without an answer")
        try:
            connection = super().get_new_connection(conn_params)
        except psycopg.errors.ConnectionTimeout:
            self.leave_alone()
            raise
        connection.wait = partial(wait, connection)
        return connection
