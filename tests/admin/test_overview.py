"""The first page of the admin: its numbers, and who may see them."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.admin import describe, overview
from contacts.admin.overview import Bar, Growth, months
from contacts.jobs import contact_counting
from contacts.models import Contact, ContactCounts, Import
from tenants.fields import first_ulid, new_ulid
from tenants.models import ApiToken, User
from tests.support.admin import logged_in, text_of
from tests.support.clock import Clock
from tests.support.factories import ContactFactory, UserFactory
from tests.support.sql import statements

pytestmark = pytest.mark.usefixtures("noon")
INDEX, OVERVIEW = reverse("admin:index"), reverse("admin:contacts_contact_overview")
LIST = reverse("admin:contacts_contact_changelist")


def staff_of(member: SimpleNamespace, *codenames: str) -> Client:
    """A staff user with these permissions; without arguments, with all of them."""
    user = UserFactory.create(tenant=member.tenant, is_staff=True)
    permissions = Permission.objects.filter(content_type__app_label__in=["contacts", "tenants"])
    user.user_permissions.set(
        permissions.filter(codename__in=codenames) if codenames else permissions
    )
    return logged_in(user)


def tiles(client: Client, **asked: str) -> dict[str, Any]:
    answer = client.get(OVERVIEW, asked)
    assert answer.status_code == 200
    return answer.context_data or {}


def come(member: SimpleNamespace, days_ago: int, **fields: Any) -> Contact:
    """A contact that was added so many days ago."""
    at = timezone.now() - timedelta(days=days_ago)
    pk = first_ulid(at)[:10] + new_ulid()[10:]
    return ContactFactory.create(tenant=member.tenant, pk=pk, created_at=at, **fields)


def test_a_source_of_a_newer_version_is_counted_under_its_name(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, source="telegram")
    [bar] = tiles(staff_of(acme))["kinds"]["sources"]
    assert (bar.label, bar.number) == ("telegram", 1)


def test_the_first_page_loads_its_tiles_and_has_a_search_box(acme: SimpleNamespace) -> None:
    page = staff_of(acme).get(INDEX).content.decode()
    assert f'hx-get="{OVERVIEW}"' in page
    assert f'action="{LIST}"' in page


@pytest.mark.both
def test_new_contacts_are_counted_by_day_beside_those_of_the_period_before(
    acme: SimpleNamespace,
) -> None:
    for days_ago, source in (
        (0, "api"), (0, "csv_import"), (1, "manual"), (29, "shopify"), (30, "api"), (31, "api"),
        (59, "csv_import"), (60, "api"), (400, "api"),
    ):  # fmt: skip
        come(acme, days_ago, source=source)
    new = tiles(staff_of(acme))["new"]
    assert new["total"] == Growth(4, 3)
    assert new["others"] == Growth(3, 2)
    assert new["imported"] == Growth(1, 1)
    assert [growth.percent for growth in (new["total"], new["others"])] == ["+33%", "+50%"]
    assert len(new["parts"]) == 30
    since = timezone.localdate() - timedelta(days=29)
    assert new["since"] == since
    assert new["parts"][0] == (f"{since:%m-%d}", 1, 0)
    assert [numbers for _, *numbers in new["parts"][-2:]] == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("period", "parts", "total"),
    [
        ("7", 7, Growth(1, 1)), ("90", 90, Growth(3, 1)), ("12m", 12, Growth(4, 0)),
        ("x", 30, Growth(2, 0)),
    ],
)  # fmt: skip
def test_people_choose_the_period(
    acme: SimpleNamespace, period: str, parts: int, total: Growth
) -> None:
    for days_ago in (6, 13, 60, 100):
        come(acme, days_ago)
    client = staff_of(acme)
    new = tiles(client, period=period)["new"]
    assert (len(new["parts"]), new["total"]) == (parts, total)
    assert f"{OVERVIEW}?period={period}" in client.get(INDEX, {"period": period}).content.decode()


def test_months_begin_on_their_first_day() -> None:
    assert [f"{day}" for day in months(4, date(2026, 2, 28))] == [
        "2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01",
    ]  # fmt: skip


def test_days_are_days_of_the_admins_time_zone(acme: SimpleNamespace, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Kiritimati"  # 14 hours before UTC
    at = datetime.combine(timezone.localdate(), datetime.min.time(), UTC) - timedelta(hours=1)
    pk = first_ulid(at)[:10] + new_ulid()[10:]
    ContactFactory.create(tenant=acme.tenant, pk=pk, created_at=at)
    days = {day: number for day, number, _ in tiles(staff_of(acme))["new"]["parts"]}
    assert days[f"{timezone.localdate(at):%m-%d}"] == 1
    assert timezone.localdate(at) != at.date()


def test_contacts_are_counted_by_source_and_consent_largest_first(
    acme: SimpleNamespace,
) -> None:
    at = timezone.now()
    for source, consent in (
        ("api", {}), ("api", {"opted_in_at": at}), ("shopify", {"opted_out_at": at}),
        ("api", {"opted_in_at": at, "opted_out_at": at}), ("manual", {"opted_out_at": at}),
    ):  # fmt: skip
        ContactFactory.create(tenant=acme.tenant, source=source, **consent)
    kinds = tiles(staff_of(acme))["kinds"]
    assert kinds["total"] == 5
    assert kinds["sources"][0] == Bar("API", 3, 100, "source=api")
    assert {bar.label: bar.percent for bar in kinds["sources"][1:]} == {"Shopify": 33, "Manual": 33}
    assert [(bar.label, bar.number) for bar in kinds["consents"]] == [
        ("Opted out", 3), ("Opted in", 1), ("No decision", 1),
    ]  # fmt: skip


def test_each_bar_links_to_the_contacts_that_it_counts(acme: SimpleNamespace) -> None:
    at = timezone.now()
    for number in range(6):
        come(acme, number, source=["api", "manual"][number % 2], tags=["vip", "b"][: number % 3],
             opted_in_at=at if number % 2 else None)  # fmt: skip
    client = staff_of(acme)
    shown = tiles(client)
    bars = [*shown["kinds"]["sources"], *shown["kinds"]["consents"], *shown["tags"]]
    assert {"vip", "b"} <= {bar.label for bar in bars}
    for bar in bars:
        found = client.get(f"{LIST}?{bar.query}").context["cl"].result_list
        assert len(found) == bar.number, bar
    since = client.get(LIST, {"created_from": shown["new"]["since"]}).context["cl"].result_list
    assert len(since) == shown["new"]["total"].number


def test_the_tags_with_the_most_contacts_are_shown(acme: SimpleNamespace) -> None:
    for number in range(1, 11):
        ContactFactory.create(tenant=acme.tenant, tags=[f"t{most}" for most in range(number)])
    shown = [(bar.label, bar.number) for bar in tiles(staff_of(acme))["tags"]]
    assert shown == [(f"t{number}", 10 - number) for number in range(8)]


def test_the_last_imports_and_the_tokens_that_expire_soon_are_shown(acme: SimpleNamespace) -> None:
    for number in range(6):
        Import.objects.create(tenant=acme.tenant, file_name=f"{number}.csv")
    for name, days in (("later", 13), ("soon", 1), ("far", 15), ("gone", -1)):
        ApiToken.objects.issue(acme.user, name, expires_at=timezone.now() + timedelta(days=days))
    shown = tiles(staff_of(acme))
    assert [job.file_name for job in shown["imports"]] == [f"{n}.csv" for n in (5, 4, 3, 2, 1)]
    assert [token.name for token in shown["tokens"]] == ["soon", "later"]


def test_nothing_of_another_tenant_is_counted_or_named(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    come(globex, 1, tags=["secret"])
    Import.objects.create(tenant=globex.tenant, file_name="theirs.csv")
    soon = timezone.now() + timedelta(days=1)
    ApiToken.objects.issue(globex.user, "their token", expires_at=soon)
    for member in (acme, outsider):
        client = staff_of(member)
        shown = tiles(client)
        assert (shown["new"]["total"], shown["kinds"]["total"]) == (Growth(0, 0), 0)
        assert not shown["tags"]
        page = client.get(OVERVIEW).content.decode()
        assert not any(word in page for word in ("secret", "theirs.csv", "their token"))
    root = tiles(logged_in(User.objects.create_superuser("root@example.com")))
    assert root["kinds"]["total"] == 1
    assert [bar.label for bar in root["tags"]] == ["secret"]


@pytest.mark.parametrize(
    ("codename", "shown"),
    [
        ("view_contact", {"new", "kinds"}), ("view_tag", {"tags"}),
        ("view_import", {"imports"}), ("view_apitoken", {"tokens"}),
    ],
)  # fmt: skip
def test_a_tile_is_shown_to_users_who_may_view_its_rows(
    acme: SimpleNamespace, codename: str, shown: set[str]
) -> None:
    client = staff_of(acme, codename)
    every = {"new", "kinds", "tags", "imports", "tokens"}
    assert every & {*tiles(client)} == shown
    assert ('role="search"' in client.get(INDEX).content.decode()) == (codename == "view_contact")


@pytest.mark.both
def test_counts_of_many_contacts_are_stored_and_renewed_by_a_worker(
    acme: SimpleNamespace, globex: SimpleNamespace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_counting, "MAX_READ", 0)
    stored = ContactCounts.objects.filter(tenant__in=[acme.tenant, globex.tenant])
    gone = come(acme, 1, source="csv_import", opted_in_at=timezone.now())
    come(acme, 3)
    come(globex, 3)
    client, root = staff_of(acme), logged_in(User.objects.create_superuser("root@example.com"))
    page = client.get(OVERVIEW)
    assert (page.context_data or {})["new"]["total"] == Growth(2, 0)
    assert "so this page had to" in text_of(page)
    gone.delete()
    page = client.get(OVERVIEW, {"period": "7"})
    shown: Any = page.context_data
    assert (shown["new"]["imported"], shown["kinds"]["total"]) == (Growth(1, 0), 2)
    assert shown["kinds"]["consents"][0] == Bar("Opted in", 1, 100, "consent=in")
    assert f"Counted at {describe.local_time(shown['counted_at'])}." in text_of(page)
    assert tiles(root)["kinds"]["total"] == 3, "of each tenant, stored or not"
    with monkeypatch.context() as few:
        for module in (contact_counting, overview):
            few.setattr(module, "MAX_TENANTS", 1)
        assert "more than 1 tenants are not counted beforehand" in text_of(root.get(OVERVIEW))
    stored.update(counted_at=timezone.now() - 2 * contact_counting.REFRESHED_AFTER)
    contact_counting.refresh_all()
    shown = tiles(client)
    assert (shown["new"]["total"], shown["was_slow"]) == (Growth(1, 0), False)
    counts = stored.get(tenant=acme.tenant)
    clock.offset = timedelta(hours=2)
    counts.counted_at = timezone.now()
    monkeypatch.setattr(contact_counting, "renewed", None)
    contact_counting.refresh(counts)
    assert stored.get(tenant=acme.tenant).counted_at > shown["counted_at"], "nothing has changed"


def test_users_who_are_not_staff_are_sent_to_the_login(acme: SimpleNamespace) -> None:
    assert logged_in(acme.user).get(OVERVIEW).status_code == 302


def test_the_number_of_statements_is_constant(acme: SimpleNamespace) -> None:
    client = staff_of(acme)
    tiles(client)
    before = len(statements(lambda: tiles(client)))
    for number in range(12):
        come(acme, number, tags=[f"t{number}"])
        Import.objects.create(tenant=acme.tenant, file_name=f"{number}.csv")
        ApiToken.objects.issue(acme.user, "x", expires_at=timezone.now() + timedelta(days=2))
    assert len(statements(lambda: tiles(client))) <= before + 1  # the names of the tags
    assert before <= 14
