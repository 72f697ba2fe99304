"""Whether the process lives, and whether it can serve: for those who watch it."""

import logging
import time
from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from django_tasks_db.models import DBTaskResult

from tenants.throttling import counter

logger = logging.getLogger(__name__)

PATIENCE = 2  # seconds that all who are asked together have to answer


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


class MigrationsMissing(Exception):
    pass


@cache
def migrations_are_applied() -> bool:
    """Asked until it is so: what is applied stays so, while this code runs."""
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing(f"{len(missing)} to apply; run manage.py migrate")
    return True


def queued_tasks() -> int:
    """How many tasks wait for a worker."""
    return DBTaskResult.objects.ready().count()


def queue_answers() -> bool:
    queued_tasks()
    return True


def rate_limit_counts() -> bool:
    counter(settings.RATELIMIT_STORAGE_URL).reach()
    return True


PARTS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "migrations": migrations_are_applied,
    "queue": queue_answers,
    "rate_limit": rate_limit_counts,
}


class Probe(Thread):
    """Asks for something, on connections of its own, for as long as that takes. `answer` stays
    None where that fails.

    A daemon: the process may end while a dead host keeps it waiting.
    """

    def __init__(self, name: str, ask: Callable[[], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self.ask = ask
        self.answer: Any = None

    def run(self) -> None:
        try:
            self.answer = self.ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
            logger.warning("No answer, %s: %s", self.name, error)
        finally:
            connection.close()


running: dict[str, Probe] = {}
one_at_a_time = Lock()


def answers(**asked: Callable[[], Any]) -> dict[str, Any]:
    """What each of them returns; None where it fails, or takes longer than `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    probes = [probe_of(name, ask) for name, ask in asked.items()]
    for probe in probes:
        probe.join(max(0, end - time.monotonic()))
    return {probe.name: probe.answer for probe in probes}


def probe_of(name: str, ask: Callable[[], Any]) -> Probe:
    """The one that is asking, or else a new one: however often the service is asked while a part
    hangs, one thread waits for it."""
    with one_at_a_time:
        probe = running.get(name)
        if probe is None or not probe.is_alive():
            probe = running[name] = Probe(name, ask)
            probe.start()
        return probe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Whether the process lives: for whoever would start it anew."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether it can serve: for whoever sends it requests. 503 when a part is down.

    Why it is, the log tells.
    """
    parts = {part: "up" if answer else "down" for part, answer in answers(**PARTS).items()}
    ready = "down" not in parts.values()
    status = "ok" if ready else "unavailable"
    return JsonResponse({"status": status} | parts, status=200 if ready else 503)
