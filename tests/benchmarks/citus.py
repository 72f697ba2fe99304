"""The processor time of requests where tenants are distributed over the nodes of a Citus cluster.

`python -m tests.benchmarks.citus [--nodes 1 2] [--requests 300]` starts a cluster for each number
of nodes. One caller sends the requests one after the other, for all tenants in turn, as a role that
row-level security holds for. The last figures are what one processor would carry that does nothing
else.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import psycopg

from tests.support.citus import citus_cluster, node_urls

from . import processor_time
from .create_contact import as_restricted, install, manage, more_tokens, served

TENANTS = 8
WARM_UP = 5  # rounds through all tenants
ACTIONS = "/api/v1/actions/"
SHARDS = "ALTER DATABASE postgres SET citus.shard_count = 32"  # as Citus has it

Body = Callable[[int], dict[str, Any]]


def new(number: int) -> dict[str, Any]:
    return {"phone": f"+1415555{number:04}", "name": "Ann Smith", "tags": ["vip"]}


# In this order: those after the first one need its contacts. The number counts all requests.
REQUESTS: dict[str, tuple[str, Body]] = {
    "create-contact, new, one tag": ("create-contact", new),
    "create-contact, changes the contact": (
        "create-contact", lambda number: new(number % TENANTS) | {"name": f"Ann {number}"},
    ),
    "create-contact, changes nothing": (
        "create-contact", lambda number: new(TENANTS + number % TENANTS),
    ),
    "get-contact": ("get-contact", lambda number: {"phone": new(number % TENANTS)["phone"]}),
    "list-contacts, 50": ("list-contacts", lambda number: {"limit": 50}),
    "search-contacts": ("search-contacts", lambda number: {"query": "smith"}),
}  # fmt: skip


def measured(
    web: httpx.Client, tokens: list[str], processes: dict[str, int], requests: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each kind of request the milliseconds of each process, per request."""
    for name, (action, body) in REQUESTS.items():
        numbers = count()
        send(web, tokens, action, body, numbers, WARM_UP * TENANTS)
        before = {who: processor_time.of_processes(pid) for who, pid in processes.items()}
        send(web, tokens, action, body, numbers, requests)
        yield (
            name,
            {
                who: 1000 * (processor_time.of_processes(pid) - before[who]) / requests
                for who, pid in processes.items()
            },
        )


def send(
    web: httpx.Client,
    tokens: list[str],
    action: str,
    body: Body,
    numbers: Iterator[int],
    requests: int,
) -> None:
    for _ in range(requests):
        number = next(numbers)
        headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        answer = web.post(ACTIONS + action, json=body(number), headers=headers)
        assert answer.is_success, answer.text


def report(nodes: int, name: str, spent: dict[str, float]) -> None:
    """`spent`: milliseconds per request, of the server, the coordinator and each node."""
    of_nodes = [ms for who, ms in spent.items() if who.startswith("node")]
    shown = " ".join(f"{who} {ms:.2f}" for who, ms in spent.items())
    print(
        f"{nodes} nodes | {name} | {shown} | nodes together {sum(of_nodes):.2f}"
        f" | one processor: coordinator {1000 / spent['coordinator']:,.0f}/s,"
        f" node {1000 / sum(of_nodes):,.0f}/s",
        flush=True,
    )


def measure(nodes: int, requests: int) -> None:
    with citus_cluster(workers=nodes) as url:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(SHARDS)
        install(url)
        restricted = as_restricted(url)
        tokens = more_tokens(url, TENANTS - 1)
        manage(url, "distribute")
        processes = {
            "coordinator": processor_time.postmaster(url),
            **{
                f"node {number}": processor_time.postmaster(other)
                for number, other in enumerate(node_urls(url), 1)
            },
        }
        with (
            served(restricted) as ours,
            httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", timeout=60) as web,
        ):
            all_tokens = [ours.token, *tokens]
            for name, spent in measured(
                web, all_tokens, {"server": ours.pid, **processes}, requests
            ):
                report(nodes, name, spent)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures requests on a Citus cluster.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args()
    for nodes in arguments.nodes:
        measure(nodes, arguments.requests)


if __name__ == "__main__":
    main()
