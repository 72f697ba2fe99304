"""How long the first page of each filter of the API takes with many contacts.

`DATABASE_URL=postgres://… python -m tests.benchmarks.filters [CONTACTS]`, for a server whose role
may create databases. Contacts, 1,000,000 by default, are made as for `growth`.
"""

import json
import logging
import os
import sys
import time
from functools import partial
from typing import Any

import django

from .admin import milliseconds
from .growth import OUR_TENANT, copy

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 1_000_000
FILTERS: dict[str, dict[str, Any]] = {
    "no filter": {},
    **{f"tags_any {name}": {"tags_any": [name]} for name in ("newsletter", "old", "rare", "none")},
    "tags_any of three": {"tags_any": ["vip", "old", "rare"]},
    **{f"tags_all {name}": {"tags_all": [name]} for name in ("newsletter", "vip", "old", "rare")},
    "tags_all of two": {"tags_all": ["newsletter", "old"]},
    **{f"tags_none {name}": {"tags_none": [name]} for name in ("newsletter", "old")},
    **{f"consent {name}": {"consent": name} for name in ("opted_in", "opted_out", "unknown")},
    "source csv_import": {"source": ["csv_import"]},
    "source widget (nobody)": {"source": ["widget"]},
    "country FR": {"country": ["FR"]},
    "country CA": {"country": ["CA"]},
    "country JP, DE": {"country": ["JP", "DE"]},
    "has_email true": {"has_email": True},
    "has_email false": {"has_email": False},
    "created, a day long ago": {"created_since": "{day}", "created_before": "{next}"},
    "updated, a day long ago": {"updated_since": "{day}", "updated_before": "{next}"},
    "updated_since, half": {"updated_since": "{half}"},
    "last_message_since": {"last_message_since": "2026-01-01T00:00:00Z"},
    "never_messaged": {"never_messaged": True},
    "metadata city=Paris": {"metadata": {"city": "Paris"}},
    "metadata order=77 (one)": {"metadata": {"order": 77}},
    "metadata key (nobody)": {"metadata": {"nobody": {"exists": True}}},
    "metadata without key": {"metadata": {"city": {"exists": False}}},
}


def main() -> None:
    with copy(os.environ["DATABASE_URL"], NUMBER) as database:
        os.environ["DATABASE_URL"] = database
        measure()


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    from datetime import timedelta

    from django.conf import settings
    from django.core.management import call_command
    from django.utils import timezone

    from tenants.models import ApiToken, Tenant, User
    from tests.support.api import Api

    logging.disable()
    settings.ALLOWED_HOSTS, settings.RATELIMIT_DEFAULT = ["testserver"], ""
    call_command("migrate", verbosity=0)
    tenant = Tenant.objects.get(slug=OUR_TENANT)
    user = User.objects.create_user("ann@example.com", tenant=tenant)
    api = Api(ApiToken.objects.issue(user, "benchmark").plaintext)
    now = timezone.now()
    day = now - timedelta(seconds=31 * NUMBER * 0.9)
    moments = {"{day}": day, "{next}": day + timedelta(days=1),
               "{half}": now - timedelta(seconds=31 * NUMBER / 2)}  # fmt: skip

    def ask(action: str, **body: Any) -> Any:
        answer = api.act(action, **body)
        assert answer.status_code in (200, 202), answer.json()
        return answer.json()

    def partial_pages(chosen: Any) -> int:
        """How many pages of list-contacts a reader gets before one that is not partial."""
        number, cursor = 0, None
        while True:
            answer = api.act("list-contacts", filter=chosen, cursor=cursor)
            if "Qyvo-Page" not in answer.headers:
                return number
            number, cursor = number + 1, answer.json()["next_cursor"]

    print(
        f"{NUMBER:,} contacts; medians in ms: list-contacts, search-contacts, to count; matching;"
    )
    print("partial pages before the first one of list-contacts that is not partial")
    for name, given in FILTERS.items():
        text = json.dumps(given)
        for placeholder, moment in moments.items():
            text = text.replace(placeholder, moment.isoformat())
        chosen = json.loads(text)
        listed = milliseconds(partial(ask, "list-contacts", filter=chosen))
        found = milliseconds(partial(ask, "search-contacts", filter=chosen))
        count, number = 0.0, 0
        if chosen:
            start = time.perf_counter()
            number = ask("bulk-delete", filter=chosen, dry_run=True)["total"]
            count = (time.perf_counter() - start) * 1000
        figures = f"{listed:7.0f} {found:7.0f} {count:7.0f} {number:9,} {partial_pages(chosen):3}"
        print(f"{name:26} {figures}", flush=True)
    print(f"{'list-fields':26} {milliseconds(partial(ask, 'list-fields')):7.0f}")


if __name__ == "__main__":
    main()
