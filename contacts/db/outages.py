"""How the databases say that they cannot serve for now."""

import sqlite3

import psycopg

# How the databases say that they cannot serve for now. PostgreSQL's SQLSTATEs begin with: gone; out
# of disk, memory or connections; stopping or starting; its disk fails; takes no writes; in each
# other's way for too long: serialization, deadlock, lock and statement timeouts.
UNAVAILABLE = ("08", "53", "57P0", "58030", "25006", "40001", "40P01", "55P03", "57014")
SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database cannot serve for now: what has failed may well succeed
    later. A mistake of ours, which would fail again, is none of these.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return (
            getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_UNAVAILABLE
        )  # none of a misuse
    if isinstance(cause, psycopg.Error) and cause.sqlstate:
        return cause.sqlstate.startswith(UNAVAILABLE)
    # Not from the server: it could not be reached, was lost, or has not answered.
    return isinstance(cause, psycopg.OperationalError)
