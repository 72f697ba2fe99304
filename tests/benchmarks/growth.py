"""What requests cost with many contacts stored, beside the same with few or none.

`DATABASE_URL=postgres://… python -m tests.benchmarks.growth [CONTACTS] [PART …]`, for a server
whose role may create databases. Parts: create, read, memory, indexes; without them all but the
last.

Contacts, 1,000,000 by default, are made once, in the database `growth_CONTACTS`, which stays for
the next time; what is measured is a copy. A second tenant beside them has a tenth as many.
Requests to few and to many take turns, so that what else the machine does troubles both alike.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg

from . import people
from .create_contact import (
    RUNS,
    SECONDS,
    WARM_UP,
    WORKERS,
    Installation,
    Run,
    install,
    manage,
    over_http,
    own_database,
    served,
)
from .webhooks import memory_of

FEW = 1_000
SAMPLES, PATIENCE = (
    100,
    3_000,
)  # requests of a kind, and the milliseconds after which no more follow
PAGE = 100
REQUESTS = 100_000  # of a server whose memory is watched
ADDED = 20_000  # contacts that each index is measured with
FIRST_RUN = 50  # whose phones are none of those stored
OUR_TENANT, NEIGHBOUR = "acme", "neighbour"


class Request(NamedTuple):
    """`body`: none to GET /me; `path`: behind /api/v1/."""

    path: str
    body: dict[str, Any] | None


Requests = Callable[[], Request]


# Databases


@contextmanager
def copy(url: str, number: int) -> Iterator[str]:
    """A database of its own with `number` contacts of a tenant, and a second tenant."""
    name = f"growth_{number}"
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if not there.fetchone():
            connection.execute(f'CREATE DATABASE "{name}_unfinished"')
            make(urlsplit(url)._replace(path=f"/{name}_unfinished").geturl(), number)
            connection.execute(f'ALTER DATABASE "{name}_unfinished" RENAME TO "{name}"')
    options = f'TEMPLATE "{name}" STRATEGY file_copy'
    with own_database(url, f"{name}_{os.getpid()}", options) as database:
        yield database


def make(url: str, number: int) -> None:
    print(f"making {number:,} contacts", file=sys.stderr)
    install(url)
    manage(url, "create_tenant", "Neighbour", "--email=bob@neighbour.example")
    if number:
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            sizes = {tenant_id(connection, OUR_TENANT): number}
            sizes |= {tenant_id(connection, NEIGHBOUR): number // 10}
            people.fill(cursor, sizes)


def tenant_id(connection: psycopg.Connection[Any], slug: str) -> str:
    found = connection.execute("SELECT id FROM tenants_tenant WHERE slug = %s", [slug]).fetchone()
    assert found
    return found[0].hex


# create-contact


def created(url: str, number: int) -> dict[str, Any]:
    """How many a second with none stored, with many, and with none on SQLite."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        sqlite = f"sqlite:///{folder}/qyvo.sqlite3"
        install(sqlite)
        databases = {
            "none stored": stack.enter_context(copy(url, 0)),
            f"{number:,} stored": stack.enter_context(copy(url, number)),
            "none stored, SQLite": sqlite,
        }
        loads = {}
        for name, database in databases.items():
            ours = stack.enter_context(served(database))
            loads[name] = over_http(ours.port, ours.token)
            loads[name](FIRST_RUN, WARM_UP)
        runs: dict[str, list[Run]] = {name: [] for name in loads}
        for run in range(1, RUNS + 1):
            for name, load in loads.items():
                done = load(FIRST_RUN + run, SECONDS)
                assert not done.wrong, f"{name}: {done.wrong} answers were not 201"
                runs[name].append(done)
    base = median(run.rate for run in runs["none stored"])
    figures = {}
    print(f"{'create-contact, 16 connections':36} {'per second':>10} {'ratio':>8} {'p99 ms':>8}")
    for name, made in runs.items():
        rate, p99 = median(run.rate for run in made), median(run.p99 for run in made)
        figures[name] = {"per_second": round(rate), "ratio": round(rate / base, 2), "p99_ms": p99}
        print(f"{name:36} {rate:10,.0f} {rate / base:8.2f} {p99:8.1f}")
    return figures


# Reading


