"""The rate limit of several processes, and of a shared store."""

import io
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.conf import settings

from tenants.throttling import SharedCounter, counter
from tests.support.api import ME, remaining
from tests.support.concurrency import all_at_once
from tests.support.processes import free_port, redis_at, serving


@pytest.fixture(autouse=True)
def three_an_hour(settings: Any) -> None:
    settings.RATELIMIT_DEFAULT = "3/hour"


def test_a_server_that_has_just_started_keeps_to_the_limit(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {acme.plaintext}"}
    with serving(tmp_path / "log", workers=1, RATELIMIT_DEFAULT="3/hour") as url:
        answers = all_at_once(lambda _: httpx.get(url + ME, headers=headers, timeout=30), 12)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 9


# A shared store


def shared_counter() -> SharedCounter:
    made = counter(settings.RATELIMIT_STORAGE_URL)
    assert isinstance(made, SharedCounter)
    return made


@pytest.fixture
def store(settings: Any) -> Iterator[int]:
    """The port on which the rate limit expects Redis. Nothing listens on this port yet."""
    port = free_port()
    settings.RATELIMIT_STORAGE_URL = f"redis://127.0.0.1:{port}/0"
    yield port
    shared_counter().limiter.storage.storage.close()  # type: ignore[attr-defined]


def test_two_servers_with_one_store_share_the_counter(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    port = free_port()
    shared = {
        "RATELIMIT_DEFAULT": "20/hour",
        # The server's limit of half a second is too short for a slow machine.
        "RATELIMIT_STORAGE_URL": f"redis://127.0.0.1:{port}/0?socket_timeout=30",
    }
    headers = {"Authorization": f"Bearer {acme.plaintext}"}
    with (
        redis_at(port),
        serving(tmp_path / "a", workers=1, **shared) as a,
        serving(tmp_path / "b", workers=1, **shared) as b,
    ):
        answers = [httpx.get(url + ME, headers=headers, timeout=30) for url in [a, b] * 12]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 4
    assert [remaining(answer) for answer in answers[:20]] == list(range(19, -1, -1))


def test_without_redis_requests_are_allowed_and_the_log_has_an_error(
    acme: SimpleNamespace, store: int, log: io.StringIO
) -> None:
    answers = [acme.api.create() for _ in range(5)]
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    assert "ERROR" in log.getvalue()
    assert "The rate limit is off because its store failed" in log.getvalue()


def test_a_hanging_redis_delays_one_request_and_not_all(
    acme: SimpleNamespace, store: int, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.throttling.PAUSE", 60)
    with socket.create_server(("127.0.0.1", store)):  # accepts connections and never answers
        assert {acme.api.get(ME).status_code for _ in range(5)} == {200}
    assert log.getvalue().count("The rate limit is off") < 5


def test_redis_is_used_again_after_an_outage(
    acme: SimpleNamespace, store: int, settings: Any
) -> None:
    # The limit of half a second is too short for a slow machine.
    settings.RATELIMIT_STORAGE_URL += "?socket_timeout=30"
    with redis_at(store):
        assert [acme.api.get(ME).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert acme.api.get(ME).status_code == 200
    with redis_at(store):
        shared_counter().down_until = 0
        assert [acme.api.get(ME).status_code for _ in range(4)] == [200, 200, 200, 429]
