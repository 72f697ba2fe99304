"""How long create-contacts takes for 1,000 contacts, each with two tags and metadata.

`DATABASE_URL=… python -m tests.benchmarks.batch`; on a PostgreSQL of its own:
`python -m tests.postgres python -m tests.benchmarks.batch`. Uses a test database, which it makes
and removes. In one process without a network, so that the time is the server's own.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

ROUNDS = 15
ROWS = 1000


def batch(number: int, name: str = "Ann") -> list[dict[str, Any]]:
    return [
        {
            "phone": f"+1 (415) {200 + number}-{n:04}",
            "name": f"{name} {n}",
            "email": f"ann{n}@example.com",
            "tags": [f"t{n % 7}", f"u{n % 50}"],
            "metadata": {"order": n, "city": "Paris"},
        }
        for n in range(ROWS)
    ]


def median(call: Callable[[int], Any]) -> float:
    """Milliseconds."""
    times = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


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
    from contacts.models import Contact
    from tenants.models import ApiToken, Tenant, User
    from tests.api import Api

    tenant = Tenant.objects.create(name="Acme", slug="acme")
    user = User.objects.create_user("ann@acme.example", tenant=tenant)
    api = Api(ApiToken.objects.issue(user, "benchmark").plaintext)

    def send(contacts: list[dict[str, Any]], status: str) -> None:
        answer = api.act("create-contacts", contacts=contacts)
        assert answer.json()[status] == ROWS, answer.content[:300]

    def plain_insert(number: int) -> None:
        """The rows alone, in one statement: no phones read, no tags linked, no answer."""
        rows = [
            Contact(
                tenant=tenant,
                phone=f"+1416{200 + number}{n:04}",
                name=row["name"],
                email=row["email"],
                tags=row["tags"],
                metadata=row["metadata"],
            )
            for n, row in enumerate(batch(number))
        ]
        Contact.objects.bulk_create(rows)

    send(batch(99), "created")  # warms up
    cases: dict[str, Callable[[int], Any]] = {
        "created": lambda number: send(batch(number), "created"),
        "unchanged": lambda number: send(batch(number), "unchanged"),
        "updated": lambda number: send(batch(number, name=f"Bob {number}"), "updated"),
    }
    base = median(plain_insert)
    print(f"{connection.display_name}, {ROWS} contacts, median of {ROUNDS}")
    print(f"{'bulk_create of the same rows':30} {base:7.0f} ms    1.00")
    for name, call in cases.items():
        took = median(call)
        print(f"{'create-contacts, ' + name:30} {took:7.0f} ms  {took / base:6.2f}")
    body = json.dumps({"contacts": batch(0)})
    parse = median(lambda _: json.loads(body))
    print(f"{'json.loads of the body':30} {parse:7.0f} ms  {parse / base:6.2f}")


if __name__ == "__main__":
    main()
