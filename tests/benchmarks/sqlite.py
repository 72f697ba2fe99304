"""How many create-contacts a second SQLite takes: `python -m tests.benchmarks.sqlite`.

The requests are the same as in `create_contact`. Commits are durable. `--before REVISION` measures
an earlier commit of this project in turns with the present code; the ratios are the medians of all
pairs.

Rows per commit: the contacts of a combined commit have the same time in the change log.
"""

import argparse
import sqlite3
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from . import processor_time
from .create_contact import (
    ROOT,
    SECONDS,
    WARM_UP,
    Load,
    Run,
    install,
    over_http,
    served,
    tree_of,
)

ROWS_PER_COMMIT = "SELECT 1.0 * count(*) / count(DISTINCT at) FROM contacts_change WHERE id > ?"
LAST = "SELECT coalesce(max(id), 0) FROM contacts_change"


class Contender(NamedTuple):
    """`path`: of the database; `pid`: of the server's first process."""

    load: Load
    path: Path
    pid: int

    def ask(self, sql: str, *values: int) -> float:
        with closing(sqlite3.connect(self.path)) as database:
            found: float = database.execute(sql, values).fetchone()[0]
            return found

    def measure(self, number: int, seconds: int) -> tuple[Run, float]:
        """Returns the run and how many rows a commit had."""
        last, before = self.ask(LAST), processor_time.of_processes(self.pid)
        run = self.load(number, seconds)
        assert not run.wrong, f"{run.wrong} answers were not 201"
        spent = processor_time.of_processes(self.pid) - before
        return run._replace(server=spent), self.ask(ROWS_PER_COMMIT, int(last))


@contextmanager
def contender(folder: Path, root: Path, connections: int) -> Iterator[Contender]:
    path = folder / "qyvo.sqlite3"
    url = f"sqlite:///{path}"
    install(url, root)
    with served(url, root) as ours:
        load = over_http(ours.port, ours.token, connections)
        load(0, WARM_UP)
        yield Contender(load, path, ours.pid)


def measure(before: str, runs: int, connections: int) -> dict[str, list[tuple[Run, float]]]:
    with ExitStack() as stack:
        trees = {"now": ROOT}
        if before:
            trees[f"before: {before}"] = stack.enter_context(tree_of(before))
        ready = {}
        for name, root in trees.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ready[name] = stack.enter_context(contender(folder, root, connections))
        results: dict[str, list[tuple[Run, float]]] = {name: [] for name in ready}
        for number in range(1, runs + 1):
            # In both orders, because whoever runs first after a pause is often slower.
            for name, one in [*ready.items()][:: (-1) ** number]:
                results[name].append(one.measure(number, SECONDS))
        return results


def report(results: dict[str, list[tuple[Run, float]]]) -> None:
    ours, *_ = results.values()
    print(
        f"{'create-contact, SQLite':24} {'per second':>10} {'now : it':>8} {'p50 ms':>8}"
        f" {'p99 ms':>8} {'server ms':>9} {'now : it':>8} {'rows per commit':>15}"
    )
    for name, theirs in results.items():
        pairs = [(our, their) for (our, _), (their, _) in zip(ours, theirs, strict=True)]
        runs = [run for run, _ in theirs]
        middle = statistics.median
        print(
            f"{name:24} {middle(run.rate for run in runs):10,.0f}"
            f" {middle(our.rate / their.rate for our, their in pairs):8.2f}"
            f" {middle(run.p50 for run in runs):8.1f} {middle(run.p99 for run in runs):8.1f}"
            f" {middle(run.server_ms for run in runs):9.3f}"
            f" {middle(our.server_ms / their.server_ms for our, their in pairs):8.3f}"
            f" {middle(rows for _, rows in theirs):15.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures create-contact on SQLite.")
    parser.add_argument("--before", metavar="REVISION", default="", help="a commit to compare with")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    report(measure(arguments.before, arguments.runs, arguments.connections))


if __name__ == "__main__":
    main()
