"""The search for contacts that are likely one person: what it finds, and that it keeps up."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection, transaction

from contacts import erasing
from contacts.db.pacing import Pace
from contacts.finding import duplicates
from contacts.jobs import bulk_actions, duplicate_search
from contacts.models import BulkAction, Change, Contact, Duplicate, DuplicateSearch, NearKey
from contacts.writing import edit, merge
from contacts.writing.undo import ChangeSet
from tenants.models import Tenant
from tests.support.changes import settle
from tests.support.commands import lines
from tests.support.factories import ContactFactory
from tests.support.sql import all_rows, statements

# On PostgreSQL, the change log ends before the transaction of the test.
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
ANN = {"name": "Ann Smith", "email": "ann@example.com"}


def search() -> None:
    settle()
    duplicate_search.search(once=True)


def found(tenant: Tenant) -> dict[tuple[str, str], set[str]]:
    """The open pairs by their phones, with the reasons."""
    phone = dict(tenant.contacts.values_list("pk", "phone"))
    return {
        (phone[pair.first_id], phone[pair.second_id]): {*map(str, pair.codes)}
        for pair in tenant.duplicates.open().order_by("-likelihood", "first_id", "second_id")
    }


def contact(member: SimpleNamespace, phone: str, **fields: Any) -> Contact:
    return ContactFactory.create(**{"tenant": member.tenant, "phone": phone, "name": ""} | fields)


def test_pairs_are_found_with_their_reasons_the_likeliest_first(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    contact(acme, "+33612345678", **ANN)
    contact(acme, "+33698765432", name="SMITH Ann", email="Ann@example.com")  # mail, name
    contact(acme, "+33612945678", name="Smith, Ann")  # near the first, same name
    contact(acme, "+33612345611", name="Ann Smith")  # the first's last two digits
    contact(acme, "+5511987654321")
    contact(acme, "+551187654321")
    contact(acme, "+33612345679", name="Bob Stone")  # nobody's
    contact(globex, "+33612345677", **ANN)  # another tenant's
    search()
    assert [*found(acme.tenant).items()] == [
        (("+5511987654321", "+551187654321"), {"phone"}),
        (("+33612345678", "+33698765432"), {"email", "name"}),
        (("+33612345678", "+33612945678"), {"near_phone", "name"}),
        (("+33612345678", "+33612345611"), {"phone_series", "name"}),
    ]
    assert not globex.tenant.duplicates.exists()


def test_the_list_follows_the_changes(acme: SimpleNamespace) -> None:
    one, other = contact(acme, "+33612345678", **ANN), contact(acme, "+33698765432")
    search()
    assert not found(acme.tenant)
    edit.change(other, email="ANN@example.com")
    search()
    assert found(acme.tenant) == {(one.phone, other.phone): {"email"}}
    edit.change(other, name="Ann Smith")
    search()
    assert found(acme.tenant) == {(one.phone, other.phone): {"email", "name"}}
    new = contact(acme, "+33711111111", email="ann@example.com")
    search()
    assert len(found(acme.tenant)) == 3
    edit.change(other, email="other@example.com")
    new.delete()
    assert acme.tenant.duplicates.open().with_contacts().count() == 1, "before the search"
    search()
    assert not acme.tenant.duplicates.exists()


def test_a_search_of_nothing_new_asks_little_and_changes_nothing(acme: SimpleNamespace) -> None:
    contact(acme, "+33612345678", **ANN)
    contact(acme, "+33698765432", **ANN)
    search()
    before = all_rows(Duplicate)
    settle()
    assert len(statements(lambda: duplicate_search.search(once=True))) <= 6
    assert all_rows(Duplicate) == before


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL's planner")
def test_a_look_for_news_of_a_quiet_tenant_does_not_read_the_log_of_others(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    quiet, busy = contact(acme, "+14155550101"), contact(globex, "+14155550102")
    search()
    Change.objects.bulk_create(
        Change(
            tenant=globex.tenant, contact_id=busy.pk, kind="updated", at=busy.created_at, xid=xid
        )
        for xid in range(1, 5000)
    )
    Change.objects.bulk_create(
        Change(tenant=acme.tenant, contact_id=quiet.pk, kind="updated", at=busy.created_at, xid=1)
        for _ in range(1000)
    )
    stored = DuplicateSearch.objects.get(tenant=acme.tenant)
    stored.place = [2, 0, stored.place[2]]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_change")
        *_, question = statements(lambda: duplicate_search.has_news(acme.tenant, stored))
        cursor.execute(f"EXPLAIN {question}")
        plan = "\n".join(line for [line] in cursor.fetchall())
    assert "Seq Scan" not in plan, plan


def test_a_dismissed_pair_stays_dismissed(acme: SimpleNamespace) -> None:
    one, other = contact(acme, "+33612345678", **ANN), contact(acme, "+33698765432", **ANN)
    search()
    acme.tenant.duplicates.update(state=Duplicate.State.DISMISSED)
    edit.change(other, name="Somebody Else")
    search()
    edit.change(other, name="Ann Smith", email="other@example.com")
    search()
    edit.change(other, email="ann@example.com")
    lines("find_duplicates", "--once", "--again", "acme")
    assert Duplicate.objects.get().state == Duplicate.State.DISMISSED
    third = contact(acme, "+33711111111", **ANN)
    search()
    assert {pair[1] for pair in found(acme.tenant)} == {third.phone}, "the others are news"
    merge.merge([[other, third]])
    search()
    assert not found(acme.tenant), "the merged contact inherits the decision"
    assert one.pk in Duplicate.objects.dismissed().values_list("first_id", flat=True)


def test_a_merge_of_a_pair_removes_it_and_its_undo_brings_it_back(acme: SimpleNamespace) -> None:
    one, other = contact(acme, "+33612345678", **ANN), contact(acme, "+33698765432", **ANN)
    search()
    pks = [*Duplicate.objects.values_list("pk", flat=True)]
    action = bulk_actions.plan(acme.tenant, "user:1", BulkAction.Kind.MERGE_PAIRS, "", pks)
    bulk_actions.run(action)
    action.refresh_from_db()
    assert (action.done, action.changed, action.refused) == (1, 1, 0)
    assert acme.tenant.contacts.get().pk == one.pk
    assert not Duplicate.objects.exists()
    search()
    ChangeSet(action.pk, Tenant.objects.all()).take_back()
    search()
    assert found(acme.tenant) == {(one.phone, other.phone): {"email", "name"}}


def test_all_pairs_are_merged_under_one_change_set_but_those_no_longer_alike(
    acme: SimpleNamespace,
) -> None:
    three = [contact(acme, f"+3369876543{n}", **ANN) for n in (1, 4, 7)]
    two = [contact(acme, f"+3371111111{n}", email="b@example.com") for n in (1, 4)]
    edited = [contact(acme, f"+3372222222{n}", email="c@example.com") for n in (1, 4)]
    search()
    pks = [*Duplicate.objects.order_by("first_id").values_list("pk", flat=True)]
    assert len(pks) == 5
    edit.change(edited[0], email="d@example.com")
    action = bulk_actions.plan(acme.tenant, "user:1", BulkAction.Kind.MERGE_PAIRS, "", pks)
    bulk_actions.run(action)
    left = {three[0].pk, two[0].pk, edited[0].pk, edited[1].pk}
    assert {*acme.tenant.contacts.values_list("pk", flat=True)} == left
    assert {*acme.tenant.changes.exclude(kind="created").values_list("change_set", flat=True)} == {
        action.pk, acme.tenant.changes.filter(contact_id=edited[0].pk).last().change_set,
    }  # fmt: skip
    action.refresh_from_db()
    assert (action.changed, action.unchanged) == (4, 1)


def test_a_large_group_makes_no_pairs(acme: SimpleNamespace) -> None:
    for number in range(duplicates.MAX_GROUP):
        contact(acme, f"+3361{number}000000", email="info@example.com")
    for number in range(duplicates.MAX_GROUP + 1):
        contact(acme, f"+3362{number}000000", email="office@example.com")
        contact(acme, f"+336300000{number}0", name="Example Company")
    search()
    size = duplicates.MAX_GROUP
    assert len(found(acme.tenant)) == size * (size - 1) / 2
    assert all(pair[0].startswith("+3361") for pair in found(acme.tenant))


def test_the_pairs_of_a_group_follow_its_growth_and_its_decline(acme: SimpleNamespace) -> None:
    """Also for the members that did not change."""
    size = duplicates.MAX_GROUP

    def pairs() -> int:
        search()
        return len(found(acme.tenant))

    office = [contact(acme, f"+3361{n}000000", email="info@b.example") for n in range(size)]
    shop = [contact(acme, f"+336200000{n}0", name="Example Company") for n in range(size)]
    of_each = size * (size - 1) // 2
    assert pairs() == 2 * of_each
    last = contact(acme, "+33619000000", email="INFO@b.example")
    another = contact(acme, "+33620000090", name="example company")
    assert pairs() == 0
    edit.change(last, email="")
    another.delete()
    assert pairs() == 2 * of_each
    erasing.erase(acme.tenant, office[0].phone)
    assert not acme.tenant.duplicates.of([office[0].pk]).exists(), "before the search"
    assert not NearKey.objects.filter(pk=another.pk).exists()
    edit.change(shop[0], name="Other Company")
    assert pairs() == 2 * (size - 1) * (size - 2) // 2


def test_a_group_in_which_some_are_not_alike_or_dismissed_is_not_merged_unseen(
    acme: SimpleNamespace,
) -> None:
    """A is like B, and B like C."""
    for phone in ("+33612345678", "+33612945678", "+33612965678"):
        contact(acme, phone, name="Ann Smith")
    three = [contact(acme, f"+3369876543{n}", email="b@b.example") for n in (1, 4, 7)]
    search()
    first, *_, last = sorted(one.pk for one in three)
    dismissed = acme.tenant.duplicates.filter(first_id=first, second_id=last)
    assert dismissed.update(state=Duplicate.State.DISMISSED) == 1
    pks = [*acme.tenant.duplicates.open().values_list("pk", flat=True)]
    action = bulk_actions.plan(acme.tenant, "user:1", BulkAction.Kind.MERGE_PAIRS, "", pks)
    bulk_actions.run(action)
    action.refresh_from_db()
    assert (len(pks), action.changed, action.refused) == (4, 0, 2)
    reasons = " ".join(reason for _, reason in action.refusals)
    assert "not all of these contacts are alike" in reasons
    assert "are not duplicates" in reasons
    assert acme.tenant.contacts.count() == 6


def test_batches_of_any_size_find_the_same(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        contact(acme, f"+336{number:02}345678", name=f"Ann Smith {number % 2}",
                email=f"{number % 5}@example.com")  # fmt: skip
    search()
    at_once = found(acme.tenant)
    monkeypatch.setattr(duplicate_search, "BATCH", 2)
    lines("find_duplicates", "--once", "--again", "acme")
    assert found(acme.tenant) == at_once != {}
    assert DuplicateSearch.objects.get(tenant=acme.tenant).checked == 12
    with pytest.raises(CommandError, match="There is no tenant “nobody”"):
        lines("find_duplicates", "--once", "--again", "nobody")


def test_what_changes_while_a_batch_compares_is_checked_again(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = contact(acme, "+33612345678", **ANN), contact(acme, "+33698765432", **ANN)
    is_sqlite = connection.vendor == "sqlite"
    find, compared = duplicates.find, []

    def find_slowly(tenant: Tenant, pks: set[str]) -> Any:
        pairs = find(tenant, pks)
        compared.append(pks)
        if len(compared) == 1:
            edit.change(one, email="bob@example.com", name="Bob Miller")
            edit.change(contact(acme, "+33611111111"), email="ann@example.com")
        if len(compared) == 2 and is_sqlite:
            assert not connection.in_atomic_block, "nobody waits for the lock while it compares"
            duplicate_search.restart(tenant)  # on PostgreSQL, this waits for the batch
        return pairs

    monkeypatch.setattr(duplicates, "find", find_slowly)
    search()
    search()
    assert {*found(acme.tenant)} == {(other.phone, "+33611111111")}
    assert len(compared) == (4 if is_sqlite else 2), "all of it again after a restart"


def test_writes_cost_no_statement_more_and_an_erased_person_leaves_no_pair(
    acme: SimpleNamespace,
) -> None:
    create = {"phone": "+33612345678", **ANN}
    before = len(statements(lambda: acme.api.act("create-contact", **create)))
    contact(acme, "+33698765432", **ANN)
    search()
    assert Duplicate.objects.exists()
    again = create | {"phone": "+33612345670"}
    assert len(statements(lambda: acme.api.act("create-contact", **again))) <= before
    for phone in ("+33612345678", "+33612345670"):
        erasing.erase(acme.tenant, phone)
    search()
    assert not Duplicate.objects.exists()


def test_finding_takes_the_same_statements_for_many_contacts(acme: SimpleNamespace) -> None:
    pks = [
        contact(acme, f"+336123456{n}", name=f"Ann Smith {n // 2}", email=f"{n // 2}@b.example").pk
        for n in range(10, 30)
    ]

    def cost(some: list[str]) -> int:
        return len(statements(lambda: duplicates.find(acme.tenant, some)))

    few, many = cost(pks[:1]), cost(pks[::2])
    assert few == many <= 20


def test_many_changes_are_followed_with_the_statements_of_few(acme: SimpleNamespace) -> None:
    contacts = [contact(acme, f"+336{n}0000000", email=f"{n}@b.example") for n in range(9)]
    search()

    def cost(number: int) -> int:
        for one in contacts[:number]:
            edit.change(one, locale=f"f{number}")
        settle()
        return len(statements(lambda: duplicate_search.advance(acme.tenant, Pace(500))))

    assert cost(1) == cost(8)
