"""What a server does with more load than it can handle.

`python -m tests.support.postgres python -m tests.benchmarks.overload [--before REVISION]`, or with
`DATABASE_URL=` for SQLite. wrk sends create-contact on 16 to 4,096 connections; meanwhile the
health checks are asked ten times a second. A version of before and this one take turns: compare
ratios of one run, because other programs disturb all. “ms” is the processor time of the server,
PostgreSQL and wrk for each contact.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import httpx

from . import processor_time
from .create_contact import (
    HERE,
    ROOT,
    WARM_UP,
    Installation,
    install,
    own_database,
    served,
    tree_of,
)

CONNECTIONS = (16, 64, 512, 4096)
PROBES = ("/healthz", "/readyz")
SEARCH = '{"query": "chloe%d@"}'
PAUSE = 3  # seconds after a run: the server still answers requests whose callers have gone
# The action, its script for wrk, and the arguments of the script after the token and before the
# number of the run. Each run creates other contacts: the same ones again would take more time.
LOADS = {
    "create-contact": ("create_contact.lua", []),
    "search-contacts": ("get_contact.lua", [SEARCH, "40000"]),
}


class Run(NamedTuple):
    """`probes`: milliseconds that health checks took; `failed`: how many did not answer 200; `ms`:
    of processor time for each accepted request."""

    rate: float
    refused: float
    wrong: int
    p50: float
    p99: float
    ms: float
    probes: dict[str, list[float]]
    failed: int


@contextmanager
def probing(url: str) -> Iterator[tuple[dict[str, list[float]], list[str]]]:
    """Asks the health checks while the block runs, on a connection each."""
    stopped = Event()
    times: dict[str, list[float]] = {path: [] for path in PROBES}
    failed: list[str] = []

    def ask(path: str) -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while not stopped.wait(0.1):
                began = time.perf_counter()
                answer = client.get(path)
                times[path].append(1000 * (time.perf_counter() - began))
                if answer.status_code != 200:
                    failed.append(answer.text)

    threads = [Thread(target=ask, args=[path]) for path in PROBES]
    for thread in threads:
        thread.start()
    try:
        yield times, failed
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def load(
    server: Installation, action: str, connections: int, seconds: int, number: int = 0
) -> dict[str, Any]:
    """What became of the requests of wrk, see overload.lua. `number`: of the run."""
    script, rest = LOADS[action]
    url = f"http://127.0.0.1:{server.port}/api/v1/actions/{action}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=30s"]
    command += ["-s", f"{HERE}/overload.lua", url, "--", server.token, *rest, str(number)]
    environment = os.environ | {"SCRIPT": f"{HERE}/{script}"}
    shown = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(shown.stdout.splitlines()[-1])
    return found


def measure(
    server: Installation,
    postmaster: int | None,
    action: str,
    connections: int,
    seconds: int,
    number: int,
) -> Run:
    def spent() -> float:
        wrk = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        roots = [pid for pid in (server.pid, postmaster) if pid]
        return wrk + sum(map(processor_time.of_processes, roots))

    with probing(f"http://127.0.0.1:{server.port}") as (times, failed):
        before = spent()
        found = load(server, action, connections, seconds, number)
        ms = 1000 * (spent() - before) / max(1, found["accepted"])
    time.sleep(PAUSE)
    return Run(
        found["accepted"] / found["seconds"], found["refused"] / found["seconds"],
        found["other"] + found["failed"], found["p50"], found["p99"], ms, times, len(failed),
    )  # fmt: skip


def report(name: str, of: dict[int, list[Run]]) -> None:
    """Prints a line for each number of connections: the medians of its runs."""
    best = max(median(runs, "rate") for runs in of.values())
    for number, runs in of.items():
        figures = [
            f"{name:14} {number:6} {median(runs, 'rate'):6,.0f} {median(runs, 'rate') / best:5.2f}",
            *(f"{median(runs, field):7,.0f}" for field in ("refused", "p50", "p99")),
            f"{median(runs, 'ms'):6.2f}",
            *(of_probes(runs, path) for path in PROBES),
            f"{sum(run.wrong + run.failed for run in runs):6}",
        ]
        print(*figures, flush=True)


def median(runs: list[Run], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def of_probes(runs: list[Run], path: str) -> str:
    """p50, p95 and the longest, in milliseconds."""
    times = sorted(time for run in runs for time in run.probes[path])
    return f"{times[len(times) // 2]:6.0f} {times[len(times) * 95 // 100]:6.0f} {times[-1]:6.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures a server under too much load.")
    parser.add_argument("--before", metavar="REVISION", help="a commit to compare with")
    parser.add_argument("--connections", type=int, nargs="+", default=[*CONNECTIONS])
    parser.add_argument("--action", choices=LOADS, default="create-contact")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    url = os.environ.get("DATABASE_URL")
    with ExitStack() as stack:
        roots = {"now": ROOT}
        if revision := arguments.before:
            roots[revision] = stack.enter_context(tree_of(revision))
        servers = {}
        for name, root in roots.items():
            if url:
                database = stack.enter_context(own_database(url, f"bench_{os.getpid()}_{name}"))
            else:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                database = f"sqlite:///{Path(folder)}/qyvo.sqlite3"
            install(database, root)
            servers[name] = stack.enter_context(served(database, root))
        postmaster = processor_time.postmaster(url) if url else None
        for server in servers.values():
            load(server, arguments.action, 16, WARM_UP)
        measured: dict[str, dict[int, list[Run]]] = {
            name: {connections: [] for connections in arguments.connections} for name in servers
        }
        turns = enumerate(product(range(arguments.runs), arguments.connections), 1)
        for (number, (_, connections)), name in product(turns, servers):
            run = measure(
                servers[name], postmaster, arguments.action, connections, arguments.seconds, number
            )
            measured[name][connections].append(run)
        print(
            f"{arguments.action:14} {'conns':>6} {'rate':>6} :best refused     p50     p99     ms"
            "   /healthz p50, p95, max    /readyz p50, p95, max  wrong"
        )
        for name, of in measured.items():
            report(name, of)


if __name__ == "__main__":
    main()
