"""The processor time of get-contact by current and by former phone, beside an earlier commit.

`python -m tests.support.postgres python -m tests.benchmarks.get_contact --before REVISION`. The
servers have 5,000 contacts each, and ours has a former phone of each contact. Short runs alternate,
so that neighbours of the machine disturb both alike; the medians of the ratios count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import psycopg

from . import processor_time
from .create_contact import (
    HERE,
    ROOT,
    Contender,
    Run,
    Setting,
    install,
    own_database,
    served,
    stop_autovacuum,
    tidy,
    tree_of,
)

NUMBER, SECONDS, RUNS = 5_000, 3, 21
CURRENT, FORMER = '{"phone": "+1415%07d"}', '{"phone": "+1416%07d"}'
FILLED = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    total_messages, created_at, updated_at, name_folded, email_folded)
SELECT gen_random_uuid(), tenant.id, '+1415' || lpad(i::text, 7, '0'), 'Ann Smith',
    'ann' || i || '@example.com', 'vip,fr-FR', '{"city": "Paris"}', 'api', '', 0, now(), now(),
    'ann smith', 'ann' || i || '@example.com'
FROM tenants_tenant AS tenant, generate_series(0, %s - 1) AS i
"""
WITH_FORMER = """
INSERT INTO contacts_contact (id, tenant_id, phone, former_of_id, name, email, tags, metadata,
    source, locale, total_messages, created_at, updated_at, name_folded, email_folded)
SELECT gen_random_uuid(), tenant_id, '+1416' || substr(phone, 6), id, '', '', '', '{}', 'api', '',
    0, now(), now(), '', ''
FROM contacts_contact
"""


class Case(NamedTuple):
    contender: Contender
    database: str


def loaded(
    port: int, token: str, action: str, template: str, connections: int, number: int, seconds: int
) -> Run:
    """Whatever the number of the run is: the bodies are the same in all runs. `template`: see
    get_contact.lua."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", f"{HERE}/get_contact.lua"]
    command += [f"http://127.0.0.1:{port}/api/v1/actions/{action}", "--", token, template]
    shown = subprocess.run([*command, str(NUMBER)], check=True, capture_output=True, text=True)
    return Run(**json.loads(shown.stdout.splitlines()[-1]))


@contextmanager
def cases(url: str, before: str) -> Iterator[dict[str, Case]]:
    with ExitStack() as stack:
        found = {}
        for name, revision in (("now", ""), ("before", before)):
            database = stack.enter_context(own_database(url, f"bench_{name}_{os.getpid()}"))
            root = stack.enter_context(tree_of(revision)) if revision else ROOT
            install(database, root)
            with psycopg.connect(database) as connection:
                connection.execute(FILLED, [NUMBER])
                if not revision:
                    connection.execute(WITH_FORMER)
            stop_autovacuum(database)
            tidy(database)
            installation = stack.enter_context(served(database, root))
            for phone, template in (("current", CURRENT), ("former", FORMER)):
                load = partial(
                    loaded, installation.port, installation.token, "get-contact", template,
                    Setting().connections,
                )  # fmt: skip
                if not (revision and template == FORMER):
                    found[f"{name}, {phone}"] = Case(Contender(load, installation.pid), database)
        yield found


def ratios(runs: dict[str, list[Run]], one: str, other: str) -> str:
    found = [a.sum_ms / b.sum_ms for a, b in zip(runs[one], runs[other], strict=True)]
    low, middle, high = statistics.quantiles(found, n=4)
    return f"{one} : {other} = {middle:.3f} (quartiles {low:.3f} and {high:.3f})"


def in_turns(url: str, found: dict[str, Case], runs: int) -> dict[str, list[Run]]:
    """The runs of all cases, in pairs that took place side by side."""
    postmaster = processor_time.postmaster(url)
    done: dict[str, list[Run]] = {name: [] for name in found}
    for number in range(runs + 2):
        # In both orders, because whoever runs first after a pause is often slower.
        for name in [*found][:: (-1) ** number]:
            run = found[name].contender.measure(postmaster, number, SECONDS)
            assert not run.wrong, f"{name}: {run.wrong} answers were not 200"
            print(f"{name:36} {run.rate:7,.0f}/s {run.sum_ms:7.3f} ms", file=sys.stderr)
            if number > 1:  # the first two warm up
                done[name].append(run)
    for name, some in done.items():
        server, postgres = (
            statistics.median(getattr(run, figure) for run in some)
            for figure in ("server_ms", "postgres_ms")
        )
        print(f"{name:36} {server:.3f} ms of the server + {postgres:.3f} ms of PostgreSQL")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures get-contact beside an earlier commit.")
    parser.add_argument("--before", metavar="REVISION", required=True)
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    url = os.environ["DATABASE_URL"]
    with cases(url, arguments.before) as found:
        runs = in_turns(url, found, arguments.runs)
    print(ratios(runs, "now, current", "before, current"))
    print(ratios(runs, "now, former", "now, current"))


if __name__ == "__main__":
    main()
