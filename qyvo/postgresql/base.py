"""Django's PostgreSQL backend for requests: limits how long a request waits for the server, and
lets the threads of a process share its connections.

Settings of PostgreSQL and of TCP do not notice that the server's machine is frozen, so the client
limits the time itself. Commands and workers use Django's own backend for the leader, and may wait;
for a replica they use this one, because the leader can answer instead.
"""

import math
import time
from functools import partial
from threading import current_thread
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base

from qyvo.adopting import begin_anew
from tenants.isolation import install_wrapper

from .pool import Idle, Pool

TIMEOUT = 7  # seconds for a statement
CANCEL_TIMEOUT = 1  # second for PostgreSQL to cancel a statement that takes longer
# How long a statement may wait for a lock. A little more than PostgreSQL's `deadlock_timeout` of
# one second: with the same value PostgreSQL would report a deadlock, which `transactional` retries,
# as a lock timeout.
LOCK_TIMEOUT = "1050ms"
pool, pool_of_replica, pool_of_checks = Pool(), Pool(), Pool(1)


def pool_of(alias: str) -> Pool:
    """The connections that this thread uses for the database with this alias: no question may go to
    another database. Health checks have a connection of their own: if they waited for one of those
    that slow requests use, load balancers would take a busy server for a broken one."""
    if alias != DEFAULT_DB_ALIAS:
        return pool_of_replica
    return pool_of_checks if getattr(current_thread(), "is_health_check", False) else pool


def wait(own: Pool, connection: psycopg.Connection[Any], gen: Any, interval: float = 0.1) -> Any:
    """Replaces the method of psycopg: waits for the result of a statement, at most `TIMEOUT`
    seconds. After that, cancels the statement, closes the connection and raises
    `OperationalError`. `own`: the pool of the connection."""
    try:
        return psycopg.Connection.wait(connection, gen, interval, timeout=TIMEOUT)
    except psycopg.errors._WaitTimeout as error:
        try:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        except psycopg.OperationalError:
            own.pause_connecting()
        connection.close()
        raise psycopg.OperationalError(f"no answer within {TIMEOUT} seconds") from error


class DatabaseWrapper(base.DatabaseWrapper):
    lock_timeout = LOCK_TIMEOUT  # sent with each transaction, see `tenants.isolation`
    is_restricted: bool  # see `tenants.isolation`, which sets it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shared = pool_of(self.alias)  # `pool` is a name of Django

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if time.monotonic() < self.shared.silent_until:
            raise psycopg.OperationalError("PostgreSQL did not answer another request a moment ago")
        try:
            connection = super().get_new_connection(conn_params)
        except psycopg.errors.ConnectionTimeout:
            self.shared.pause_connecting()
            raise
        connection.wait = partial(wait, self.shared, connection)
        return connection

    def connect(self) -> None:
        """Takes a connection of the pool, or opens one."""
        with self.wrap_database_errors:
            idle = self.shared.take()
        try:
            if not idle or not self.adopt(idle):
                super().connect()
                age = self.settings_dict["CONN_MAX_AGE"]
                self.ends = math.inf if age is None else time.monotonic() + age
        except BaseException:
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            self.shared.give_back(None)
            raise

    def adopt(self, idle: Idle) -> bool:
        """Continues with a connection that another thread has used. Returns False, and closes the
        connection, if it is broken."""
        self.connection, self.ends = idle.raw, idle.ends
        begin_anew(self)
        install_wrapper(self, is_restricted=idle.is_restricted)
        if self.shared.is_trusted(idle) or self.is_usable():
            return True
        idle.raw.close()
        self.connection, self.shared.broke_at = None, time.monotonic()
        return False

    def _close(self) -> None:
        """Gives the connection back to the pool."""
        if self.connection is not None:
            with self.wrap_database_errors:
                self.shared.keep(self.connection, self.ends, is_restricted=self.is_restricted)

    def close_if_unusable_or_obsolete(self) -> None:
        """At the end of each request: other threads need the connection."""
        if not self.in_atomic_block:
            self.close()

    def give_back(self) -> None:
        """Before this thread waits for another one, which may need the connection."""
        if not self.in_atomic_block:
            self.close()
