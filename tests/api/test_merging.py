"""merge-contacts and undo: what they answer, change, and leave alone."""

import io
import uuid
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Change, Contact, Import
from contacts.values import rules
from contacts.writing import undo
from tenants.fields import bits_of, new_ulid
from tests.support.api import PHONE, Api, assert_error
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.sql import all_rows, assert_links_match_tags, statements
from tests.support.undo import OTHER, bring, held, last_set

THIRD = "+14155550125"

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture
def old(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ann", email="", tags=["vip"], total_messages=2,
        metadata={"city": "Paris", "n": 1}, opted_in_at=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def new(acme: SimpleNamespace, old: Contact) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=OTHER, name="Ann Lee", email="ann@x.example", tags=["new", "vip"],
        metadata={"n": 2}, total_messages=3,
    )  # fmt: skip


def merge(api: Api, stays: Contact, *goes: Contact, **fields: Any) -> Any:
    ids = [contact.pk for contact in goes]
    return api.act("merge-contacts", contact_id=stays.pk, merge_ids=ids, **fields)


def stored(api: Api, contact: Contact) -> Any:
    return api.act("get-contact", contact_id=contact.pk).json()


# merge-contacts


def test_the_named_contact_stays_even_if_it_is_the_younger(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    answer = merge(api, new, old)
    assert answer.status_code == 200
    body = answer.json()
    assert (body.pop("merged"), body.pop("change_set")) == ([old.pk], last_set())
    assert body == stored(api, new), "the shape of get-contact"
    assert (body["id"], body["phone"], body["name"]) == (new.pk, OTHER, "Ann Lee")
    assert body["email"] == "ann@x.example"
    assert body["tags"] == ["new", "vip"]
    assert body["metadata"] == {"city": "Paris", "n": 2}
    assert body["total_messages"] == 5
    assert body["opted_in_at"] is None, "in, only where all of them are"
    assert api.act("get-contact", contact_id=old.pk).headers["Qyvo-Merged-Into"] == new.pk
    assert_links_match_tags()


def test_a_dry_run_answers_the_same_and_writes_nothing(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    choose = {"name": old.pk, "phone": old.pk}
    before = held(acme.tenant), Change.objects.count()
    tried = merge(api, new, old, choose=choose, dry_run=True).json()
    assert (held(acme.tenant), Change.objects.count()) == before
    done = merge(api, new, old, choose=choose).json()
    assert tried == done | {"change_set": None}


def test_values_are_chosen_field_by_field(api: Api, old: Contact, new: Contact) -> None:
    choose = dict.fromkeys(["phone", "name", "email", "tags", "metadata"], old.pk.lower())
    body = merge(api, new, old, choose=choose).json()
    assert (body["id"], body["phone"], body["name"], body["email"]) == (new.pk, PHONE, "Ann", None)
    assert (body["tags"], body["metadata"]) == (["vip"], {"city": "Paris", "n": 1})
    assert body["total_messages"] == 5
    entries = Change.objects.filter(change_set=body["change_set"])
    assert Counter(entries.values_list("kind", flat=True)) == {"merged": 1, "updated": 1}
    assert stored(api, new).items() <= body.items()
    assert api.act("get-contact", phone=OTHER).json()["id"] == new.pk, "a former phone now"


def test_ids_are_accepted_in_each_spelling(api: Api, old: Contact, new: Contact) -> None:
    as_uuid = str(uuid.UUID(int=bits_of(new.pk)))
    body = {"contact_id": old.pk.lower(), "merge_ids": [as_uuid], "choose": {"name": as_uuid}}
    assert api.act("merge-contacts", **body).json()["merged"] == [new.pk]


def test_a_request_that_is_sent_again_changes_nothing(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    first = merge(api, old, new).json()
    before = held(acme.tenant), Change.objects.count()
    again = merge(api, old, new)
    assert again.json() == first | {"merged": [], "change_set": None}
    assert (held(acme.tenant), Change.objects.count()) == before


def test_a_merged_id_stands_for_the_contact_that_stayed(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    third, fourth = (ContactFactory.create(tenant=acme.tenant) for _ in range(2))
    merge(api, old, new)
    name = merge(api, third, fourth).json()["name"]
    answer = merge(api, new, fourth, third, choose={"name": fourth.pk})
    assert answer.headers["Qyvo-Merged-Into"] == old.pk
    body = answer.json()
    assert (body["id"], body["merged"], body["name"]) == (old.pk, [third.pk], name)
    assert Contact.objects.get().pk == old.pk


def test_a_contact_that_does_not_exist_is_named(
    api: Api, acme: SimpleNamespace, globex: SimpleNamespace, old: Contact, new: Contact
) -> None:
    theirs, gone = ContactFactory.create(tenant=globex.tenant), new_ulid()
    before = held(acme.tenant), held(globex.tenant)
    for ids, missing in [
        ([old.pk, gone], gone), ([old.pk, new.pk, theirs.pk], theirs.pk), ([gone, old.pk], gone),
        ([theirs.pk, old.pk], theirs.pk),
    ]:  # fmt: skip
        answer = api.act("merge-contacts", contact_id=ids[0], merge_ids=ids[1:])
        assert assert_error(answer, 404, "not_found")["message"] == f"Contact not found: {missing}"
    assert (held(acme.tenant), held(globex.tenant)) == before
    assert_error(merge(globex.api, theirs, old), 404, "not_found")
    assert_error(merge(globex.api, old, new), 404, "not_found")


WRONG: dict[str, list[Any]] = {
    "contact_id": ["", None, "x", 7, [], "\0"],
    "merge_ids": [[], None, {}, [""], [None], ["x"], [7], ["\0"], [new_ulid() for _ in range(10)]],
    "choose": ["name", [1], 7, {"name": "Ann"}, {"name": None}, {"name": new_ulid()}],
}


def test_bodies_that_make_no_sense_are_refused(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    def refused(field: str, **body: Any) -> None:
        whole = {"contact_id": old.pk, "merge_ids": [new.pk]} | body
        assert_error(api.act("merge-contacts", **whole), 422, "validation_failed", field)

    before = held(acme.tenant)
    for field, values in WRONG.items():
        for value in values:
            refused(field, **{field: value})
    for value in ([new.pk, new.pk.lower()], [old.pk], [[new.pk]], new.pk):
        refused("merge_ids", merge_ids=value)
    for name in ("nme", "id", "opted_in_at", "created_at", "\0"):
        refused("choose", choose={name: new.pk})
    refused("dry_run", dry_run="perhaps")
    assert_error(api.act("merge-contacts"), 422, "validation_failed", "contact_id", "merge_ids")
    assert held(acme.tenant) == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_would_be_too_much_is_refused_with_the_reason(
    api: Api, acme: SimpleNamespace, dry_run: bool
) -> None:
    half = rules.MAX_TAGS // 2 + 1
    contacts = [
        ContactFactory.create(tenant=acme.tenant, tags=[f"{side}{n}" for n in range(half)])
        for side in "ab"
    ]
    before = held(acme.tenant)
    answer = merge(api, *contacts, dry_run=dry_run)
    errors = assert_error(answer, 422, "validation_failed", "merge_ids")["errors"]
    assert "at most 100 tags" in errors["merge_ids"][0]
    assert held(acme.tenant) == before
    assert merge(api, *contacts, choose={"tags": contacts[0].pk}).status_code == 200


def test_a_choice_never_opts_anybody_in(api: Api, old: Contact, new: Contact) -> None:
    Contact.objects.filter(pk=new.pk).update(opted_out_at=timezone.now())
    body = merge(api, old, new, choose={"name": old.pk}).json()
    assert (body["opted_in_at"], bool(body["opted_out_at"])) == (None, True)


def test_the_number_of_statements_does_not_grow_with_the_contacts(
    api: Api, acme: SimpleNamespace
) -> None:
    def cost(number: int) -> int:
        stays, *goes = (ContactFactory.create(tenant=acme.tenant) for _ in range(number))
        return len(statements(lambda: merge(api, stays, *goes)))

    cost(2)  # the first request costs more
    assert cost(2) == cost(10) <= 20


@pytest.mark.django_db(transaction=True)
def test_a_create_with_the_phone_that_goes_finds_the_contact_that_stays(
    acme: SimpleNamespace,
) -> None:
    stays, goes = (ContactFactory.create(tenant=acme.tenant, phone=p) for p in (PHONE, OTHER))

    def call(number: int) -> int:
        answer = acme.api.create(OTHER) if number else merge(acme.api, stays, goes)
        return answer.status_code

    assert all_at_once(call, callers=6) == [200, 201, 201, 201, 201, 201]
    assert Contact.objects.get().pk == stays.pk
    assert acme.api.act("get-contact", phone=OTHER).json()["id"] == stays.pk


@pytest.mark.django_db(transaction=True)
def test_merges_of_the_same_contacts_at_once_leave_one(acme: SimpleNamespace) -> None:
    contacts = [ContactFactory.create(tenant=acme.tenant) for _ in range(4)]

    def call(number: int) -> int:
        stays, *goes = contacts[number:] + contacts[:number]
        return merge(acme.api, stays, *goes).status_code

    assert {*all_at_once(call, callers=4)} == {200}
    assert Contact.objects.count() == 1
    assert_links_match_tags()


# undo


def test_a_merge_is_taken_back_and_done_again(
    api: Api, acme: SimpleNamespace, old: Contact, new: Contact
) -> None:
    Contact.objects.update(opted_in_at=None)
    before = held(acme.tenant)
    merged = merge(api, new, old, choose={"phone": old.pk, "name": old.pk}).json()
    after = held(acme.tenant)
    undone = api.act("undo", change_set=merged["change_set"]).json()
    assert undone == {"restored": 2, "kept": [], "change_set": last_set()}
    assert held(acme.tenant) == before
    again = api.act("undo", change_set=undone["change_set"].lower()).json()
    assert again["restored"] == 2
    assert held(acme.tenant) == after
    assert_links_match_tags()


def test_what_stays_is_listed_with_its_reason(api: Api, acme: SimpleNamespace) -> None:
    pk = api.create(PHONE, name="Ann", metadata={"a": 1}).json()["id"]
    api.act("update-contact", phone=PHONE, name="Bob", email="b@x.example", metadata={"a": 2})
    change_set = last_set()
    api.act("update-contact", phone=PHONE, name="Cleo", metadata={"a": 3})
    body = api.act("undo", change_set=change_set).json()
    shown = [(kept.pop("field"), kept.pop("message")) for kept in body["kept"]]
    assert shown == [
        ("metadata.a", "metadata.a has changed since"), ("name", "name has changed since"),
    ]  # fmt: skip
    assert body["kept"] == 2 * [{"contact_id": pk, "phone": PHONE, "reason": "changed"}]
    assert (body["restored"], stored(api, Contact.objects.get())["email"]) == (1, None)
    again = api.act("undo", change_set=change_set).json()
    assert (again["restored"], again["change_set"]) == (0, None)


def test_consent_stays_and_who_opted_out_is_not_deleted(api: Api, acme: SimpleNamespace) -> None:
    api.create(PHONE)
    created = last_set()
    api.act("record-consent", phone=PHONE, status="opted_out")
    for change_set in (last_set(), created):
        body = api.act("undo", change_set=change_set).json()
        assert [kept["reason"] for kept in body["kept"]] == ["consent"]
        assert body["restored"] == 0
    assert Contact.objects.get().opted_out_at


def test_a_change_set_of_nobody_or_of_another_tenant_is_not_found(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    acme.api.create(PHONE)
    change_set = last_set()
    for api, wanted in [(globex.api, change_set), (acme.api, new_ulid())]:
        body = assert_error(api.act("undo", change_set=wanted), 404, "not_found")
        assert body["message"] == "Change set not found"
    assert_error(outsider.api.act("undo", change_set=change_set), 422, "no_workspace")
    for wrong in ("", None, "x", 7, [change_set], "\0"):
        assert_error(acme.api.act("undo", change_set=wrong), 422, "validation_failed", "change_set")
    assert Contact.objects.count() == 1


def test_only_the_own_part_of_a_command_for_all_tenants_is_taken_back(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, tags=["vip"])
    call_command("retag", "--rename", "vip=gold", "--all-tenants", stdout=io.StringIO())
    assert acme.api.act("undo", change_set=last_set()).json()["restored"] == 1
    assert [one.tags for one in (acme.tenant.contacts.get(), globex.tenant.contacts.get())] == [
        ["vip"], ["gold"],
    ]  # fmt: skip


def test_a_change_set_that_is_still_written_is_a_conflict(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    pk = bring(tmp_path / "f.csv", f"phone\n{PHONE}\n")
    acme.tenant.imports.update(state=Import.State.QUEUED)
    assert_error(acme.api.act("undo", change_set=pk), 409, "not_finished")
    assert Contact.objects.count() == 1


def test_a_change_set_that_a_worker_has_not_begun_is_a_conflict_to_its_tenant_only(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    waiting = acme.api.send(f"phone\n{PHONE}\n", "/api/v1/imports", content_type="text/csv").json()
    assert_error(acme.api.act("undo", change_set=waiting["id"]), 409, "not_finished")
    assert_error(globex.api.act("undo", change_set=waiting["id"]), 404, "not_found")
    assert_error(outsider.api.act("undo", change_set=waiting["id"]), 422, "no_workspace")


def test_a_dry_run_of_undo_answers_the_same_and_writes_nothing(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    pk = bring(tmp_path / "f.csv", f"phone\n{PHONE}\n{OTHER}\n")
    acme.api.act("update-contact", phone=OTHER, name="Ann")
    before = all_rows(Contact, Change)
    tried = acme.api.act("undo", change_set=pk, dry_run=True).json()
    assert (tried["restored"], [kept["phone"] for kept in tried["kept"]]) == (1, [OTHER])
    assert all_rows(Contact, Change) == before
    done = acme.api.act("undo", change_set=pk).json()
    assert tried == done | {"change_set": None}


def test_a_large_change_set_is_left_to_a_worker(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dry run, too: it counts what the undo then does."""
    pk = bring(tmp_path / "f.csv", f"phone\n{PHONE}\n{OTHER}\n{THIRD}\n")
    acme.api.act("update-contact", phone=THIRD, name="Ann")
    for module in (undo, bulk_actions):
        monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(bulk_actions, "BATCH", 2)
    found = []
    for dry_run in (True, False):
        before = all_rows(Contact, Change)
        answer = acme.api.act("undo", change_set=pk, dry_run=dry_run)
        action = BulkAction.objects.get(finished_at=None)
        assert answer.status_code == 202
        assert answer.json() == {"restored": None, "kept": None, "change_set": action.pk}
        assert (action.kind, action.total, action.actor) == ("undo", 3, acme.token.actor)
        assert answer.headers["Location"] == f"/api/v1/bulk/{action.pk}"
        assert (bulk_job(acme, action)["state"], str(action).endswith("(dry run)")) == (
            "queued", dry_run,
        )  # fmt: skip
        assert all_rows(Contact, Change) == before
        assert bulk_actions.run(action)
        is_written = before != all_rows(Contact, Change)
        job = bulk_job(acme, action)
        assert (is_written, job["dry_run"]) == (not dry_run, dry_run)
        assert (job["change_set"], job["problem"]) == (None if dry_run else action.pk, None)
        shown = ("kind", "state", "total", "done", "changed", "refused", "refusals")
        found.append([job[name] for name in shown])
        other = globex.api.get(f"/api/v1/bulk/{action.pk}")
        assert other.status_code == 404
    assert found[0] == found[1]
    assert found[0][:6] == ["undo", "done", 3, 3, 2, 1]
    assert [*Contact.objects.values_list("phone", flat=True)] == [THIRD]


def bulk_job(member: SimpleNamespace, action: BulkAction) -> Any:
    answer = member.api.get(f"/api/v1/bulk/{action.pk}")
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("kind", BulkAction.Kind.values)
def test_every_kind_of_bulk_action_of_the_tenant_is_told_and_no_other(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, kind: str
) -> None:
    action = BulkAction.objects.create(
        tenant=acme.tenant, kind=kind, value="a", total=5, done=3, changed=1, refused=1,
        refusals=[[PHONE, "has too many tags"]], problem=bulk_actions.STOPPED,
    )  # fmt: skip
    job = bulk_job(acme, action)
    assert (job["kind"], job["state"], job["unchanged"]) == (kind, "running", 1)
    assert job["refusals"] == [{"phone": PHONE, "reason": "has too many tags"}]
    assert (job["problem"], job["finished_at"]) == (bulk_actions.STOPPED, None)
    address = f"/api/v1/bulk/{action.pk}"
    assert_error(globex.api.get(address), 404, "not_found")
    assert_error(outsider.api.get(address), 422, "no_workspace")
    assert_error(acme.api.get("/api/v1/bulk/nonsense"), 404, "not_found")
    BulkAction.objects.update(changed=0, finished_at=timezone.now())
    assert [bulk_job(acme, action)[name] for name in ("state", "change_set")] == ["done", None]
