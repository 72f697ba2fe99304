"""Transactions, and when a transaction that failed is run again."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from tenants.fields import hex_id

ATTEMPTS = 3
RACES = 10
# SQLSTATEs of PostgreSQL
DEADLOCK = "40P01"
LOCK_TIMEOUT = "55P03"
STATEMENT_TIMEOUT = "57014"

MAKE_LOCK = "INSERT INTO contacts_tenantlock (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING"

Verb = TypeVar("Verb", bound=Callable[..., Any])
Result = TypeVar("Result")


def transactional(verb: Verb) -> Verb:
    """Runs `verb` in a transaction, and runs it again if PostgreSQL aborts it to end a deadlock.

    Every writer locks contacts first and tags second, and sorts both before it locks them.
    Nevertheless three transactions can wait for each other in a circle if one of them deletes tags
    that the others are creating again. Inside an outer transaction there is no second attempt:
    PostgreSQL has aborted the outer transaction, too.
    """

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with transaction.atomic():
                    return verb(*args, **kwargs)
            except OperationalError as error:
                is_deadlock = sqlstate(error) == DEADLOCK
                if not is_deadlock or attempt == ATTEMPTS or connection.in_atomic_block:
                    raise
        raise AssertionError  # unreachable: the last attempt returns or raises

    return cast("Verb", run)


def transactional_unless_alone(verb: Verb) -> Verb:
    """`transactional` on PostgreSQL, where other writers go on while `verb` reads for a long time.

    On SQLite a transaction would hold the only lock for writing all the time. There, `verb` makes
    short transactions of its own, and what it has read may change before they begin.
    """
    in_transaction = transactional(verb)

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        is_alone = connection.vendor == "sqlite"
        return verb(*args, **kwargs) if is_alone else in_transaction(*args, **kwargs)

    return cast("Verb", run)


def sqlstate(error: DatabaseError) -> str:
    """The SQLSTATE of an error from PostgreSQL; empty for other errors."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def retry_after_race(transact: Callable[[], Result]) -> Result:
    """The result of `transact`, which is called again after an `IntegrityError`.

    Another writer may store the same phone or tag between the check and the write. The next call
    finds the other writer's row. A batch can lose one such race for each of its phones, so a second
    call is not always enough. Raises the `IntegrityError` of the last of `RACES` calls.
    """
    for _ in range(RACES - 1):
        with suppress(IntegrityError):
            return transact()
    return transact()


def hold_tenant(tenant_id: str, *, alone: bool = False) -> None:
    """Keeps persons of the tenant from being erased until the current transaction ends.

    Several transactions can hold a tenant. With `alone`, this one waits until it is the only
    holder, and later ones wait for its end. Other writers do not wait. SQLite needs no lock,
    because it has one writer at a time.
    """
    if connection.vendor == "postgresql":
        mode = "NO KEY UPDATE" if alone else "SHARE"
        sql = f"SELECT 1 FROM contacts_tenantlock WHERE tenant_id = %s FOR {mode}"  # noqa: S608
        with connection.cursor() as cursor:
            while not cursor.execute(sql, [hex_id(tenant_id)]).fetchone():
                make_lock(tenant_id)


def make_lock(tenant_id: str) -> None:
    """Creates the row that `hold_tenant` locks, if the tenant has none yet. Whoever creates the
    same row at the same moment waits until this transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(MAKE_LOCK, [hex_id(tenant_id)])