def kinds_of_requests(database: str, number: int, deep: str) -> dict[str, Requests]:
    """`deep`: the cursor of the page in the middle."""
    chance = random.Random(1)
    stored = sample(database, number, chance)

    def act(action: str, **choices: Sequence[Any]) -> Requests:
        def make() -> Request:
            body = {name: chance.choice(values) for name, values in choices.items()}
            return Request(f"actions/{action}", body)

        return make

    parts = ["anna", "bern", "mart", "lero", "dura"]
    domains = [email.partition("@")[2][:8] for _, _, email in stored]
    return {
        "me": lambda: Request("me", None),
        "get-contact by id": act("get-contact", contact_id=[row[0] for row in stored]),
        "get-contact by phone": act("get-contact", phone=[row[1] for row in stored]),
        "get-contact by e-mail": act("get-contact", email=[row[2] for row in stored]),
        "search 4 letters, common": act("search-contacts", query=parts),
        "search 4 letters, rare": act("search-contacts", query=[name[2:6] for name in domains]),
        "search 4 letters, none": act("search-contacts", query=["zzzz", "wxyz", "qqqq"]),
        "search 4 digits": act("search-contacts", query=[row[1][6:10] for row in stored]),
        "search everybody": act("search-contacts", query=[""]),
        **{
            f"search tag, {name}": act("search-contacts", tag=[name])
            for name in ("newsletter", "old", "rare", "unused")
        },
        "search tag and 4 letters": act("search-contacts", tag=["newsletter"], query=parts),
        "search tag old and 4 letters": act("search-contacts", tag=["old"], query=parts),
        "list page 1": act("list-contacts", limit=[PAGE]),
        "list page in the middle": act("list-contacts", limit=[PAGE], cursor=[deep]),
        **{
            f"list tag, {name}": act("list-contacts", limit=[PAGE], tag=[name])
            for name in ("newsletter", "old", "rare", "unused")
        },
    }


