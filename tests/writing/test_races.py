"""Many callers at once: one row for a phone, no deadlock, no failure.

Over HTTP against two processes of the production server, and with threads that each have a
connection of their own.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction

from contacts.db.transactions import transactional
from contacts.models import Contact, Outcome, Tag
from tests.support.api import PHONE
from tests.support.concurrency import all_at_once
from tests.support.databases import of_the_owner
from tests.support.sql import assert_links_match_tags

pytestmark = pytest.mark.both


@pytest.fixture
def slow_tags(transactional_db: None) -> Iterator[None]:
    """Each new tag takes a while on PostgreSQL, so that two callers do meet. SQLite lets one
    writer in at a time, however fast."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END';"
            "CREATE TRIGGER slow BEFORE INSERT ON contacts_tag"
            " FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION slow CASCADE")


@of_the_owner
@pytest.mark.usefixtures("slow_tags")
def test_callers_with_the_same_new_tags_in_other_orders_do_not_deadlock(
    acme: SimpleNamespace,
) -> None:
    def call(number: int) -> None:
        acme.tenant.contacts.update_or_create(
            phone=f"+1415555{number:04}", defaults={"tags": ["a", "b", "c"][:: (-1) ** number]}
        )

    all_at_once(call, callers=4)
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_threads_with_one_new_phone_create_it_once(acme: SimpleNamespace) -> None:
    def call(number: int) -> Outcome:
        defaults = {"name": "Romain", "tags": ["b", "a"]}
        contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults=defaults)
        return contact.outcome

    outcomes = Counter(all_at_once(call, callers=20))
    assert outcomes == {Outcome.CREATED: 1, Outcome.UNCHANGED: 19}
    assert_links_match_tags()


def rename(tag: Tag) -> None:
    tag.name = "new"
    tag.save()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mend", [rename, Tag.delete])
def test_mending_a_tag_while_callers_use_it_fails_nobody(
    acme: SimpleNamespace, mend: Callable[[Tag], Any]
) -> None:
    def call(number: int) -> None:
        if number == 10:
            mend(acme.tenant.tags.get(name="old"))
        else:
            defaults = {"tags": ["old", f"t{number}"]}
            acme.tenant.contacts.update_or_create(phone=f"+1415555{number:04}", defaults=defaults)

    for _ in range(3):
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["old"]})
        all_at_once(call, callers=20)
        assert Contact.objects.count() == 20
        assert_links_match_tags()
        Contact.objects.all().delete()
        Tag.objects.all().delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mend", [rename, Tag.delete])
@pytest.mark.parametrize("first", ["the writer", "the mender"])
def test_who_links_a_tag_and_who_mends_it_wait_for_each_other(
    acme: SimpleNamespace, mend: Callable[[Tag], Any], first: str
) -> None:
    """The first holds its transaction open while the second starts."""

    def write() -> None:
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["old", "x"]})

    def mend_old() -> None:
        mend(Tag.objects.get(pk=old.pk))

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        finally:
            connection.close()

    old = Tag.objects.create(tenant=acme.tenant, name="old")
    holder, waiter = (write, mend_old) if first == "the writer" else (mend_old, write)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            holder()
            waiting = pool.submit(run, waiter)
            assert not wait([waiting], timeout=0.5).done, "it waits"
        waiting.result(timeout=30)
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_deleting_many_tags_while_callers_use_them_fails_nobody(acme: SimpleNamespace) -> None:
    def call(number: int) -> None:
        if number % 5 == 0:
            acme.tenant.tags.filter(name__in=["a", "b", "c"]).delete()
        else:
            tags = ["c", "b", "a"][number % 3 :]
            acme.tenant.contacts.update_or_create(
                phone=f"+1415555{number % 3:04}", defaults={"tags": tags, "name": str(number)}
            )

    for _ in range(5):
        all_at_once(call, callers=20)
        assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_the_victim_of_a_deadlock_tries_again(acme: SimpleNamespace) -> None:
    """Two rows locked in opposite orders, by two who meet on the first try."""
    tags = [Tag.objects.create(tenant=acme.tenant, name=name) for name in "ab"]
    meet = Barrier(2)
    tries = []

    def call(number: int) -> None:
        @transactional
        def lock_both() -> None:
            tries.append(number)
            for step, tag in enumerate(tags[:: (-1) ** number]):
                Tag.objects.select_for_update().get(pk=tag.pk)
                if step == 0 and tries.count(number) == 1 and connection.vendor == "postgresql":
                    meet.wait(timeout=30)

        lock_both()

    all_at_once(call, callers=2)
    # The victim may take its first row again before the other wakes up, and be one once more.
    assert len(tries) > 2 if connection.vendor == "postgresql" else len(tries) == 2
