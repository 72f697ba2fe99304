"""Reading from a replica: a standby of PostgreSQL, which is a little behind the leader.

`read` asks a question there. While it does, a context variable names the database, and the router
sends the queries of this app to it: no query has to name it. Everything else goes to the leader:
all writes, and the checks of who may do what.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, DatabaseError, DataError, connections

from .connections import release
from .transactions import DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT, sqlstate

logger = logging.getLogger(__name__)

ALIAS = "replica"  # in DATABASES
REPLICA, LEADER = "replica", "leader"
WAIT = 0.1  # seconds that a read waits for the replica to have what its caller has written
POLL = 0.005  # seconds
PAUSE = 5  # seconds in which a replica that has failed is not asked
CONFLICT = "40001"  # the replica had to remove rows that the statement was reading
# Only this statement fails: the next one may succeed.
PASSING = (CONFLICT, DEADLOCK, LOCK_TIMEOUT, STATEMENT_TIMEOUT)

# A position in the log of PostgreSQL. For callers, a text that they send back.
POSITION = re.compile("[0-9A-F]{1,8}/[0-9A-F]{1,8}")
BEGINNING = "0/0"  # a position that every replica has reached
# Where the next record will be written, so after the commit of whoever asks. What has been written
# to the disk (`pg_current_wal_lsn`) may end before this commit if `synchronous_commit` is off.
NOW = "SELECT CAST(pg_current_wal_insert_lsn() AS text)"
# A server that is no standby is the leader behind a balancer, or a standby that was promoted while
# the leader goes on: its log is its own, and the leader's is soon longer.
IS_AS_FAR = """
SELECT CAST(%s AS pg_lsn) <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_insert_lsn() END
"""

Result = TypeVar("Result")
_alias: ContextVar[str] = ContextVar("the database to read from", default=DEFAULT_DB_ALIAS)


class Router:
    """Django's database router: reads of contacts go where `read` says, all else to the leader.
    Sessions, users and tokens are always read from the leader: a person who has just logged in
    would be a stranger to the replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias.get() if model._meta.app_label == "contacts" else DEFAULT_DB_ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True  # both databases have the same rows

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


class Availability:
    """Whether the replica is asked. After a failure nobody asks it for `PAUSE` seconds. Then one
    request tries: otherwise all would wait for a server that is frozen."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.tried_at: float | None = None  # None: it answers
        self.logged_at = -math.inf

    def may_ask(self) -> bool:
        with self.lock:
            if self.tried_at is None:
                return True
            if time.monotonic() - self.tried_at < PAUSE:
                return False
            self.tried_at = time.monotonic()
            return True

    def answered(self) -> None:
        self.tried_at = None

    def failed(self, error: DatabaseError) -> None:
        with self.lock:
            now = self.tried_at = time.monotonic()
            is_news = now - self.logged_at >= PAUSE
            self.logged_at = now if is_news else self.logged_at
        if is_news:
            reason = " ".join(str(error).split())
            logger.warning("The replica is not asked for %s seconds: %s", PAUSE, reason)


availability = Availability()


def is_configured() -> bool:
    return ALIAS in connections.settings


def reading_alias() -> str:
    """The alias of the database that the current question goes to, for statements without a model.
    Only for statements that read."""
    return _alias.get()


def is_less_restricted() -> bool:
    """Whether row-level security holds for the role at the leader, and not for the one at the
    replica. False while the replica does not answer."""
    with suppress(DatabaseError):
        for alias in (DEFAULT_DB_ALIAS, ALIAS):
            connections[alias].ensure_connection()
        leader, other = (cast("Any", connections[alias]) for alias in (DEFAULT_DB_ALIAS, ALIAS))
        return leader.is_restricted and not other.is_restricted
    return False


def position() -> str:
    """The position of the leader: all that is committed is before it. Empty without a replica, and
    after an error: the caller has written already, and that must not fail for want of a position.
    """
    if is_configured():
        with suppress(DatabaseError), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(NOW)
            return cursor.fetchone()[0]
    return ""


def read(question: Callable[[], Result], after: str = "") -> tuple[Result, str]:
    """What `question` returns, and who was asked, `REPLICA` or `LEADER`.

    `after`: a position that the replica must have reached; it gets `WAIT` seconds for it. If the
    replica is not as far, is down or refuses the question, the leader is asked: so `question` must
    write nothing, and may be called twice.
    """
    if is_configured() and availability.may_ask():
        try:
            with on_replica():
                is_as_new = not after or has_reached(after)
                answer = [question()] if is_as_new else []
        except DatabaseError as error:
            give_up(error)
        except Exception:
            availability.answered()
            raise
        else:
            availability.answered()
            if answer:
                return answer[0], REPLICA
    return question(), LEADER


def read_all(question: Callable[[], Result]) -> Result:
    """What `question` returns, from a replica that has all that is committed now, or from the
    leader."""
    now = position()
    return read(question, now)[0] if now else question()


@contextmanager
def on_replica() -> Iterator[None]:
    """A thread holds one connection at a time: the others of its process need them."""
    release(DEFAULT_DB_ALIAS)
    before = _alias.set(ALIAS)
    try:
        yield
    finally:
        _alias.reset(before)
        release(ALIAS)


def has_reached(after: str) -> bool:
    end = time.monotonic() + WAIT
    while not is_as_far(after):
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def is_as_far(after: str) -> bool:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(IS_AS_FAR, [after])
        return cursor.fetchone()[0]


def give_up(error: DatabaseError) -> None:
    """Closes the connection, which may be broken. The replica is not asked for a while, for example
    if it lacks a table because a migration has not reached it yet. It is asked again at once if
    only this statement failed, or if the caller has sent a wrong value."""
    with suppress(DatabaseError):
        connections[ALIAS].close()
    if not isinstance(error, DataError) and sqlstate(error) not in PASSING:
        availability.failed(error)
