"""Health checks: whether the process runs (`/healthz`) and whether it can serve (`/readyz`)."""

import logging
import math
import time
from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from django_tasks_db.models import DBTaskResult

from contacts.db import replica
from tenants.throttling import counter

logger = logging.getLogger(__name__)

TIMEOUT = 2  # seconds for all checks of a request together
FRESH = 1  # second for which /readyz may say again that all is well
# Seconds that a replica gets after all other parts have answered. Load balancers wait for about a
# second: a replica that is frozen would take all servers out of service, which work without it.
TIMEOUT_OF_REPLICA = 0.5


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


class MigrationsMissing(Exception):
    """The database lacks migrations of this version."""


@cache
def migrations_are_applied() -> bool:
    """Whether the database has all migrations of this version. Raises `MigrationsMissing` if not.

    The answer yes is cached: applied migrations stay applied while this process runs.
    """
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing(f"{len(missing)} migrations are not applied; run manage.py migrate")
    return True


def queued_tasks() -> int:
    """How many tasks wait for a worker."""
    return DBTaskResult.objects.ready().count()


def queue_answers() -> bool:
    queued_tasks()
    return True


def rate_limit_counts() -> bool:
    counter(settings.RATELIMIT_STORAGE_URL).check_store()
    return True


def state_of_replica() -> str:
    return "up" if replica.keeps_up() else "behind"


PARTS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "migrations": migrations_are_applied,
    "queue": queue_answers,
    "rate_limit": rate_limit_counts,
}


class Probe(Thread):
    """A thread that runs one check, with database connections of its own, however long it takes.

    `answer` is what the check returns; None until then, and if the check fails. A daemon thread, so
    that the process can end while a check waits for a host that does not answer.
    `is_health_check`: see `qyvo.postgresql.base.pool_of`; the numbers of /metrics may take long.
    """

    def __init__(self, name: str, ask: Callable[[], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self.ask = ask
        self.answer: Any = None
        self.is_health_check = name in PARTS or ask is state_of_replica

    def run(self) -> None:
        try:
            self.answer = self.ask()
        except Exception as error:  # noqa: BLE001 - any error means that the part is down
            logger.warning("Health check %s failed: %s", self.name, error)
        finally:
            connections.close_all()


running: dict[str, Probe] = {}
one_at_a_time = Lock()


def run_checks(**asked: Callable[[], Any]) -> dict[str, Any]:
    """Runs the checks `asked` at the same time. Maps each name to what its check returns, or to
    None if the check fails or takes longer than `TIMEOUT`."""
    end = time.monotonic() + TIMEOUT
    probes = [running_probe(name, ask) for name, ask in asked.items()]
    for probe in probes:
        probe.join(max(0, end - time.monotonic()))
    return {probe.name: probe.answer for probe in probes}


def running_probe(name: str, ask: Callable[[], Any]) -> Probe:
    """The running thread of this check, or a new thread if none is running.

    So only one thread waits for a part that hangs, however many health checks arrive meanwhile.
    """
    with one_at_a_time:
        probe = running.get(name)
        if probe is None or not probe.is_alive():
            probe = running[name] = Probe(name, ask)
            probe.start()
        return probe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Liveness: 200 while the process runs. For supervisors that restart dead processes."""
    return JsonResponse({"status": "ok"})


class Checked(NamedTuple):
    """What the checks of all parts have said. `began`: when they began, by `time.monotonic`."""

    parts: dict[str, str]
    began: float

    @property
    def is_ready(self) -> bool:
        return all(self.parts.get(part) == "up" for part in PARTS)


NEVER = Checked({}, -math.inf)
latest = NEVER


def check_parts() -> Checked:
    global latest
    began = time.monotonic()
    probe = running_probe("replica", state_of_replica) if replica.is_configured() else None
    parts = {part: "up" if answer else "down" for part, answer in run_checks(**PARTS).items()}
    if probe:
        probe.join(TIMEOUT_OF_REPLICA)
        parts[probe.name] = probe.answer or "down"
    latest = Checked(parts, began)
    return latest


def checked() -> Checked:
    """The latest checks if all was well less than `FRESH` seconds ago; otherwise new ones.

    Where many ask, a thread begins new checks before the latest ones are too old, so nobody waits
    for the database: with 4,096 connections that took three times as long as `/healthz`.
    """
    known, age = latest, time.monotonic() - latest.began
    if age > FRESH or not known.is_ready:
        return check_parts()
    if age > FRESH / 2:
        running_probe("readiness", check_parts)
    return known


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Readiness: 200 if all parts work, 503 if a part is down. For load balancers. The log has the
    reason. The service is ready without its replica: it reads from the leader. `behind`: so do the
    reads of whoever has just written."""
    found = checked()
    status = "ok" if found.is_ready else "unavailable"
    return JsonResponse({"status": status} | found.parts, status=200 if found.is_ready else 503)
