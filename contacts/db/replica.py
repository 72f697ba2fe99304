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
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, DatabaseError, DataError, OperationalError, connections

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

# A position in the log of PostgreSQL: the timeline, which grows when a standby is promoted, and the
# place in its log. For callers, a text that they send back. Positions of former versions have no
# timeline.
POSITION = re.compile("(?:[0-9A-F]{1,8}:)?[0-9A-F]{1,8}/[0-9A-F]{1,8}")
BEGINNING = "0/0"  # a position that every replica has reached
# Where the next record will be written, so after the commit of whoever asks. What has been written
# to the disk (`pg_current_wal_lsn`) may end before this commit if `synchronous_commit` is off.
NOW = """
SELECT ltrim(left(pg_walfile_name(place), 8), '0') || ':' || place
FROM pg_current_wal_insert_lsn() AS place
"""
# What a role without further rights may know about a server. A standby writes down its timeline
# with its next restartpoint, which may be minutes after its leader was replaced. A role with
# `pg_read_all_stats` sees it at once. Other roles see NULL, which `greatest` leaves out.
ABOUT = """
SELECT (pg_control_system()).system_identifier,
    CASE WHEN pg_is_in_recovery() THEN greatest(
        (pg_control_recovery()).min_recovery_end_timeline,
        (SELECT received_tli FROM pg_stat_wal_receiver)
    ) ELSE CAST(CAST(
        'x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS bit(32)) AS integer
    ) END,
    pg_postmaster_start_time(),
    pg_is_in_recovery(),
    CAST(%s AS pg_lsn) <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
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


class Server(NamedTuple):
    """A server of PostgreSQL. `system`: a number that a leader and its standbys have in common.
    `timeline`: of the log that it writes or replays. `is_as_far`: whether it has reached the place
    that was asked for."""

    system: int
    timeline: int
    started: datetime
    is_standby: bool
    is_as_far: bool

    def objection(self, leader: "Server") -> str:
        """Why the server may have other contacts than `leader`; empty if it is a standby of
        `leader`, or `leader` itself behind a balancer.

        A standby that was promoted while the leader goes on, and a former leader that comes back,
        have a log of their own, which may be longer than the one of the leader.
        """
        if self.system != leader.system:
            return "it is of another cluster than the leader"
        if not self.is_standby and self[:3] != leader[:3]:
            return "it is no standby: it was promoted, or it is a former leader"
        if self.timeline > leader.timeline:
            return "it follows another leader"
        return ""


class Stranger(OperationalError):
    """The replica is none of this leader."""

    def __init__(self, server: Server, reason: str) -> None:
        super().__init__(reason)
        self.server = server


class Leader:
    """Which server is the leader. Asked again after `PAUSE` seconds, and before a replica is
    refused: the leader may have been replaced a moment ago."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.asked_at = -math.inf

    def known(self, max_age: float = PAUSE) -> Server | None:
        """None before the leader has answered for the first time."""
        if time.monotonic() - self.asked_at >= max_age:
            self.asked_at = time.monotonic()
            with suppress(DatabaseError):
                self.server = about(DEFAULT_DB_ALIAS)
        return self.server


leader = Leader()


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
    replica is not as far, is down, refuses the question or is none of this leader, the leader is
    asked: so `question` must write nothing, and may be called twice.
    """
    if is_configured() and availability.may_ask() and (known := leader.known()):
        try:
            with on_replica():
                answer = [question()] if may_answer(after, known) else []
        except Stranger as error:
            now = leader.known(max_age=0)
            if now and error.server.objection(now):
                give_up(error)
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


def may_answer(after: str, leader: Server) -> bool:
    """`has_reached`, which is asked where `after` is empty only if the connection was not checked
    for a while: its server may have been promoted since."""
    if not after and not is_unchecked():
        return True
    try:
        return has_reached(after, leader)
    except Stranger:
        connections[ALIAS].connection.close()  # a balancer may lead the next one to another server
        raise


def has_reached(after: str, leader: Server) -> bool:
    """Whether the replica has what was committed before the position `after`, or gets it within
    `WAIT` seconds. Raises `Stranger` if it is none of `leader`.

    A replica of an older timeline than the position is not waited for: it may have another end of
    this timeline, as a former leader has, and may be as far in its own log.
    """
    timeline, place = parsed(after or BEGINNING)
    end = time.monotonic() + WAIT
    while True:
        server = about(ALIAS, place)
        if reason := server.objection(leader):
            raise Stranger(server, reason)
        is_follower = timeline <= server.timeline
        if server.is_as_far or not is_follower or time.monotonic() > end:
            return server.is_as_far and is_follower
        time.sleep(POLL)


def parsed(position: str) -> tuple[int, str]:
    """Timeline and place; 0 as the timeline where the position has none."""
    timeline, _, place = position.rpartition(":")
    return int(timeline or "0", 16), place


def is_unchecked() -> bool:
    """Whether nobody has asked for `PAUSE` seconds where the connection leads to."""
    connection = connections[ALIAS]
    connection.ensure_connection()
    checked_at = getattr(connection.connection, "checked_at", -math.inf)
    return time.monotonic() - checked_at > PAUSE


def about(alias: str, place: str = BEGINNING) -> Server:
    with connections[alias].cursor() as cursor:
        cursor.execute(ABOUT, [place])
        connections[alias].connection.checked_at = time.monotonic()
        return Server(*cursor.fetchone())


def objection() -> str:
    """Why the replica is not read now; empty if it may be. Raises errors of the leader."""
    now = about(DEFAULT_DB_ALIAS)
    try:
        with on_replica():
            return about(ALIAS).objection(now)
    except DatabaseError as error:
        return " ".join(str(error).split())


def keeps_up() -> bool:
    """Whether the replica has what is committed now, within `WAIT` seconds. Raises `DatabaseError`
    if it does not answer, and `Stranger`."""
    now, server = position(), about(DEFAULT_DB_ALIAS)
    with on_replica():
        return may_answer(now, server)


def give_up(error: DatabaseError) -> None:
    """Closes the connection, which may be broken. The replica is not asked for a while, for example
    if it lacks a table because a migration has not reached it yet. It is asked again at once if
    only this statement failed, or if the caller has sent a wrong value."""
    with suppress(DatabaseError):
        connections[ALIAS].close()
    if not isinstance(error, DataError) and sqlstate(error) not in PASSING:
        availability.failed(error)
