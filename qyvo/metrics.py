"""The metrics that Prometheus reads at /metrics.

Imported only if METRICS_TOKEN is set, because the library creates files when it is imported. Each
process of a server counts into a file of its own, in a folder that `wsgi.py` creates; the process
that answers /metrics adds up the files. Numbers from the database are queried for each request of
/metrics, and are the same on every server.
"""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from contacts.models import Delivery, Import, Outcome
from tenants.isolation import all_tenants_context

from .health import queued_tasks, run_checks

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

REQUESTS = Counter("qyvo_requests", "Requests to the API.", ["action", "status"], registry=None)
LATENCY = Histogram(
    "qyvo_request_seconds", "Duration of requests to the API.", ["action"], registry=None
)
REFUSED = Counter(
    "qyvo_refused", "Requests answered with 503 because of too much load.", registry=None
)
UPSERTS = Counter(
    "qyvo_upserts", "Contacts written by upserts, by result.", ["action", "result"], registry=None
)


def count(action: str | None, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Counts a request that took `seconds`. `action` is None if the address does not exist."""
    name = action or "none"
    REQUESTS.labels(name, response.status_code).inc()
    LATENCY.labels(name).observe(seconds)
    if "Qyvo-Result" in response.headers:
        UPSERTS.labels(name, response.headers["Qyvo-Result"]).inc()
    elif name == "create-contacts" and response.status_code == 200:
        results: dict[str, Any] = response.data  # type: ignore[attr-defined]
        for outcome in Outcome.values:
            UPSERTS.labels(name, outcome).inc(results[outcome])


class Stored(Collector):
    """Numbers from the database and the queue."""

    def describe(self) -> list[Metric]:
        """Empty, because the registry would otherwise call `collect` when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily(
            "qyvo_queue_depth", "Tasks and deliveries that wait for a worker.", labels=["queue"]
        )
        depth.add_metric(["tasks"], queued_tasks())
        depth.add_metric(["deliveries"], Delivery.objects.pending().count())
        yield depth
        rows = GaugeMetricFamily(
            "qyvo_import_rows", "Rows of the stored imports, by result.", labels=["result"]
        )
        for result, number in Import.objects.results().items():
            rows.add_metric([result], number)
        yield rows


def of_all_tenants(stored: CollectorRegistry) -> bytes:
    """The numbers of all tenants, in Prometheus's text format."""
    with all_tenants_context():
        return generate_latest(stored)


def exposition() -> bytes:
    """All metrics in Prometheus's text format. Without the numbers from the database and the queue
    while these do not answer."""
    counted, stored = CollectorRegistry(), CollectorRegistry()
    MultiProcessCollector(counted)
    stored.register(Stored())
    from_database = run_checks(metrics=lambda: of_all_tenants(stored))["metrics"]
    return generate_latest(counted) + (from_database or b"")
