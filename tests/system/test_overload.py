"""A server with more load than it can handle."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import httpx

from contacts.models import Contact
from qyvo.checks import threads
from qyvo.overload import PATIENCE
from tests.support.api import CREATE
from tests.support.processes import begun, serving, wait_until_ready

MORE = 40
METRICS = {"Authorization": "Bearer watched"}


def test_too_much_load_is_refused_and_health_checks_do_not_wait(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    variables = {"RATELIMIT_DEFAULT": "", "METRICS_TOKEN": "watched", "TMPDIR": str(tmp_path)}
    log = tmp_path / "log"

    bodies = (json.dumps({"phone": f"+1415555{n:04}"}).encode() for n in count())

    def create(number: int) -> httpx.Response:
        return web.post(CREATE, json={"phone": f"+1415556{number:04}"}, headers=acme.api.headers)

    def occupy() -> tuple[socket.socket, bytes]:
        """Keeps a thread, which waits for a body, and returns this body."""
        body = next(bodies)
        return stack.enter_context(begun(url, acme.plaintext, body)), body

    def free(connection: socket.socket, body: bytes) -> None:
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 201")

    def create_when_one_is_free() -> httpx.Response:
        last = callers.submit(create, MORE)
        time.sleep(0.3)
        free(*busy.pop())
        return last.result()

    limits = httpx.Limits(max_connections=None)
    with (
        serving(log, workers=1, **variables) as url,
        ExitStack() as stack,
        httpx.Client(base_url=url, limits=limits, timeout=30) as web,
        ThreadPoolExecutor(MORE) as callers,
    ):
        wait_until_ready(web)
        busy = [occupy() for _ in range(threads())]
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
        too_late = 0
        while (last := create_when_one_is_free()).status_code == 503:  # a busy machine took long
            too_late += 1
            busy.append(occupy())
        assert last.status_code == 201, "it waited, and its body was kept"
        for each in busy:
            free(*each)
        assert create(MORE + 1).status_code == 201
        counted = web.get("/metrics", headers=METRICS).text
    stored = threads() + too_late + 2
    assert Contact.objects.count() == stored, "refused requests store nothing"
    assert f"qyvo_refused_total {MORE + 1 + too_late}.0" in counted
    assert "requests: too much load" in log.read_text()
