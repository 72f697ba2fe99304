"""Threads of a server process share connections to SQLite."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import ConnectionHandler

from qyvo.settings import completed
from qyvo.sqlite.shared import base
from qyvo.sqlite.shared.base import MOST_IDLE, DatabaseWrapper, Idle

pytestmark = pytest.mark.django_db

Opened = Callable[[], DatabaseWrapper]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Idle]]:
    """The connections that nobody uses; none at the beginning."""
    idle: list[Idle] = []
    monkeypatch.setattr(base, "idle", idle)
    yield idle
    for one in idle:
        one.raw.close()


@pytest.fixture
def opened(tmp_path: Path, idle: list[Idle]) -> Opened:
    """Makes what a thread of the server has: a wrapper with a connection."""
    entry = completed({"NAME": str(tmp_path / "shared.sqlite3")})
    settings = ConnectionHandler({"default": entry}).settings["default"]

    def opened() -> DatabaseWrapper:
        wrapper = DatabaseWrapper(settings, "default")
        wrapper.ensure_connection()
        return wrapper

    return opened


def test_the_next_request_uses_the_same_connection(opened: Opened) -> None:
    first = opened()
    raw: Any = first.connection
    with first.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (number integer)")
    first.close_if_unusable_or_obsolete()
    second = opened()
    assert second.connection is raw
    with second.cursor() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")


def test_a_connection_in_a_transaction_or_after_its_time_is_closed(
    opened: Opened, idle: list[Idle]
) -> None:
    unfinished, old = opened(), opened()
    unfinished.cursor().execute("BEGIN")
    old.ends = 0
    unfinished.close()
    old.close()
    assert idle == []


def test_few_connections_are_kept_open(opened: Opened, idle: list[Idle]) -> None:
    for wrapper in [opened() for _ in range(MOST_IDLE + 1)]:
        wrapper.close()
    assert len(idle) == MOST_IDLE
