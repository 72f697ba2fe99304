"""The counts of list-tags: exact after each change, although all links are counted once only."""

from collections.abc import Callable
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from contacts.change_log.feed import settle_restored
from contacts.jobs import tag_counting
from contacts.models import Tag, TagCounts, tag_counts
from contacts.writing import tags
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.factories import ContactFactory
from tests.support.sql import statements
from tests.support.undo import OTHER, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def recounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tenants whose links were all counted, one by one."""
    tenants: list[str] = []
    counted = tag_counts.counted

    def count(tenant_id: str) -> Any:
        tenants.append(tenant_id)
        return counted(tenant_id)

    monkeypatch.setattr(tag_counts, "counted", count)
    return tenants


def shown(member: SimpleNamespace) -> dict[str, int]:
    return {tag["name"]: tag["contacts_count"] for tag in member.api.act("list-tags").json()}


def stored(tenant: Tenant) -> dict[str, int]:
    return {tag.name: tag.count for tag in tenant.tags.with_count()}


def changes(acme: SimpleNamespace) -> dict[str, Callable[[], Any]]:
    """All ways in which the links of a tenant change."""
    api, tenant = acme.api, acme.tenant

    def contact_id(phone: str) -> str:
        return tenant.contacts.get(phone=phone).pk

    def merge() -> Any:
        return api.act(
            "merge-contacts", contact_id=contact_id(PHONE), merge_ids=[contact_id(OTHER)]
        )

    def undo() -> Any:
        return api.act("undo", change_set=last_set())

    def new_then_changed() -> Any:
        api.create(OTHER, tags=["a", "d"])
        api.act("remove-tag", phone=OTHER, tag="a")
        return api.act("add-tag", phone=OTHER, tag="é")

    def come_and_gone() -> Any:
        api.create("+14155550199", tags=["a"])
        return api.act("delete-contact", phone="+14155550199")

    return {
        "created": lambda: api.create(tags=["a", "b"]),
        "replaced": lambda: api.create(tags=["b", "c"]),
        "created and changed": new_then_changed,
        "created and deleted": come_and_gone,
        "merged": merge,
        "merge undone": undo,
        "deleted": lambda: api.act("delete-contact", phone=OTHER),
        "deletion undone": undo,
        "deleted and restored": lambda: [api.act("delete-contact", phone=OTHER), undo()],
        "tag renamed": lambda: tags.rename(tenant.tags.get(name="b"), "e"),
        "tag merged": lambda: tags.rename(tenant.tags.get(name="c"), "e"),
        "tag deleted": lambda: tenant.tags.filter(name="d").delete(),
        "phone changed": lambda: api.act("update-contact", phone=PHONE, new_phone="+14155550188"),
        "name changed": lambda: api.act("update-contact", phone="+14155550188", name="Bob"),
    }


def test_kept_counts_follow_every_change(
    acme: SimpleNamespace, globex: SimpleNamespace, recounted: list[str]
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, tags=["a", "unchanged"])
    assert shown(globex) == {"a": 1, "unchanged": 1}
    assert shown(acme) == {"a": 1, "unchanged": 1}
    for name, change in changes(acme).items():
        change()
        assert shown(acme) == stored(acme.tenant), name
        assert shown(globex) == {"a": 1, "unchanged": 1}, "another tenant's changes"
    assert [*recounted] == [globex.tenant.pk, acme.tenant.pk], "each tenant is counted once"
    acme.api.act("erase-contact", phone="+14155550188")
    assert shown(acme) == stored(acme.tenant)
    assert len(recounted) == 3, "the log of an erased person has no tags"


def test_stored_counts_cost_two_statements_beside_the_tags(
    acme: SimpleNamespace, recounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["a"])
    shown(acme)
    sql = statements(lambda: acme.api.act("list-tags"))
    assert not [each for each in sql if "contacts_contacttag" in each], "\n".join(sql)
    assert len(sql) <= 4, "\n".join(sql)
    for limit, value in {"MOST_CHANGES": 0, "MOST_TAGS": 0}.items():
        ContactFactory.create(tenant=acme.tenant, tags=["a"])
        with monkeypatch.context() as patch:
            patch.setattr(tag_counts, limit, value)
            assert shown(acme) == stored(acme.tenant)
    assert len(recounted) == 2, "after too many changes"
    TagCounts.objects.update(counted_at=timezone.now() - tag_counts.KEPT_FOR)
    shown(acme)
    assert len(recounted) == 3, "after too long"


def test_only_long_pages_of_tenants_with_a_bounded_number_of_tags_count_all_links(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["a", "b"])
    assert acme.api.act("list-tags", limit=1).json()[0]["contacts_count"] == 1
    monkeypatch.setattr(tag_counts, "MOST_TAGS", 1)
    assert shown(acme) == {"a": 1, "b": 1}
    assert not TagCounts.objects.exists()


def test_who_has_read_many_changes_stores_the_counts_for_everybody(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["a", "gone"])
    shown(acme)
    acme.tenant.tags.filter(name="gone").delete()
    assert shown(acme) == {"a": 1}
    assert TagCounts.objects.get().numbers == {"a": 1, "gone": 1}, "one change is read each time"
    monkeypatch.setattr(tag_counts, "STORED_AFTER", 1)
    assert shown(acme) == {"a": 1}
    assert TagCounts.objects.get().numbers == {"a": 1}


def test_counts_that_cannot_be_stored_are_answered(
    acme: SimpleNamespace, recounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a replica."""
    ContactFactory.create(tenant=acme.tenant, tags=["a"])

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError("cannot execute INSERT in a read-only transaction")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        assert shown(acme) == {"a": 1}
    assert not TagCounts.objects.exists()


