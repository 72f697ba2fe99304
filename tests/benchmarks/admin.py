"""How long pages of the admin take with many contacts.

`DATABASE_URL=postgres://… python -m tests.benchmarks.admin [CONTACTS]`, for a server whose role may
create databases. Contacts, 1,000,000 by default, are made as for `growth`.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

from .growth import OUR_TENANT, copy

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 1_000_000
REPEATS = 5
QUERIES = {
    "first page": "",
    "by phone": "o=2",
    "by last activity": "o=-6",
    "oldest first": "o=7",
    **{f"tag {name}": f"tag={{{name}}}" for name in ("newsletter", "vip", "old", "rare", "unused")},
    **{f"without {name}": f"without={{{name}}}" for name in ("newsletter", "old", "unused")},
    **{f"country {code}": f"country={code}" for code in ("FR", "US", "CA", "DE", "JP")},
    "source csv_import": "source=csv_import",
    "source widget (none)": "source=widget",
    "consent in": "consent=in",
    "consent out": "consent=out",
    "consent none": "consent=none",
    "with e-mail": "has_email=yes",
    "without e-mail": "has_email=no",
    "created, one day long ago": "created_from={day}&created_to={day}",
    "updated, one day long ago": "updated_from={day}&updated_to={day}",
    "metadata city=Paris": "metadata_key=city&metadata_value=Paris",
    "metadata order=77 (one)": "metadata_key=order&metadata_value=77",
    "metadata key (none)": "metadata_key=nobody",
    "old, no e-mail, opted out": "tag={old}&has_email=no&consent=out",
    "csv_import by last activity": "source=csv_import&o=-6",
    "search anna": "q=anna",
    "search martin anna": "q=martin+anna",
    "search zzzz (none)": "q=zzzz",
    "search qx (none)": "q=qx",
    "search 77": "q=77",
    "search a phone": "q=%2B33+6+00+99+99+99",
    "search a national phone": "q=06+00+99+99+99",
    "search an e-mail": "q=anna.martin5",
}


def milliseconds(ask: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main() -> None:
    with copy(os.environ["DATABASE_URL"], NUMBER) as database:
        os.environ["DATABASE_URL"] = database
        measure()


def measure() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    from datetime import timedelta

    from django.conf import settings
    from django.contrib.auth.models import Permission
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from contacts.admin.overview import PERIODS
    from contacts.jobs import bulk_actions
    from contacts.models import BulkAction
    from tenants.models import Tenant, User

    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    tenant = Tenant.objects.get(slug=OUR_TENANT)
    tags = dict(tenant.tags.values_list("name", "pk"))
    client = Client()
    user = User.objects.create_user("ann@example.com", tenant=tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="contacts"))
    client.force_login(user)
    address = reverse("admin:contacts_contact_changelist")

    def page(query: str) -> Any:
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == 200, query
        return answer

    day = (timezone.now() - timedelta(seconds=31 * NUMBER * 0.9)).date()
    page("")
    print(f"{NUMBER:,} contacts; medians of {REPEATS}, whole pages")
    for name, query in QUERIES.items():
        asked = query.format(day=day, **tags)
        shown = page(asked).content.count(b"data-row")
        print(f"{name:32} {milliseconds(partial(page, asked)):7.0f} ms {shown:5} shown", flush=True)
    deep = tenant.contacts.order_by("-pk")[NUMBER // 2].pk
    print(f"{'page in the middle':32} {milliseconds(lambda: page(f'after={deep}')):7.0f} ms")
    overview, find = (reverse(f"admin:contacts_contact_{name}") for name in ("overview", "find"))
    for asked in (
        reverse("admin:index"), *(f"{overview}?period={period}" for period in PERIODS),
        *(f"{find}?{query}" for query in QUERIES.values() if query.startswith("q=")),
    ):  # fmt: skip
        print(f"{asked:60} {milliseconds(partial(client.get, asked)):7.0f} ms", flush=True)

    chosen = tenant.contacts.filter(source="csv_import").values_list("pk", flat=True)
    start = time.perf_counter()
    kind = BulkAction.Kind.ADD_TAG
    action = bulk_actions.plan(tenant, f"user:{user.pk}", kind, "mailing", list(chosen))
    planned = time.perf_counter() - start
    bulk_actions.run(action)
    seconds = time.perf_counter() - start
    print(f"tag {action.total:,} contacts: {seconds:.1f} s, of it {planned:.1f} s to settle whom")


if __name__ == "__main__":
    main()
