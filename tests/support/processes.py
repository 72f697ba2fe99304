"""Programs that tests start: the server, a worker, Redis, `manage.py`."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import CREATE
from tests.support.databases import test_database_url
from tests.support.paths import ROOT

PATIENCE = 300  # seconds for a machine that is busy with other things

STARTED = "Started worker"  # what granian logs for each process that serves

# A real server


def need(tool: str) -> str:
    """The path of a program from outside Python; without it the test is skipped, but not in CI."""
    path = shutil.which(tool)
    if path is None:
        assert not os.environ.get("CI"), f"install {tool}: CI runs every test"
        pytest.skip(f"{tool} is not installed")
    return path


def ports() -> Iterator[int]:
    """Below those that the system gives to others. A process of the tests keeps the first of a
    hundred ports, and so the others are its own: two processes would find the same port free before
    either of them has started its server."""
    for first in range(20_000, 32_000, 100):
        with socket.socket() as kept, suppress(OSError):
            kept.bind(("127.0.0.1", first))
            yield from range(first + 1, first + 100)


PORTS = ports()


def free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@contextmanager
def serving(log: Path, workers: int, **variables: str) -> Iterator[str]:
    """The address of the production server on the test database; it logs into `log`."""
    port = free_port()
    command = [sys.executable, "-m", "qyvo.serve", "--port", str(port), "--workers", str(workers)]
    data = {"DATABASE_URL": test_database_url(), "DATA_DIR": str(log.parent)}
    environment = os.environ | data | variables
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, log)
        # One of them answers, the others may still be loading.
        wait_until(lambda: log.read_text().count(STARTED) >= workers)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def wait_until(is_true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def wait_until_ready(web: httpx.Client) -> None:
    """Until /readyz says so, as load balancers do: on a busy machine the first checks of a process,
    which load all migrations, take longer than they may."""
    wait_until(lambda: web.get("/readyz").status_code == 200)


def post(web: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    """The answer to a request that is sent again, as any client does, while the server is busy: it
    waits a moment only for a thread or a lock, and then has written nothing."""
    give_up = time.monotonic() + PATIENCE
    while (answer := web.post(path, json=body)).status_code == 503:
        assert time.monotonic() < give_up, answer.text
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def begun(url: str, token: str, body: bytes) -> socket.socket:
    """A create-contact that a thread of the server reads: it waits for the `body`."""
    address = urlsplit(url)
    web = socket.create_connection((address.hostname, address.port), timeout=PATIENCE)
    head = f"POST {CREATE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n"
    head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    web.sendall(head.encode())
    assert web.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return web


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"The server did not start:\n{log.read_text()}"
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/api/v1/me", timeout=60)
            return True
        return False

    wait_until(answers)


# A real Redis, and a server of S3


@contextmanager
def redis_at(port: int) -> Iterator[None]:
    """A real Redis of our own, gone when the block ends."""
    command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with listening(command, port):
        yield


@contextmanager
def s3_at(port: int) -> Iterator[None]:
    """moto's server, which speaks the protocol of S3 and keeps objects in memory."""
    with listening([sys.executable, "-m", "moto.server", "-p", str(port)], port):
        yield


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def listening(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, command
        return is_open(port)

    try:
        wait_until(listens)
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


@contextmanager
def worker(data_dir: Path, log: Path, *options: str, **variables: str) -> Iterator[Any]:
    environment = os.environ | {"DATABASE_URL": test_database_url(), "DATA_DIR": str(data_dir)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", *options],
            cwd=ROOT,
            env=environment | variables,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def manage(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": "/dev/null", "DATA_DIR": str(folder)}
    environment |= variables
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
