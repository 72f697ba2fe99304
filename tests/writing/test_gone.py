"""What is left of contacts that are gone: tombstones, and ids that lead to the survivor."""

import io
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from contacts.change_log.cause import caused_by
from contacts.models import Change, Contact
from contacts.writing.merge import merge as merge_contacts
from tests.support.api import ON_A_CONTACT, PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MERGED_INTO = "Qyvo-Merged-Into"


def merge(tenant: Any, *phones: str) -> Contact:
    group = [Contact.objects.get(tenant=tenant, phone=phone) for phone in phones]
    with caused_by("command:test"):
        [(kept, _, problem)] = merge_contacts([group])
    assert not problem
    return kept


@pytest.fixture
def merged(acme: SimpleNamespace) -> SimpleNamespace:
    """Three contacts, the last merged into the second, that into the first."""
    first, second, third = (
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555000{n}", tags=["vip"])
        for n in range(3)
    )
    merge(acme.tenant, second.phone, third.phone)
    merge(acme.tenant, first.phone, second.phone)
    return SimpleNamespace(first=first, second=second, third=third)


# Merged


@in_one_test("action", ON_A_CONTACT)
@in_one_test("which", ["second", "third"])
def test_a_merged_id_answers_as_the_survivor_in_every_action(
    api: Api, merged: SimpleNamespace, action: str, which: str
) -> None:
    body = ON_A_CONTACT[action] | {"contact_id": getattr(merged, which).pk}
    answer = api.act(action, **body)
    assert answer.status_code == 200, answer.json()
    assert answer.json().get("id", merged.first.pk) == merged.first.pk  # record-message has none
    assert answer.headers[MERGED_INTO] == merged.first.pk


@in_one_test("action", ON_A_CONTACT)
def test_an_id_that_answers_for_itself_carries_no_such_header(
    api: Api, merged: SimpleNamespace, action: str
) -> None:
    answer = api.act(action, **ON_A_CONTACT[action] | {"contact_id": merged.first.pk})
    assert answer.status_code == 200
    assert MERGED_INTO not in answer.headers


def test_a_merged_id_has_its_own_history_and_that_of_the_survivor(
    api: Api, merged: SimpleNamespace
) -> None:
    api.act("update-contact", contact_id=merged.third.pk, name="Zoe")
    answer = api.act("list-changes", contact_id=merged.third.pk)
    assert answer.headers[MERGED_INTO] == merged.first.pk
    told = [(change["contact_id"], change["kind"]) for change in answer.json()["data"]]
    assert (merged.third.pk, "merged") in told
    assert (merged.second.pk, "merged") in told
    assert told[-1] == (merged.first.pk, "updated")
    [change] = [c for c in answer.json()["data"] if c["contact_id"] == merged.third.pk
                and c["kind"] == "merged"]  # fmt: skip
    assert change["merged_into"] == merged.second.pk


def test_a_merged_id_is_gone_when_the_survivor_is(api: Api, merged: SimpleNamespace) -> None:
    api.act("delete-contact", contact_id=merged.first.pk)
    for contact in (merged.first, merged.second, merged.third):
        assert_error(api.act("get-contact", contact_id=contact.pk), 404, "not_found")


def test_a_merged_id_is_not_found_by_another_tenant(
    globex: SimpleNamespace, merged: SimpleNamespace
) -> None:
    for action, body in ON_A_CONTACT.items():
        answer = globex.api.act(action, **body | {"contact_id": merged.third.pk})
        assert_error(answer, 404, "not_found")
        assert MERGED_INTO not in answer.headers


def test_looking_for_the_survivor_costs_nothing_where_the_contact_is_there(
    api: Api, merged: SimpleNamespace
) -> None:
    def cost(contact: Contact) -> int:
        return len(statements(lambda: api.act("get-contact", contact_id=contact.pk)))

    api.act("get-contact", contact_id=merged.first.pk)
    assert cost(merged.second) == cost(merged.first) + 2


def test_pruning_the_log_keeps_ids_and_tombstones(
    api: Api, acme: SimpleNamespace, merged: SimpleNamespace
) -> None:
    api.create(PHONE, name="Ann")
    api.act("delete-contact", phone=PHONE)
    Change.objects.update(at=timezone.now() - timedelta(days=500))
    before = api.act("list-contacts", include_deleted=True).json()
    for _ in range(2):
        call_command("prune_changes", "--older-than", "400d", stdout=io.StringIO())
        assert not Change.objects.exclude(fields={}).exists(), "no value stays"
        assert api.act("list-contacts", include_deleted=True).json() == before
        answer = api.act("get-contact", contact_id=merged.third.pk)
        assert answer.headers[MERGED_INTO] == merged.first.pk


