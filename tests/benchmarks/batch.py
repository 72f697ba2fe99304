"""How many contacts a second create-contacts brings in, 1,000 at a time, each with two tags and
metadata: beside create-contact, and beside one INSERT … ON CONFLICT of the same rows.

`DATABASE_URL=… python -m tests.benchmarks.batch`; on a PostgreSQL of its own: `python -m
tests.support.postgres python -m tests.benchmarks.batch`. Uses a test database, which it makes and
removes. As many callers at a time as there are processors (one on SQLite), each a process that runs
the server's own code without a network.

All take turns. In a short turn, one checkpoint or vacuum may decide the rate. So each turn has many
commits, and begins after a VACUUM and a checkpoint. The processor time, of the callers and
PostgreSQL together, is the steadier figure.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import django
from django.conf import settings

from qyvo.garbage import keep_loaded, search_rarely

from . import processor_time
from .create_contact import stop_autovacuum, tidy

ROWS = 1000
BATCHES = 20  # of each caller in a turn
TURNS = 5

INSERT, SINGLE = "INSERT … ON CONFLICT, rows alone", "create-contact"
PLAIN = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    total_messages, created_at, updated_at, name_folded, email_folded)
SELECT gen_random_uuid(), (SELECT id FROM tenants_tenant WHERE slug = 'peer'), phone, name, email,
    tags, metadata, 'api', '', 0, now(), now(), lower(name), lower(email)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[])
    AS given (phone, name, email, tags, metadata)
ON CONFLICT (tenant_id, phone) DO UPDATE SET name = EXCLUDED.name, email = EXCLUDED.email,
    tags = EXCLUDED.tags, metadata = EXCLUDED.metadata, updated_at = EXCLUDED.updated_at
"""


def batch(number: int, name: str = "Ann") -> list[dict[str, Any]]:
    """1,000 contacts of which no other `number` has one."""
    return [
        {
            "phone": f"+33 6 {number:05}{n:03}",
            "name": f"{name} {n}",
            "email": f"ann{n}@example.com",
            "tags": [f"t{n % 7}", f"u{n % 50}"],
            "metadata": {"order": n, "city": "Paris"},
        }
        for n in range(ROWS)
    ]


# Each brings one batch in


@cache
def api(token: str) -> Any:
    """A client that loads the middleware once, as a server does."""
    from tests.support.api import Api

    return Api(token)


def in_batches(token: str, status: str, name: str, number: int) -> None:
    answer = api(token).act("create-contacts", contacts=batch(number, name))
    assert answer.json()[status] == ROWS, answer.content[:300]


