"""Bulk work on SQLite leaves room for other writers: short transactions, pauses between them."""

import sqlite3
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction

from contacts.db import pacing
from contacts.db.pacing import FEWEST, FIRST, GROWTH, HELD, PAUSE, Pace
from contacts.importing.engine import Importer
from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Import
from tests.support.crowd import fill

pytestmark = pytest.mark.both

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")


class Time:
    """Passes while something sleeps, and `seconds_each` for each item of a transaction."""

    def __init__(self, seconds_each: float) -> None:
        self.seconds_each = seconds_each
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def do(self, pace: Pace) -> int:
        """One transaction; returns its size."""
        size = pace.size
        with pace.turn(size):
            self.now += size * self.seconds_each
        return size


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch, request: Any) -> Time:
    clock = Time(request.param)
    monkeypatch.setattr(pacing, "time", clock)
    return clock


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("passing", [0.0001, 0.001, 0.002], indirect=True)
def test_transactions_become_as_long_as_they_may_be(passing: Time) -> None:
    pace = Pace(5000)
    sizes = [passing.do(pace) for _ in range(25)]
    assert sizes[0] == FIRST
    assert all(later <= GROWTH * size for size, later in pairwise(sizes))
    assert sizes[-1] * passing.seconds_each == pytest.approx(HELD, rel=0.05)
    assert len(passing.slept) == 24, "before each but the first"
    assert {*passing.slept} == {PAUSE}


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("passing", [1.0], indirect=True)
def test_items_that_take_long_still_come_several_at_a_time(passing: Time) -> None:
    pace = Pace(5000)
    assert [passing.do(pace) for _ in range(3)] == [FIRST, FEWEST, FEWEST]


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("passing", [0.0001], indirect=True)
def test_there_are_never_more_than_was_asked(passing: Time) -> None:
    assert [passing.do(pace) for pace in [Pace(7)] * 3] == [7, 7, 7]


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("passing", [0.0], indirect=True)
def test_the_time_that_a_transaction_waits_for_others_does_not_count(passing: Time) -> None:
    other = sqlite3.connect(
        connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    pace, begun = Pace(5000), Event()

    def end_late() -> None:
        begun.wait()
        passing.now += 100
        other.execute("ROLLBACK")

    thread = Thread(target=end_late)
    thread.start()
    with pace.turn(1):
        begun.set()
        with transaction.atomic():
            pass
    thread.join()
    other.close()
    assert pace.held == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one writer at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("passing", [1.0], indirect=True)
def test_postgresql_is_not_kept_waiting(passing: Time) -> None:
    pace = Pace(5000)
    assert [passing.do(pace) for _ in range(3)] == [5000] * 3
    assert not passing.slept


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_others_write_in_the_middle_of_a_bulk_action(acme: SimpleNamespace) -> None:
    fill(connection, acme.tenant, 2000)
    pks = [*acme.tenant.contacts.values_list("pk", flat=True)]
    action = bulk_actions.plan(acme.tenant, "user:1", BulkAction.Kind.SET_LOCALE, "fr", pks)
    seen, is_over = set[int](), Event()

    def write() -> None:
        database = sqlite3.connect(
            connection.settings_dict["NAME"], timeout=60, isolation_level=None
        )
        while not is_over.wait(0.01):
            database.execute("BEGIN IMMEDIATE")
            seen.update(*database.execute("SELECT done FROM contacts_bulkaction"))
            database.execute("UPDATE tenants_tenant SET name = name")
            database.execute("COMMIT")
        database.close()

    thread = Thread(target=write)
    thread.start()
    bulk_actions.run(action)
    is_over.set()
    thread.join()
    action.refresh_from_db()
    assert action.changed == 2000
    assert len(seen - {0, 2000}) >= 2


# Batches of an import, whose sizes change


def unwritten(done: dict[int, int], sizes: list[int]) -> dict[int, list[str]]:
    """The batches of a hundred rows, by the number of their first row."""
    importer = Importer(Import(), None, None)  # type: ignore[arg-type]
    importer.writer.pace.size = sizes[0]
    found = {}
    turns = deque(sizes[1:])
    rows: Iterator[str] = map(str, range(100))
    for first, batch in importer.unwritten(rows, done):
        found[first] = batch
        importer.writer.pace.size = turns.popleft() if turns else importer.writer.pace.size
    return found


@pytest.mark.parametrize("sizes", [[100], [1], [30, 7, 1, 50]])
@pytest.mark.parametrize(
    "done", [{}, {0: 100}, {0: 10}, {0: 10, 10: 20}, {90: 10}, {0: 10, 25: 5, 30: 20, 99: 1}]
)
def test_an_import_goes_on_with_the_rows_that_no_batch_has(
    done: dict[int, int], sizes: list[int]
) -> None:
    written = {row for first, number in done.items() for row in range(first, first + number)}
    found = unwritten(done, sizes)
    rows = [row for first, batch in found.items() for row in range(first, first + len(batch))]
    assert rows == [row for row in range(100) if row not in written]
    assert [row for batch in found.values() for row in batch] == [*map(str, rows)]


def test_an_import_that_an_earlier_version_began_loses_no_row() -> None:
    """It numbered batches by one; here the fourth of ten rows each is missing."""
    found = unwritten({0: 10, 1: 10, 2: 10, 4: 10}, [50])
    assert [row for batch in found.values() for row in batch] == [*map(str, range(10, 100))]
