"""How long pages of the admin take with many contacts: python -m tests.benchmarks.admin [number]

On the PostgreSQL database of DATABASE_URL, which should be empty (see tests/postgres.py). Two
tenants have as many contacts each; a fifth of them came in one file long ago, so that filters and
the order of the list have nothing to do with each other.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 1_000_000
REPEATS = 5
FILL = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    opted_in_at, opted_out_at, last_message_at, total_messages, created_at, updated_at,
    name_folded, email_folded)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || substr(md5(%(tenant)s || i::text), 1, 20))::uuid,
    %(tenant)s::uuid,
    CASE WHEN i < %(number)s / 5 THEN '+49151' WHEN i %% 10 = 0 THEN '+1415' ELSE '+336' END
        || lpad(i::text, 8, '0'),
    name, email,
    array_to_string(array_remove(ARRAY[
        CASE WHEN i %% 2 = 0 THEN 'newsletter' END, CASE WHEN i %% 100 = 0 THEN 'vip' END,
        CASE WHEN i < %(number)s / 5 THEN 'old' END, CASE WHEN i %% 10000 = 1 THEN 'rare' END
    ], NULL), ','),
    jsonb_build_object('city', (ARRAY['Paris', 'Lyon', 'Lille', 'Nice'])[1 + i %% 4], 'order', i),
    CASE WHEN i < %(number)s / 5 THEN 'csv_import' WHEN i %% 7 = 0 THEN 'shopify' ELSE 'api' END,
    'fr', CASE WHEN i %% 3 = 0 THEN at END, CASE WHEN i %% 30 = 1 THEN at END,
    CASE WHEN i %% 2 = 0 THEN at + interval '1 day' END, i %% 5, at,
    at + (i %% 1000) * interval '1 minute', lower(name), email
FROM (
    SELECT i, at, name, CASE WHEN i %% 5 = 0 THEN ''
        ELSE lower(replace(name, ' ', '.')) || i || '@example.com' END AS email
    FROM (
        SELECT i, now() - (%(number)s - i) * interval '31 seconds' AS at,
            (ARRAY['Anna', 'Bernard', 'Chloe', 'David', 'Emma', 'Fabrice', 'Gael', 'Hugo'])
                [1 + (i * 7) %% 8] || ' '
            || (ARRAY['Martin', 'Durand', 'Petit', 'Leroy', 'Moreau', 'Simon', 'Roux'])
                [1 + (i * 13) %% 7] AS name
        FROM generate_series(1, %(number)s) AS i
    ) AS people
) AS contacts
"""
TAG = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT gen_random_uuid(), %(tenant)s::uuid, name, now()
FROM unnest(ARRAY['newsletter', 'vip', 'old', 'rare', 'unused']) AS name
"""
LINK = """
INSERT INTO contacts_contacttag (tenant_id, tag_id, contact_id)
SELECT contact.tenant_id, tag.id, contact.id
FROM contacts_contact AS contact
CROSS JOIN LATERAL unnest(string_to_array(contact.tags, ',')) AS carried (name)
JOIN contacts_tag AS tag ON tag.tenant_id = contact.tenant_id AND tag.name = carried.name
WHERE contact.tenant_id = %(tenant)s::uuid
"""
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


def fill(tenant: Any) -> dict[str, str]:
    """Gives the tenant its contacts; returns the ids of its tags."""
    from django.db import connection

    from contacts.sql import key

    values: dict[str, str | int] = {"tenant": key(tenant.pk), "number": NUMBER}
    with connection.cursor() as cursor:
        for statement in (FILL, TAG, LINK):
            cursor.execute(statement, values)
    return dict(tenant.tags.values_list("name", "pk"))


def milliseconds(ask: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    from datetime import timedelta

    from django.conf import settings
    from django.contrib.auth.models import Permission
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from contacts import bulk_actions
    from contacts.models import BulkAction
    from tenants.models import Tenant, User

    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    tenants = [Tenant.objects.create(name=name, slug=name) for name in ("big", "other")]
    tags, _ = map(fill, tenants)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    client = Client()
    user = User.objects.create_user("ann@example.com", tenant=tenants[0], is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="contacts"))
    client.force_login(user)
    address = reverse("admin:contacts_contact_changelist")

    def page(query: str) -> Any:
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == 200, query
        return answer

    day = (timezone.now() - timedelta(seconds=31 * NUMBER * 0.9)).date()
    page("")
    print(f"{NUMBER:,} contacts in each of two tenants; medians of {REPEATS}, whole pages")
    for name, query in QUERIES.items():
        asked = query.format(day=day, **tags)
        shown = page(asked).content.count(b"data-row")
        print(f"{name:32} {milliseconds(partial(page, asked)):7.0f} ms {shown:5} shown", flush=True)
    deep = tenants[0].contacts.order_by("-pk")[NUMBER // 2].pk
    print(f"{'page in the middle':32} {milliseconds(lambda: page(f'after={deep}')):7.0f} ms")
    for name in ("index", "contacts_contact_overview"):
        address = reverse(f"admin:{name}")
        print(f"{name:32} {milliseconds(partial(client.get, address)):7.0f} ms")

    chosen = tenants[0].contacts.filter(source="csv_import").values_list("pk", flat=True)
    start = time.perf_counter()
    kind = BulkAction.Kind.ADD_TAG
    action = bulk_actions.plan(tenants[0], f"user:{user.pk}", kind, "mailing", list(chosen))
    planned = time.perf_counter() - start
    bulk_actions.run(action.pk)
    seconds = time.perf_counter() - start
    print(f"tag {action.total:,} contacts: {seconds:.1f} s, of it {planned:.1f} s to settle whom")


if __name__ == "__main__":
    main()