def one_by_one(token: str, number: int) -> None:
    """A tenth of it."""
    for contact in batch(number)[: ROWS // 10]:
        assert api(token).create(**contact).status_code == 201


def plainly(number: int) -> None:
    """The rows alone, in one statement: no rules, no tags linked, no change log, no answer."""
    from django.db import connection

    columns = zip(
        *(
            (
                row["phone"].replace(" ", ""),
                row["name"],
                row["email"],
                ",".join(row["tags"]),
                json.dumps(row["metadata"]),
            )
            for row in batch(number)
        ),
        strict=True,
    )
    with connection.cursor() as cursor:
        cursor.execute(PLAIN, [[*column] for column in columns])


def turn(bring: Callable[[int], None], numbers: range) -> None:
    for number in numbers:
        bring(number)


class Turn(NamedTuple):
    """`rate`: contacts a second; `spent`: microseconds of processor time for each contact."""

    rate: float
    spent: float


def measured(
    callers: "Callers", bring: Callable[[int], None], first: int, contacts: int, database: int
) -> Turn:
    """A turn in which each caller `bring`s so many `contacts` in at a time, in batches from the
    number `first` on. `database`: the process that started PostgreSQL's, or 0."""
    starts = [range(first + n * BATCHES, first + (n + 1) * BATCHES) for n in range(callers.count)]
    before, start = spent(database), time.perf_counter()
    callers.map(partial(turn, bring), starts)
    seconds = time.perf_counter() - start
    number = callers.count * BATCHES * contacts
    return Turn(number / seconds, 1e6 * (spent(database) - before) / number)


def spent(database: int) -> float:
    return sum(map(processor_time.of_processes, filter(None, [os.getpid(), database])))


def url_of(connection: Any) -> str:
    """Of the test database; empty for SQLite."""
    if connection.vendor != "postgresql":
        return ""
    path = f"/{connection.settings_dict['NAME']}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=path).geturl()


def settle() -> None:
    """As a process of the server does."""
    search_rarely()
    keep_loaded()


class Callers:
    """`count` of them at a time. SQLite's test database is in memory: only this process sees it."""

    def __init__(self, *, is_postgresql: bool) -> None:
        self.count = len(os.sched_getaffinity(0)) if is_postgresql else 1
        context = get_context("fork")
        self.pool = None
        if is_postgresql:
            self.pool = ProcessPoolExecutor(self.count, context, initializer=settle)

    def map(self, function: Callable[[Any], None], items: list[Any]) -> None:
        [*(self.pool.map if self.pool else map)(function, items)]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.RATELIMIT_DEFAULT = ""
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        report(connection)
    finally:
        teardown_databases(databases, verbosity=0)


def report(connection: Any) -> None:
    from tenants.models import ApiToken, Tenant, User

    tenant = Tenant.objects.create(name="Acme", slug="acme")
    Tenant.objects.create(name="Peer", slug="peer")
    user = User.objects.create_user("ann@acme.example", tenant=tenant)
    token = ApiToken.objects.issue(user, "benchmark").plaintext
    is_postgresql = connection.vendor == "postgresql"
    if is_postgresql:
        connection.close()  # callers have their own
    callers = Callers(is_postgresql=is_postgresql)
    callers.map(partial(in_batches, token, "created", "Ann"), [*range(callers.count)])  # warms up
    turns = in_turns(url_of(connection), callers, token)
    day = datetime.now(UTC).date().isoformat()
    print(
        f"{connection.display_name}, {callers.count} callers at a time, {day}; contacts a second,"
        f" medians of {TURNS} × {callers.count * BATCHES} batches of {ROWS}; processor time for"
        " one contact"
    )
    print(f"{'':34} {'per second':>10} {'it : INSERT':>12} {'it : single':>12} {'µs':>6}")
    for name, own in turns.items():
        rate, used = (statistics.median(figures) for figures in zip(*own, strict=True))
        ratios = [rate_ratio(own, turns.get(base, [])) for base in (INSERT, SINGLE)]
        print(f"{name:34} {rate:10,.0f} {ratios[0]:12.2f} {ratios[1]:12.2f} {used:6,.0f}")


def in_turns(url: str, callers: "Callers", token: str) -> dict[str, list[Turn]]:
    contenders = {INSERT: (plainly, 0, ROWS)} if url else {}
    contenders[SINGLE] = partial(one_by_one, token), 50_000, ROWS // 10
    for status, name in [("created", "Ann"), ("unchanged", "Ann"), ("updated", "Bob")]:
        contenders[f"create-contacts, {status}"] = (
            partial(in_batches, token, status, name), 0, ROWS,
        )  # fmt: skip
    database = processor_time.postmaster(url) if url else 0
    if url:
        stop_autovacuum(url)
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for number in range(1, TURNS + 1):
        for name, (bring, first, contacts) in contenders.items():
            if url:
                tidy(url)
            first += number * callers.count * BATCHES
            turns[name].append(measured(callers, bring, first, contacts, database))
    return turns


def rate_ratio(own: list[Turn], others: list[Turn]) -> float:
    """The median of the ratios between turns that took place side by side."""
    pairs = zip(own, others, strict=False)
    ratios = [one.rate / other.rate for one, other in pairs]
    return statistics.median(ratios) if ratios else float("nan")


if __name__ == "__main__":
    main()
