"""Reading one contact and searching contacts, beside FastAPI and asyncpg.

`python -m tests.support.postgres python -m tests.benchmarks.reading [--runs 7]`. Each server has
the same 5,000 contacts with two tags each. Short runs alternate, so that neighbours of the machine
disturb both alike; the medians of the ratios count.
"""

import argparse
import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg

from .create_contact import (
    Contender,
    Run,
    Setting,
    fastapi_served,
    install,
    own_database,
    served,
    stop_autovacuum,
    tidy,
)
from .get_contact import CURRENT, FILLED, NUMBER, Case, in_turns, loaded, ratios

RUNS = 7
# Names and e-mail addresses are those of `FILLED`.
READS = {
    "get-contact": ("get-contact", CURRENT),
    "search for many": ("search-contacts", '{"query": "ann smith"}'),
    "search for one": ("search-contacts", '{"query": "ann%d@"}'),
}
PEER_FILLED = """
INSERT INTO contact (id, tenant_id, phone, name, email, metadata)
SELECT gen_random_uuid(), tenant.id, '+1415' || lpad(i::text, 7, '0'), 'Ann Smith',
    'ann' || i || '@example.com', '{"city": "Paris"}'
FROM tenant, generate_series(0, %s - 1) AS i;
"""
PEER_TAGS = """
INSERT INTO tag SELECT gen_random_uuid(), id, unnest(ARRAY['vip', 'fr-FR']) FROM tenant;
INSERT INTO contact_tag SELECT contact.id, tag.id FROM contact, tag
"""


@contextmanager
def cases(url: str) -> Iterator[dict[str, Case]]:
    """Each read of each server, by 'SERVER, READ'."""
    with ExitStack() as stack:
        found = {}
        for name in ("ours", "FastAPI"):
            database = stack.enter_context(own_database(url, f"bench_{name}_{os.getpid()}"))
            if name == "ours":
                install(database)
                ours = stack.enter_context(served(database))
                pid, port, token = ours.pid, ours.port, ours.token
            else:
                pid, port, [token] = stack.enter_context(fastapi_served(1, database))
            with psycopg.connect(database) as connection:
                connection.execute(FILLED if name == "ours" else PEER_FILLED, [NUMBER])
                if name != "ours":
                    connection.execute(PEER_TAGS)
            stop_autovacuum(database)
            tidy(database)
            for read, (action, template) in READS.items():
                load = partial(loaded, port, token, action, template, Setting().connections)
                found[f"{name}, {read}"] = Case(Contender(load, pid), database)
        yield found


def rate_ratio(runs: dict[str, list[Run]], one: str, other: str) -> float:
    pairs = zip(runs[one], runs[other], strict=True)
    return statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures reads beside FastAPI and asyncpg.")
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    url = os.environ["DATABASE_URL"]
    with cases(url) as found:
        runs = in_turns(url, found, arguments.runs)
    for read in READS:
        one, other = f"ours, {read}", f"FastAPI, {read}"
        print(f"{read}: {rate_ratio(runs, one, other):.2f} of the requests a second")
        print(f"processor time: {ratios(runs, one, other)}")


if __name__ == "__main__":
    main()
