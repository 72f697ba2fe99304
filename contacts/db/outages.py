"""Which database errors mean that the database cannot serve at the moment.

The API answers such an error with 503 and Retry-After. Other database errors are mistakes in the
code and give 500.
"""

import sqlite3

import psycopg

# The beginnings of PostgreSQL's SQLSTATEs (PostgreSQL manual, appendix A).
UNAVAILABLE = (
    "08",  # the connection is lost
    "53",  # no disk space, memory or connections left
    "57P0",  # the server is stopping or starting
    "58030",  # input/output error of the disk
    "25006",  # the server accepts no writes
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock timeout
    "57014",  # statement timeout
)
SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip


def is_unavailable(error: BaseException) -> bool:
    """Whether `error`, of Django, means that the same request may succeed later.

    False for mistakes in the code: the same request would fail again.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        # Errors of the sqlite3 module itself, such as a misuse, have no code.
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_UNAVAILABLE
    if isinstance(cause, psycopg.Error) and cause.sqlstate:
        return cause.sqlstate.startswith(UNAVAILABLE)
    # Without a SQLSTATE the error does not come from the server: the server could not be reached,
    # the connection was lost, or no answer came.
    return isinstance(cause, psycopg.OperationalError)
