"""The README's first screen as a newcomer lives it: a fresh clone, `make run`, the request.

Installs the lock into a new virtual environment, so it is not part of `make test`; .ci/run
runs it: `pytest tests/system/fresh_clone.py`. It takes the committed tree.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.postgres import throw_away_cluster
from tests.support.processes import free_port


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


@contextmanager
def make_run(clone: Path, **variables: str) -> Iterator[str]:
    """What `make run` has printed once it serves; it is stopped when the block ends."""
    environment = environment_of_a_user() | {"PORT": str(free_port()), **variables}
    output = clone.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["make", "run"], cwd=clone, env=environment, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while "Started worker" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
        yield output.read_text()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        deadline = time.monotonic() + 40
        while subprocess.run(["pgrep", "--session", str(process.pid)], capture_output=True).stdout:
            assert time.monotonic() < deadline, "processes of it are left"
            time.sleep(0.2)


def environment_of_a_user() -> dict[str, str]:
    return {key: os.environ[key] for key in os.environ if not is_of_this_run(key)}


def is_of_this_run(variable: str) -> bool:
    return variable in {
        "CI",
        "DATABASE_URL",
        "DEMO",
        "ENV_FILE",
        "VIRTUAL_ENV",
        "DJANGO_SETTINGS_MODULE",
        "MAKEFLAGS",
        "MAKELEVEL",
    }


def paste(printed: str, token: str) -> str:
    """The status and body that the printed curl gets, pasted into a shell with the token."""
    curl = printed[printed.index("curl ") :].split("\n\n")[0]
    script = f"export QYVO_TOKEN={token}\n" + curl.replace("curl ", "curl -w '%{http_code}' ", 1)
    return subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def token_in(printed: str) -> str:
    [token] = re.findall(r"^export QYVO_TOKEN=(\S+)$", printed, re.MULTILINE)
    return token


def assert_refused(clone: Path, port: int) -> None:
    """A second `make run` at that port says one sentence, and does nothing."""
    second = subprocess.run(
        ["make", "run"], cwd=clone, env=environment_of_a_user() | {"PORT": str(port)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert second.returncode != 0
    assert second.stdout == ""
    sentence, of_make = second.stderr.splitlines()
    assert (
        sentence
        == f"Port {port} of 127.0.0.1 is in use. Use another port: make run PORT={port + 1}"
    )
    assert of_make.startswith("make: ***")


def test_make_run_serves_a_fresh_clone_and_keeps_what_it_made(clone: Path) -> None:
    start = time.monotonic()
    with make_run(clone) as printed:
        python = subprocess.check_output([clone / ".venv/bin/python", "--version"], text=True)
        print(f"clone to serving: {time.monotonic() - start:.0f} s, on {python.strip()}")
        token = token_in(printed)
        first = paste(printed, token)
        assert first.endswith("201"), first
        assert '"phone":"+14155550123"' in first
        found = re.search(r"http://127.0.0.1:(\d+)/admin/  login \S+  password \S{16}\n", printed)
        assert found
        assert_refused(clone, int(found[1]))
    with make_run(clone) as printed:
        assert "export QYVO_TOKEN" not in printed
        assert "manage.py create_token admin@example.com" in printed
        assert paste(printed, token) == first, "the same contact"


def test_make_run_serves_on_postgresql_and_makes_a_demo_only_if_asked(clone: Path) -> None:
    with throw_away_cluster(is_durable=True) as url:
        with make_run(clone, DATABASE_URL=url) as printed:
            assert "export QYVO_TOKEN" not in printed
            assert "manage.py createsuperuser" in printed
        with make_run(clone, DATABASE_URL=url, DEMO="1") as printed:
            assert paste(printed, token_in(printed)).endswith("201")
