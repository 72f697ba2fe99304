"""A server with more load than it can handle."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import httpx

from contacts.models import Contact
from qyvo.checks import threads
from qyvo.overload import PATIENCE
from tests.support.api import CREATE
from tests.support.processes import begun, serving

MORE = 40
METRICS = {"Authorization": "Bearer watched"}


def test_too_much_load_is_refused_and_health_checks_do_not_wait(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    variables = {"RATELIMIT_DEFAULT": "", "METRICS_TOKEN": "watched", "TMPDIR": str(tmp_path)}
    log = tmp_path / "log"

    def create(number: int) -> httpx.Response:
        return web.post(CREATE, json={"phone": f"+1415556{number:04}"}, headers=acme.api.headers)

    limits = httpx.Limits(max_connections=None)
    with (
        serving(log, workers=1, **variables) as url,
        ExitStack() as stack,
        httpx.Client(base_url=url, limits=limits, timeout=30) as web,
        ThreadPoolExecutor(MORE) as callers,
    ):
        assert web.get("/readyz").status_code == 200
        bodies = [json.dumps({"phone": f"+1415555{n:04}"}).encode() for n in range(threads())]
        busy = [stack.enter_context(begun(url, acme.plaintext, body)) for body in bodies]
        answers = [callers.submit(create, number) for number in range(MORE)]
        probes = [web.get(path) for path in ("/healthz", "/readyz") * 5]
        refused = [answer.result() for answer in answers]
        for answer in refused:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert answer.json()["code"] == "unavailable"
            assert answer.headers["X-Request-Id"]
            assert answer.elapsed.total_seconds() < 10 * PATIENCE
        assert web.get("/admin/").text.startswith("<!DOCTYPE html>")
        assert {probe.status_code for probe in probes} == {200}
        assert median(probe.elapsed.total_seconds() for probe in probes) < PATIENCE
        last = callers.submit(create, MORE)
        time.sleep(0.3)
        for connection, body in zip(busy, bodies, strict=True):
            connection.sendall(body)
        for connection in busy:
            assert connection.recv(100).startswith(b"HTTP/1.1 201")
        assert last.result().status_code == 201, "it waited, and its body was kept"
        assert create(MORE + 1).status_code == 201
        counted = web.get("/metrics", headers=METRICS).text
    assert Contact.objects.count() == threads() + 2, "refused requests store nothing"
    assert f"qyvo_refused_total {MORE + 1}.0" in counted
    assert "requests: too much load" in log.read_text()
