"""What Prometheus reads at /metrics. Imported only where METRICS_TOKEN is set, as it keeps files.

The processes of a server count into files of one folder (`wsgi.py` makes it), each into its own,
and whichever is asked adds them up. What lies in the database is counted when it is asked for,
and is the same on every server.
"""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from contacts.models import Delivery, Import, Outcome
from tenants.isolation import seeing_everybody

from .health import answers, queued_tasks

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

REQUESTS = Counter("qyvo_requests", "Requests to the API.", ["action", "status"], registry=None)
LATENCY = Histogram("qyvo_request_seconds", "How long they took.", ["action"], registry=None)
UPSERTS = Counter(
    "qyvo_upserts", "Contacts by what became of them.", ["action", "result"], registry=None
)


def count(action: str | None, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """A request that was answered after `seconds`; without an action, as its address is none."""
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
    """What the database and the queue hold."""

    def describe(self) -> list[Metric]:
        """Nothing: else it would be collected when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("qyvo_queue_depth", "What waits for a worker.", labels=["queue"])
        depth.add_metric(["tasks"], queued_tasks())
        depth.add_metric(["deliveries"], Delivery.objects.pending().count())
        yield depth
        rows = GaugeMetricFamily(
            "qyvo_import_rows", "Rows of the imports that are kept.", labels=["result"]
        )
        for result, number in Import.objects.results().items():
            rows.add_metric([result], number)
        yield rows


def of_everybody(stored: CollectorRegistry) -> bytes:
    with seeing_everybody():
        return generate_latest(stored)


def exposition() -> bytes:
    """All of it. While the database or the queue does not answer, without what they hold."""
    counted, stored = CollectorRegistry(), CollectorRegistry()
    MultiProcessCollector(counted)
    stored.register(Stored())
    held = answers(metrics=lambda: of_everybody(stored))["metrics"]
    return generate_latest(counted) + (held or b"")
