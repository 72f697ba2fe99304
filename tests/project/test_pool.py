"""Threads of a server process share connections to PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
from django.db import OperationalError, connection

from contacts.db.outages import is_unavailable
from qyvo.postgresql import base, pool
from qyvo.postgresql.base import DatabaseWrapper
from qyvo.postgresql.pool import Pool
from tests.support import tenant_guard

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL"),
]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool of two connections."""
    two = Pool(2)
    monkeypatch.setattr(base, "pool", two)
    yield two
    for idle in two.idle:
        idle.raw.close()


def wrapper() -> DatabaseWrapper:
    return DatabaseWrapper(deepcopy(connection.settings_dict), "default")


def ask(database: Any, sql: str = "SELECT pg_backend_pid()") -> Any:
    with database.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_many_threads_need_no_more_connections_than_the_pool_has(two: Pool) -> None:
    def request(number: int) -> Any:
        database = wrapper()
        pid = ask(database, "SELECT pg_backend_pid() FROM pg_sleep(0.01)")
        database.close_if_unusable_or_obsolete()
        return pid

    with ThreadPoolExecutor(10) as threads:
        assert len({*threads.map(request, range(30))}) <= 2
    assert len(two.idle) <= 2


def test_who_waits_in_vain_for_a_connection_meets_an_outage(
    two: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.01)
    first, second, third = wrapper(), wrapper(), wrapper()
    for database in (first, second):
        ask(database)
    with pytest.raises(OperationalError) as outage:
        ask(third)
    assert is_unavailable(outage.value)
    first.give_back()
    assert ask(third)
    second.close()
    third.close()


def test_a_broken_connection_is_not_handed_on(two: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TRUSTED", 60)
    first, second = wrapper(), wrapper()
    pids = {ask(first), ask(second)}
    first.close()
    second.close()
    for pid in pids:
        ask(connection, f"SELECT pg_terminate_backend({pid}, 60000)")
    with pytest.raises(OperationalError):
        ask(first)  # it was used a moment ago, and was not checked
    first.close()
    assert ask(second) not in pids, "after one has broken, the others are checked"
    second.close()
    assert len(two.idle) == 1


def test_a_transaction_is_not_handed_on(two: Pool) -> None:
    first, second = wrapper(), wrapper()
    first.set_autocommit(False)
    ask(first)
    first.close()
    assert not two.idle
    assert ask(second)
    assert second.get_autocommit()
    second.close()


def test_row_level_security_holds_for_who_gets_a_connection(two: Pool) -> None:
    first, second = wrapper(), wrapper()
    ask(first)
    is_restricted = first.is_restricted
    first.close()
    ask(second)
    assert second.is_restricted is is_restricted
    of_product = [one for one in first.execute_wrappers if one is not tenant_guard.guard]
    assert second.execute_wrappers == of_product
    second.close()