def test_a_worker_counts_before_a_request_would_have_to(
    acme: SimpleNamespace, globex: SimpleNamespace, recounted: list[str]
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, tags=["a"])
    tag_counting.refresh_all()
    assert not recounted, "nobody has asked yet"
    shown(acme)
    shown(globex)
    tag_counting.refresh_all()
    assert len(recounted) == 2
    old = TagCounts.objects.filter(tenant=acme.tenant)
    old.update(counted_at=timezone.now() - tag_counts.REFRESHED_AFTER)
    tag_counting.refresh_all()
    assert recounted[2:] == [acme.tenant.pk]
    acme.tenant.tags.all().delete()
    tag_counting.refresh_all()
    assert shown(globex) == {"a": 1}
    old.update(counted_at=timezone.now() - tag_counts.REFRESHED_AFTER)
    tag_counting.refresh_all()
    assert not old.exists(), "there is nothing to count"


def test_counts_of_another_server_or_database_are_not_used(acme: SimpleNamespace) -> None:
    """A restored dump brings them."""
    ContactFactory.create(tenant=acme.tenant, tags=["a"])
    shown(acme)
    other = {"postgresql": [f"1:{2**62 + 1}:", "12", "é"], "sqlite": ["3:5:4", "é"]}
    for snapshot in other[connection.vendor]:
        TagCounts.objects.update(snapshot=snapshot, numbers={"a": 7})
        assert shown(acme) == {"a": 1}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no transaction numbers")
def test_migrate_deletes_counts_of_a_dump_whose_changes_get_other_numbers(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, tags=["a"])
        shown(member)
    acme.tenant.changes.update(xid=2**61)
    for receiver in (tag_counts.forget_restored, settle_restored):
        receiver(using="default")
    assert [counts.tenant for counts in TagCounts.objects.all()] == [globex.tenant]
    assert shown(acme) == {"a": 1}


def test_a_transaction_that_takes_its_changes_back_leaves_no_counts(
    acme: SimpleNamespace, recounted: list[str]
) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["a"])
    shown(acme)
    with transaction.atomic():
        ContactFactory.create(tenant=acme.tenant, tags=["a"])
        assert shown(acme) == {"a": 2}
        transaction.set_rollback(True)
    assert shown(acme) == {"a": 1}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_change_that_is_committed_after_a_later_one_is_counted_once(
    acme: SimpleNamespace, recounted: list[str]
) -> None:
    """Its transaction has a smaller number than transactions that the counts contain already."""
    written, may_commit = Event(), Event()

    def slow() -> None:
        with transaction.atomic():
            ContactFactory.create(tenant=acme.tenant, tags=["a"])
            written.set()
            may_commit.wait(60)
        connection.close()

    ContactFactory.create(tenant=acme.tenant, tags=["a"])
    thread = Thread(target=slow)
    thread.start()
    assert written.wait(60)
    ContactFactory.create(tenant=acme.tenant, tags=["b"])
    assert shown(acme) == {"a": 1, "b": 1}
    ContactFactory.create(tenant=acme.tenant, tags=["b"])
    assert shown(acme) == {"a": 1, "b": 2}
    may_commit.set()
    thread.join()
    assert shown(acme) == shown(acme) == {"a": 2, "b": 2}
    assert Tag.objects.count() == 2
    assert len(recounted) == 1