def test_a_contact_that_has_come_back_answers_for_itself_again(
    api: Api, merged: SimpleNamespace
) -> None:
    change_set = Change.objects.get(contact_id=merged.third.pk, kind="merged").change_set
    call_command("undo", "--change-set", change_set, stdout=io.StringIO(), stderr=io.StringIO())
    Change.objects.update(at=timezone.now() - timedelta(days=500))
    call_command("prune_changes", "--older-than", "400d", stdout=io.StringIO())
    for action in ("get-contact", "list-changes"):
        answer = api.act(action, contact_id=merged.third.pk)
        assert answer.status_code == 200
        assert MERGED_INTO not in answer.headers


# Tombstones


def everything(api: Api, **body: Any) -> list[dict[str, Any]]:
    found = []
    while True:
        page = api.act("list-contacts", include_deleted=True, **body).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        body["cursor"] = page["next_cursor"]


def test_what_is_gone_is_listed_at_its_place(api: Api, merged: SimpleNamespace) -> None:
    last = api.create(PHONE).json()
    time.sleep(0.001)  # a clock may stand still for that long
    gone = api.create("+14155550124").json()
    api.act("delete-contact", contact_id=gone["id"])
    found = everything(api)
    assert [entry["id"] for entry in found] == [
        merged.third.pk, merged.second.pk, merged.first.pk, last["id"], gone["id"],
    ] or [entry["id"] for entry in found][-2:] == [last["id"], gone["id"]]  # fmt: skip
    stones = {entry["id"]: entry for entry in found if "deleted_at" in entry}
    assert {pk: stone["merged_into"] for pk, stone in stones.items()} == {
        merged.third.pk: merged.second.pk, merged.second.pk: merged.first.pk, gone["id"]: None,
    }  # fmt: skip
    for stone in stones.values():
        assert list(stone) == ["id", "deleted_at", "merged_into"]
        assert stone["deleted_at"].endswith("+00:00")


def test_without_being_asked_for_they_are_not_listed(api: Api, merged: SimpleNamespace) -> None:
    for body in ({}, {"include_deleted": False}, {"include_deleted": None}):
        data = api.act("list-contacts", **body).json()["data"]
        assert [entry["id"] for entry in data] == [merged.first.pk]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
def test_every_page_length_gives_the_same_list(api: Api, acme: SimpleNamespace, limit: int) -> None:
    for n in range(12):
        api.create(f"+141555500{n:02}")
    for n in range(0, 12, 3):
        api.act("delete-contact", phone=f"+141555500{n:02}")
    for n in range(2, 12, 3):
        api.create(f"+141555500{n:02}", name="later")
    found = everything(api, limit=limit)
    assert found == everything(api)
    assert len(found) == len({entry["id"] for entry in found}) == 12
    moments = [entry.get("deleted_at") or entry["updated_at"] for entry in found]
    assert moments == sorted(moments)


def test_one_that_ended_before_is_left_out_of_a_later_sync(api: Api) -> None:
    for phone in (PHONE, "+14155550124"):
        api.create(phone)
        api.act("delete-contact", phone=phone)
    first, _ = Change.objects.filter(kind="deleted").order_by("pk")
    Change.objects.filter(pk=first.pk).update(at=timezone.now() - timedelta(days=3))
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert len(everything(api)) == 2
    [stone] = everything(api, updated_since=since)
    assert stone["id"] != first.contact_id


def test_a_person_who_was_erased_leaves_a_tombstone_and_nothing_else(
    api: Api, acme: SimpleNamespace
) -> None:
    pk = api.create(name="Ann").json()["id"]
    call_command("erase_contact", PHONE, "--tenant", "acme", stdout=io.StringIO())
    [stone] = everything(api)
    assert (stone["id"], stone["merged_into"]) == (pk, None)


def test_one_that_has_come_back_has_no_tombstone(
    api: Api, acme: SimpleNamespace, merged: SimpleNamespace
) -> None:
    change_set = Change.objects.get(contact_id=merged.third.pk, kind="merged").change_set
    call_command("undo", "--change-set", change_set, stdout=io.StringIO(), stderr=io.StringIO())
    found = {entry["id"]: entry for entry in everything(api)}
    assert len(found) == len(everything(api)) == 3
    assert "phone" in found[merged.third.pk]
    assert "merged_into" in found[merged.second.pk]


def test_tombstones_of_another_tenant_are_not_listed(
    globex: SimpleNamespace, merged: SimpleNamespace
) -> None:
    assert everything(globex.api) == []


@pytest.mark.parametrize("value", [1, "yes", [], {}])
def test_a_bad_switch_is_named(api: Api, value: Any) -> None:
    answer = api.act("list-contacts", include_deleted=value)
    assert_error(answer, 422, "validation_failed", "include_deleted")
