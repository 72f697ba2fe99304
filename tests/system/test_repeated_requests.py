"""Requests that are sent again, against real server processes; and web pages of other origins."""

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from contacts.models import Contact, StoredAnswer, Webhook
from tests.support.api import ACTIONS, CREATE, PHONE
from tests.support.concurrency import all_at_once
from tests.support.processes import PATIENCE, serving

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = "https://app.example.com"


@pytest.mark.slow
def test_two_processes_execute_a_repeated_request_once(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {acme.plaintext}", "Idempotency-Key": "k"}
    with serving(tmp_path / "log", 2, RATELIMIT_DEFAULT="") as url:

        def call(number: int) -> httpx.Response:
            body = {"url": "https://shop.example.com/hooks"}
            address = f"{url}/api/v1/webhooks"
            return httpx.post(address, json=body, headers=headers, timeout=60)

        answers = all_at_once(call, 20)
    kinds = Counter((a.status_code, "Idempotent-Replayed" in a.headers) for a in answers)
    assert kinds[201, False] == 1, kinds
    assert {*kinds} <= {(201, False), (201, True), (409, False), (503, False)}, kinds
    assert Webhook.objects.count() == StoredAnswer.objects.count() == 1


def test_a_killed_process_does_not_keep_the_key(acme: SimpleNamespace, tmp_path: Path) -> None:
    """Whenever the process dies: afterwards the request is either answered or executed, once."""
    headers = {"Authorization": f"Bearer {acme.plaintext}", "Idempotency-Key": "k"}
    contacts = [{"phone": f"+1415555{n:04}", "tags": [f"t{n % 9}"]} for n in range(1000)]

    def call(_: int) -> Any:
        try:
            return httpx.post(address, json={"contacts": contacts}, headers=headers, timeout=60)
        except httpx.TransportError:
            return None

    def kill(server: psutil.Process) -> None:
        time.sleep(0.1)
        for child in server.children():
            child.kill()

    with serving(tmp_path / "log", 1, RATELIMIT_DEFAULT="") as url:
        address = f"{url}{ACTIONS}create-contacts"
        [server] = [child for child in psutil.Process().children() if serves(child, url)]
        all_at_once(lambda number: kill(server) if number else call(0), 2)
        give_up = time.monotonic() + PATIENCE
        while (answer := call(0)) is None or answer.status_code != 200:
            assert time.monotonic() < give_up, answer
            time.sleep(0.1)
    assert answer.json()["created"] == 1000, "by the first request or by the second"
    assert Contact.objects.count() == 1000


def serves(process: psutil.Process, url: str) -> bool:
    """Whether the process is the server at `url`, beside the one that other tests share."""
    with suppress(psutil.NoSuchProcess):
        return {"qyvo.serve", url.rpartition(":")[2]} <= {*process.cmdline()}
    return False


@pytest.mark.once
def test_a_page_of_a_named_origin_may_call_the_api(acme: SimpleNamespace, tmp_path: Path) -> None:
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }
    token = {"Authorization": f"Bearer {acme.plaintext}"}
    with (
        serving(tmp_path / "log", 1, CORS_ALLOWED_ORIGINS=ORIGIN) as url,
        httpx.Client(base_url=url, timeout=60) as web,
    ):

        def origins(origin: str, path: str = CREATE) -> list[str | None]:
            preflight = web.options(path, headers=asking | {"Origin": origin})
            call = web.post(path, json={"phone": PHONE}, headers=token | {"Origin": origin})
            return [a.headers.get("Access-Control-Allow-Origin") for a in (preflight, call)]

        assert origins(ORIGIN) == [ORIGIN, ORIGIN]
        assert origins("https://evil.example") == [None, None]
        assert origins(ORIGIN, "/admin/login/") == [None, None]
        answer = web.post(CREATE, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN, "of errors, too"
    assert answer.headers["Access-Control-Expose-Headers"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
