"""Transactions, and what is tried again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from tenants.fields import hex_id

ATTEMPTS = 3
# PostgreSQL's SQLSTATEs
DEADLOCK = "40P01"

Verb = TypeVar("Verb", bound=Callable[..., Any])
Result = TypeVar("Result")


def transactional(verb: Verb) -> Verb:
    """Runs `verb` in a transaction; tried again where PostgreSQL ends it to resolve a deadlock.

    Every writer locks contacts, then tags, each in one order. Somebody who deletes tags that
    others are just creating anew can still close a circle of three. Inside another transaction
    a deadlock has no second try: that one is lost as a whole.
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
        raise AssertionError  # the last attempt returns or raises

    return cast("Verb", run)


def sqlstate(error: DatabaseError) -> str:
    """What kind of an error PostgreSQL tells."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def tried_twice(transact: Callable[[], Result]) -> Result:
    """What `transact` returns; tried once more where another writer has just taken a phone or a
    tag."""
    try:
        return transact()
    except IntegrityError:
        return transact()


def hold_tenant(tenant_id: str) -> None:
    """Lets nobody erase a person of the tenant until the transaction ends; others pass.

    SQLite has one writer at a time anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM tenants_tenant WHERE id = %s FOR SHARE", [hex_id(tenant_id)]
            )
