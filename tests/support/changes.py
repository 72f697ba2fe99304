"""The change log, as tests read it."""

from typing import Any

from django.db import connection

from contacts.models import Change
from tests.support.processes import wait_until


def logged(**filters: Any) -> list[tuple[str, dict[str, Any]]]:
    changes = Change.objects.filter(**filters).order_by("pk")
    return list(changes.values_list("kind", "fields"))


def settle() -> None:
    """Waits until readers of the log get all changes that are committed now. They do not get them
    while an earlier transaction runs, which may be of another test. Does not wait for later
    transactions: on a busy machine there is always one."""
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return
    [[next_one]] = rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::text::xid8"
    wait_until(lambda: rows(oldest, next_one) == [(True,)])


def rows(sql: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