def sample(database: str, number: int, chance: random.Random) -> list[tuple[str, str, str]]:
    """Ids, phones and e-mails of contacts that have all of them."""
    numbers = range(number // 5 + 1, number)
    some = [n for n in chance.sample(numbers, min(len(numbers), 10 * SAMPLES)) if n % 5]
    rows = "SELECT id, phone, email FROM contacts_contact WHERE tenant_id = %s AND phone = ANY(%s)"
    with psycopg.connect(database) as connection:
        ours, phones = tenant_id(connection, OUR_TENANT), [people.phone_of(n) for n in some]
        found = connection.execute(rows, [ours, phones])
        return [(pk.hex, phone, email) for pk, phone, email in found.fetchall()]


class Client:
    """Asks one server over one connection that is kept alive."""

    def __init__(self, installation: Installation) -> None:
        self.connection = HTTPConnection("127.0.0.1", installation.port)
        self.headers = {
            "Authorization": f"Bearer {installation.token}",
            "Content-Type": "application/json",
        }

    def ask(self, request: Request) -> Any:
        method = "GET" if request.body is None else "POST"
        body = json.dumps(request.body) if request.body else None
        self.connection.request(method, f"/api/v1/{request.path}", body, self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (request, content)
        return json.loads(content)

    def milliseconds(self, request: Request) -> float:
        start = time.perf_counter()
        self.ask(request)
        return (time.perf_counter() - start) * 1000

    def cursor_of_middle(self, number: int) -> str:
        """Behind the first half of the contacts, found as a reader finds it."""
        cursor = ""
        for _ in range(number // 2 // 500):
            request = Request("actions/list-contacts", {"limit": 500, "cursor": cursor})
            cursor = self.ask(request)["next_cursor"]
        self.connection.close()  # opened again when it is used: servers close those that idle
        return cursor


def read(url: str, number: int) -> dict[str, Any]:
    """How long one connection waits."""
    with ExitStack() as stack:
        clients, kinds = [], []
        for contacts in (FEW, number):
            database = stack.enter_context(copy(url, contacts))
            client = Client(stack.enter_context(served(database)))
            clients.append(client)
            kinds.append(kinds_of_requests(database, contacts, client.cursor_of_middle(contacts)))
        times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in kinds[0]}
        for number_of in range(-3, SAMPLES):  # some to warm up
            for name, kept in times.items():
                if sum(kept[1]) > PATIENCE:
                    continue
                for client, requests, series in zip(clients, kinds, kept, strict=True):
                    taken = client.milliseconds(requests[name]())
                    if number_of >= 0:
                        series.append(taken)
    return shown(times, number)


def shown(times: dict[str, tuple[list[float], list[float]]], number: int) -> dict[str, Any]:
    print(f"{'one connection, ms':32} {f'{FEW:,} stored':>18} {f'{number:,} stored':>18}")
    print(f"{'':32} {'p50':>9}{'p95':>9} {'p50':>9}{'p95':>9} {'ratio':>7} {': /me':>7}")
    _, mes = times["me"]
    figures = {}
    for name, series in times.items():
        few, many = map(median, series)
        few95, many95 = (statistics.quantiles(taken, n=20)[-1] for taken in series)
        ratio, to_me = many / few, many / median(mes)
        print(
            f"{name:32} {few:9.1f}{few95:9.1f} {many:9.1f}{many95:9.1f} {ratio:7.2f} {to_me:7.2f}"
        )
        figures[name] = {
            "few_p50_ms": round(few, 2),
            "few_p95_ms": round(few95, 2),
            "p50_ms": round(many, 2),
            "p95_ms": round(many95, 2),
            "ratio": round(ratio, 2),
            "to_me": round(to_me, 2),
        }
    return figures


# Memory


def memory(url: str, number: int) -> dict[str, Any]:
    """Of each process of a server, MiB, as it answers."""
    with copy(url, number) as database, served(database) as ours:
        load, asked, run = over_http(ours.port, ours.token), 0, FIRST_RUN
        workers = list(ends_below(ours.pid))
        samples = {}
        while asked < REQUESTS:
            done = load(run, 3 * SECONDS)
            assert not done.wrong, f"{done.wrong} answers were not 201"
            asked, run = asked + done.requests, run + 1
            samples[asked] = [memory_of(pid) for pid in workers]
            print(f"memory after {asked:7,} requests: {samples[asked]} MiB", flush=True)
    return {"mib_after_requests": samples}


def ends_below(pid: int) -> Iterator[int]:
    """Of the processes that this one has started, and those that they have, the last."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not children:
        yield pid
    for child in children:
        yield from ends_below(int(child))


# Indexes


def indexes(url: str, number: int) -> dict[str, Any]:
    """What a new row costs more for each index of contacts: microseconds, and bytes of the log
    that make it durable."""
    with copy(url, number) as database, psycopg.connect(database, autocommit=True) as connection:
        ours = tenant_id(connection, OUR_TENANT)
        values = {"tenant": ours, "first": number + 1, "number": number + ADDED}
        there = people.indexes_of(connection.cursor(), "contacts_contact")
        drops = {"": "SELECT 1"} | {index.name: index.drop for index in there}
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in drops}
        for _ in range(RUNS):
            for name, drop in drops.items():
                costs[name].append(cost_of_adding(connection, drop, values))
        sizes = {index.name: size_of(connection, index.name) for index in there}
    whole = middle(costs.pop(""))
    print(f"{'index':28} {'MiB':>7} {'µs a row':>9} {'log bytes':>9}")
    print(f"{'all, and the row':28} {'':7} {whole[0]:9.1f} {whole[1]:9.0f}")
    figures = {}
    for name, taken in costs.items():
        micros, log = (a - b for a, b in zip(whole, middle(taken), strict=True))
        print(f"{name:28} {sizes[name]:7.0f} {micros:9.1f} {log:9.0f}")
        figures[name] = {"mib": round(sizes[name]), "us": round(micros, 1), "log_bytes": round(log)}
    return {"all": {"us": round(whole[0], 1), "log_bytes": round(whole[1])}} | figures


def middle(costs: list[tuple[float, float]]) -> tuple[float, float]:
    return median(micros for micros, _ in costs), median(log for _, log in costs)


def cost_of_adding(
    connection: psycopg.Connection[Any], drop: str, values: dict[str, Any]
) -> tuple[float, float]:
    """Of a row, without the index that `drop` drops, for a moment."""
    position = "SELECT pg_current_wal_insert_lsn() - '0/0'"
    connection.execute("CHECKPOINT")  # the first change of a page behind it logs it as a whole
    with connection.transaction(force_rollback=True):
        connection.execute(drop)
        before, start = connection.execute(position).fetchone(), time.perf_counter()
        connection.execute(people.PEOPLE, values)
        seconds, after = time.perf_counter() - start, connection.execute(position).fetchone()
    assert before
    assert after
    return seconds / ADDED * 1e6, float(after[0] - before[0]) / ADDED


def size_of(connection: psycopg.Connection[Any], index: str) -> float:
    found = connection.execute("SELECT pg_relation_size(%s::regclass)", [index]).fetchone()
    assert found
    return found[0] / 2**20


median = statistics.median
PARTS = {"create": created, "read": read, "memory": memory, "indexes": indexes}


def main() -> None:
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        sys.exit(
            "Set DATABASE_URL to a PostgreSQL, or start with: python -m tests.support.postgres"
        )
    [number, *parts] = sys.argv[1:] or ["1000000"]
    with psycopg.connect(url) as connection:
        version = connection.execute("SHOW server_version").fetchone()
    machine = f"{WORKERS} processors, PostgreSQL {version[0] if version else ''}"
    day = datetime.now(UTC).date().isoformat()
    print(f"{int(number):,} contacts; {machine}; {day}", flush=True)
    figures = {part: PARTS[part](url, int(number)) for part in parts or [*PARTS][:3]}
    print(json.dumps({"date": day, "machine": machine, "contacts": int(number), **figures}))


if __name__ == "__main__":
    main()
