"""Whether the process lives, and whether it can serve: for those who watch it."""

import logging
import time
from collections.abc import Callable
from functools import cache
from threading import Lock, Thread

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from tenants.throttling import counter

logger = logging.getLogger(__name__)

PATIENCE = 3  # seconds that all parts together have to answer


def database_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


class MigrationsMissing(Exception):
    pass


@cache
def migrations_are_applied() -> None:
    """Asked until it is so: what is applied stays so, while this code runs."""
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing(f"{len(missing)} to apply; run manage.py migrate")


def queued_tasks() -> int:
    """How many tasks wait for a worker."""
    if settings.TASKS_URL:
        from django_rq import get_queue

        return get_queue().count
    from django_tasks_db.models import DBTaskResult

    return DBTaskResult.objects.ready().count()


def rate_limit_counts() -> None:
    counter(settings.RATELIMIT_STORAGE_URL).reach()


PARTS: dict[str, Callable[[], object]] = {
    "database": database_answers,
    "migrations": migrations_are_applied,
    "queue": queued_tasks,
    "rate_limit": rate_limit_counts,
}


class Probe(Thread):
    """Asks one part, on connections of its own, for as long as that takes.

    A daemon: the process may end while a dead host keeps it waiting.
    """

    def __init__(self, part: str) -> None:
        super().__init__(name=f"readyz-{part}", daemon=True)
        self.part = part
        self.is_up = False

    def run(self) -> None:
        try:
            PARTS[self.part]()
        except Exception as error:  # noqa: BLE001 - whatever it is, this part is down
            logger.warning("Not ready, %s: %s", self.part, error)
        else:
            self.is_up = True
        finally:
            connection.close()


running: dict[str, Probe] = {}
one_at_a_time = Lock()


def probe_of(part: str) -> Probe:
    """The one that is asking, or else a new one: however often the service is asked while a part
    hangs, one thread waits for it."""
    with one_at_a_time:
        probe = running.get(part)
        if probe is None or not probe.is_alive():
            probe = running[part] = Probe(part)
            probe.start()
        return probe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Whether the process lives: for whoever would start it anew."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether it can serve: for whoever sends it requests. 503 when a part is down.

    A part that has not answered after `PATIENCE` counts as down. Why it is, the log tells.
    """
    end = time.monotonic() + PATIENCE
    probes = [probe_of(part) for part in PARTS]
    for probe in probes:
        probe.join(max(0, end - time.monotonic()))
    parts = {probe.part: "up" if probe.is_up else "down" for probe in probes}
    ready = "down" not in parts.values()
    status = "ok" if ready else "unavailable"
    return JsonResponse({"status": status} | parts, status=200 if ready else 503)
