"""Stored names are brought up to date in the background, while servers of two versions write."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts.jobs import name_folding
from contacts.management import checks
from contacts.models import Change, Contact, NameFolding
from contacts.values import rules
from contacts.writing import refold
from tests.support.api import PHONE
from tests.support.changes import settle
from tests.support.commands import lines
from tests.support.factories import ContactFactory, TenantFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]
NAMES = ["Zoé", "Łukasz", "O'Brien", "Ann"]


def store_as_before(member: SimpleNamespace, names: list[str] = NAMES) -> None:
    """As an earlier version stores them."""
    for number, name in enumerate(names):
        phone = f"+1415555{number:04}"
        ContactFactory.create(tenant=member.tenant, phone=phone, name=name)
        fold_as_before(member, phone)


def fold_as_before(member: SimpleNamespace, phone: str) -> None:
    mine = member.tenant.contacts.filter(phone=phone)
    mine.update(name_folded=rules.folded(mine.get().name))


def found(member: SimpleNamespace, query: str) -> list[str]:
    return [row["name"] for row in member.api.act("search-contacts", query=query).json()]


def warned() -> list[Any]:
    return [warning.id for warning in checks.check_names(databases=["default"])]


def test_a_search_finds_as_much_as_before_until_the_names_are_folded(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        store_as_before(member)
    for query, name in (("ZOÉ", "Zoé"), ("łuk", "Łukasz"), ("o'b", "O'Brien"), ("ann", "Ann")):
        assert found(acme, query) == [name]
    assert found(acme, "zoe") == []
    assert warned() == ["contacts.W002"]
    before = [*Contact.objects.order_by("pk").values("pk", "updated_at", "name", "email")]
    changes = Change.objects.count()

    lines("fold_names", "--once")
    for member in (acme, globex):
        for query, name in (("zoe", "Zoé"), ("ZOÉ", "Zoé"), ("luk", "Łukasz"), ("obr", "O'Brien")):
            assert found(member, query) == [name]
    assert found(acme, "'") == []
    assert warned() == []
    assert before == [*Contact.objects.order_by("pk").values("pk", "updated_at", "name", "email")]
    assert Change.objects.count() == changes, "people see no change"


def test_an_interrupted_job_goes_on_and_reads_no_contact_twice(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_before(acme, [f"É{number}" for number in range(7)])
    read: list[str] = []

    def watch(tenant: Any, contacts: Any) -> None:
        read.extend(contacts.values_list("name", flat=True))
        refold.refold(tenant, contacts)

    monkeypatch.setattr(name_folding, "BATCH", 2)
    monkeypatch.setattr(name_folding, "refold", watch)
    assert name_folding.fold_some(acme.tenant, {})
    assert name_folding.fold_some(acme.tenant, {})
    assert len(read) == 4
    assert warned() == ["contacts.W002"]
    name_folding.fold(once=True)
    assert sorted(read) == [f"É{number}" for number in range(7)]


@pytest.mark.django_db(transaction=True)  # PostgreSQL's change log ends before the transaction
def test_what_a_server_of_the_previous_version_writes_meanwhile_is_folded_too(
    acme: SimpleNamespace,
) -> None:
    name_folding.fold(once=True)
    acme.api.create(PHONE, name="Zoé")
    fold_as_before(acme, PHONE)
    assert found(acme, "zoe") == []
    settle()
    name_folding.fold(once=True)
    assert found(acme, "zoe") == ["Zoé"]


def test_a_tenant_that_is_created_after_the_job_has_begun_needs_no_folding(
    acme: SimpleNamespace,
) -> None:
    name_folding.fold(once=True)
    newer = TenantFactory.create()
    ContactFactory.create(tenant=newer, name="Zoé")
    assert warned() == []
    NameFolding.objects.update(started_at=newer.created_at + timedelta(seconds=1))
    assert warned() == ["contacts.W002"], "a server of the version before may have written it"


def test_an_installation_without_a_tenant_waits_for_the_first_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = SimpleNamespace(sleep=lambda seconds: TenantFactory.create())
    monkeypatch.setattr(name_folding, "time", waiting)
    monkeypatch.setattr(name_folding, "FOLLOWED", timedelta(0))
    name_folding.fold(once=False)
    assert NameFolding.objects.count() == 1


def test_the_job_ends_after_a_day_and_begins_again_for_another_rule(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.api.create(PHONE, name="Zoé")
    name_folding.fold(once=True)
    assert not name_folding.is_over(acme.tenant)
    begun = NameFolding.objects.get()
    begun.started_at -= name_folding.FOLLOWED
    begun.save()
    name_folding.fold(once=False)  # returns
    fold_as_before(acme, PHONE)
    monkeypatch.setattr(name_folding.folding, "VERSION", 2)
    name_folding.fold(once=True)
    assert found(acme, "zoe") == ["Zoé"]


def test_a_name_that_changes_while_the_job_reads_it_keeps_its_own_form(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_before(acme, ["Zoé"])
    outdated = refold.outdated

    def with_a_writer(contacts: Any) -> Any:
        yield from outdated(contacts)
        acme.api.create("+14155550000", name="Éva")

    monkeypatch.setattr(refold, "outdated", with_a_writer)
    refold.refold(acme.tenant, acme.tenant.contacts.all())
    assert acme.tenant.contacts.get().name_folded == "eva"


def test_a_contact_that_is_up_to_date_is_not_locked(acme: SimpleNamespace) -> None:
    acme.api.create(PHONE, name="Zoé")
    with CaptureQueriesContext(connection) as queries:
        refold.refold(acme.tenant, acme.tenant.contacts.all())
    assert len(queries) <= 1
