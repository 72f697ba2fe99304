"""The health checks of supervisors (`/healthz`) and of load balancers (`/readyz`)."""

import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from contacts.db import replica
from qyvo import health
from tests.support.concurrency import all_at_once
from tests.support.processes import PATIENCE, free_port, redis_at, serving

READY = dict.fromkeys(["database", "migrations", "queue", "rate_limit"], "up")


@pytest.fixture(autouse=True)
def no_earlier_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And they may take long: on a busy machine, to load all migrations takes more than seconds."""
    monkeypatch.setattr(health, "latest", health.NEVER)
    monkeypatch.setattr(health, "TIMEOUT", PATIENCE)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    health.migrations_are_applied.cache_clear()
    yield
    health.migrations_are_applied.cache_clear()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """An address that accepts connections and never answers, like a host that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.mark.django_db
def test_health_checks_need_no_token(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"} | READY)
    assert client.head("/readyz").status_code == 200
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_health_checks_work_with_any_host_and_without_tls(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    for path in ["/healthz", "/readyz"]:
        assert client.get(path, headers={"Host": "10.0.0.7:8000"}).json()["status"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_the_service_is_not_ready_until_every_migration_is_applied(
    client: Client, asked_anew: None, log: io.StringIO
) -> None:
    recorder = MigrationRecorder(connection)
    [last] = MigrationLoader(None).graph.leaf_nodes("contacts")
    recorder.record_unapplied(*last)
    try:
        answer = client.get("/readyz")
    finally:
        recorder.record_applied(*last)
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable"} | READY | {"migrations": "down"}
    assert "manage.py migrate" in log.getvalue()
    assert client.get("/readyz").json() == {"status": "ok"} | READY


@pytest.mark.django_db
def test_migrations_are_checked_only_until_they_are_applied(
    asked_anew: None, django_assert_num_queries: Any
) -> None:
    health.migrations_are_applied()
    with django_assert_num_queries(0):
        health.migrations_are_applied()


@pytest.mark.django_db
def test_the_service_is_not_ready_without_the_store_of_the_rate_limit(
    client: Client, settings: Any
) -> None:
    port = free_port()
    settings.RATELIMIT_STORAGE_URL = f"redis://:hunter2@127.0.0.1:{port}/0"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["rate_limit"]) == (503, "down")
    # The limit of half a second is too short for a slow machine.
    settings.RATELIMIT_STORAGE_URL = f"redis://127.0.0.1:{port}/0?socket_timeout=30"
    with redis_at(port):
        assert client.get("/readyz").json() == {"status": "ok"} | READY


@pytest.mark.django_db
def test_nobody_waits_for_a_replica_that_hangs_once_all_other_parts_have_answered(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Event()
    monkeypatch.setattr(health, "TIMEOUT", 10 * PATIENCE)  # for the others
    monkeypatch.setattr(replica, "is_configured", lambda: True)
    monkeypatch.setattr(health, "state_of_replica", lambda: answers.wait(PATIENCE) and "up")
    try:
        answer = client.get("/readyz")
        assert health.running["replica"].is_alive()
        assert (answer.status_code, answer.json()["replica"]) == (200, "down")
    finally:
        answers.set()
    health.running["replica"].join()


def test_good_news_is_repeated_for_a_second_at_most_and_bad_news_never(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_up, asked = True, 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return is_up

    def answers(age: float) -> tuple[int, int]:
        """The status of /readyz so many seconds after the latest checks, and how often the part has
        been asked by then."""
        latest = health.latest._replace(began=time.monotonic() - age)
        monkeypatch.setattr(health, "latest", latest)
        return client.get("/readyz").status_code, asked

    monkeypatch.setattr(health, "PARTS", {"database": ask})
    monkeypatch.setattr(health, "FRESH", 1000)
    assert answers(1001) == (200, 1)
    is_up = False
    assert answers(100) == (200, 1), "what is known"
    assert answers(1001) == (503, 2)
    assert answers(100) == (503, 3)
    is_up = True
    assert answers(100) == (200, 4)
    is_up = False
    assert answers(600)[0] == 200, "others have asked"
    health.running["readiness"].join()
    assert asked == 5, "and so the next answer is known, too"
    assert answers(100) == (503, 6)


@pytest.mark.once
def test_hanging_hosts_delay_no_response_and_reveal_no_secret(
    silent_port: int, tmp_path: Path
) -> None:
    where = f"127.0.0.1:{silent_port}"
    urls = {
        "DATABASE_URL": f"postgres://u:hunter2@{where}/db",
        "RATELIMIT_STORAGE_URL": f"redis://:hunter2@{where}/0",
        "METRICS_TOKEN": "watched", "TMPDIR": str(tmp_path),
    }  # fmt: skip
    with serving(tmp_path / "log", workers=1, **urls) as url:
        answers = all_at_once(lambda _: httpx.get(f"{url}/readyz", timeout=30), 3)
        assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
        watched = {"Authorization": "Bearer watched"}
        metrics = httpx.get(f"{url}/metrics", headers=watched, timeout=30)
    assert 'qyvo_requests_total{action="me"' in metrics.text, "what the process knows itself"
    assert max(answer.elapsed.total_seconds() for answer in [*answers, metrics]) < 15
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json() == {"status": "unavailable"} | dict.fromkeys(READY, "down")
        assert "hunter2" not in answer.text
    assert "hunter2" not in (tmp_path / "log").read_text()
