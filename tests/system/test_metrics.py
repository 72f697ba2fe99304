"""/metrics: the numbers for Prometheus, added up over all processes of a server."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import ACTIONS, CREATE, PHONE, assert_error
from tests.support.concurrency import all_at_once
from tests.support.imports import bring
from tests.support.processes import serving, wait_until

METRICS = {"Authorization": "Bearer watched"}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of its own for the counts of each test."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))


def samples(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values …) → value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_without_metrics_token_there_are_no_metrics(client: Client) -> None:
    assert_error(client.get("/metrics", headers=METRICS), 404, "not_found")


@pytest.mark.parametrize("given", ["", "watched", "Bearer", "Bearer x", "Bearer watched2", "é"])
def test_only_the_metrics_token_gives_access(client: Client, settings: Any, given: str) -> None:
    settings.METRICS_TOKEN = "watched"
    answer = client.get("/metrics", headers={"Authorization": given})
    assert_error(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_requests_of_all_processes_are_counted(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"phone": PHONE, "name": "x"}, {"phone": "+14155550124"}, {"phone": "no"}]
    file = tmp_path / "two.csv"
    file.write_text(f"phone,name\n{PHONE},Ada\n+14155550125,Eva\n1,Bad\n")
    bring(file)
    bring(file, "--dry-run")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    setting = {"METRICS_TOKEN": "watched", "RATELIMIT_DEFAULT": "", "TMPDIR": str(tmp_path)}
    with (
        serving(tmp_path / "log", workers=2, **setting) as url,
        httpx.Client(base_url=url, headers=acme.api.headers, timeout=60) as web,
    ):
        web.post(CREATE, json={"phone": PHONE})
        web.post(CREATE, json={"phone": PHONE})
        web.post(CREATE, json={"phone": "+14155550126"})
        csv = {"Content-Type": "text/csv"}
        assert web.post("/api/v1/imports", content=file.read_bytes(), headers=csv).is_success
        web.post(f"{ACTIONS}create-contacts", json={"contacts": rows})
        web.post(f"{ACTIONS}get-contact", json={"phone": "+14155550199"})
        all_at_once(lambda _: httpx.get(f"{url}/api/v1/me", headers=web.headers, timeout=60), 40)
        web.get("/api/v1/nowhere")
        # What the database knows is left out where a busy machine takes more than two seconds.
        wait_until(lambda: "qyvo_queue_depth" in web.get("/metrics", headers=METRICS).text)
        answers = [web.get("/metrics", headers=METRICS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.text for answer in answers}) == 1, "each process tells the same"
    assert answers[0].headers["Content-Type"].startswith("text/plain; version=")
    told = samples(answers[0].text)
    assert told["qyvo_requests_total", "create-contact", "201"] == 3
    assert told["qyvo_requests_total", "get-contact", "404"] == 1
    assert told["qyvo_requests_total", "me", "200"] == 40
    assert told["qyvo_requests_total", "none", "404"] == 1
    assert told["qyvo_request_seconds_count", "me"] == 41
    assert told["qyvo_request_seconds_bucket", "create-contact", "+Inf"] == 3
    assert told["qyvo_upserts_total", "create-contact", "created"] == 1
    assert told["qyvo_upserts_total", "create-contact", "updated"] == 1
    assert told["qyvo_upserts_total", "create-contact", "unchanged"] == 1
    assert told["qyvo_upserts_total", "create-contacts", "created"] == 1
    assert told["qyvo_upserts_total", "create-contacts", "updated"] == 1
    assert told["qyvo_queue_depth", "tasks"] == 1, "the import"
    assert told["qyvo_queue_depth", "deliveries"] == 0
    rows_of = {key[1]: told[key] for key in told if key[0] == "qyvo_import_rows"}
    assert rows_of == {"created": 2, "updated": 0, "unchanged": 0, "superseded": 0, "failed": 1}
    files = list(tmp_path.glob("qyvo-metrics-*/*.db"))
    counted = {path.stem.rpartition("_")[2] for path in files}
    assert len(counted) in (2, 3), "of two processes, and of the one that they are forks of"
