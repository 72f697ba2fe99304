"""bulk-update, bulk-delete, the actions of tags, and erase-contact over the API."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django_tasks_db.models import DBTaskResult

from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Change, Contact, Erasure, StoredAnswer
from tests.support.api import ACTIONS, PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.sql import assert_links_match_tags

pytestmark = [pytest.mark.both, pytest.mark.django_db]
VIPS = {"filter": {"tags_all": ["vip"]}}


@pytest.fixture
def people(acme: SimpleNamespace, globex: SimpleNamespace) -> list[Contact]:
    ContactFactory.create(tenant=globex.tenant, name="G", tags=["vip"])
    ContactFactory.create(tenant=acme.tenant, name="Z", tags=["other"])
    return [ContactFactory.create(tenant=acme.tenant, name=n, tags=["vip", "x"]) for n in "ABC"]


@pytest.fixture
def in_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "AT_ONCE", 0)
    monkeypatch.setattr(bulk_actions, "BATCH", 2)


def done(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.json()
    assert answer.headers["Location"] == f"/api/v1/bulk/{answer.json()['id']}"
    return answer.json()


def held() -> list[Any]:
    columns = ("name", "tags", "locale", "opted_out_at")
    return sorted(Contact.objects.values_list(*columns), key=str)


def tags() -> dict[str, str]:
    return {name: ",".join(tags) for name, tags in Contact.objects.values_list("name", "tags")}


def test_an_update_makes_all_its_changes_and_undo_takes_them_back_but_opt_outs(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    before = held()
    body = VIPS | {"add_tags": "new, y", "remove_tags": ["x"], "locale": "fr-FR", "opt_out": True}
    job = done(acme.api.act("bulk-update", **body))
    assert (job["state"], job["kind"], job["total"], job["changed"]) == ("done", "update", 3, 3)
    changed = Contact.objects.filter(tenant=acme.tenant, tags__contains="vip")
    assert {(",".join(c.tags), c.locale, c.opted_out_at is None) for c in changed} == {
        ("vip,new,y", "fr-FR", False)
    }
    assert tags()["G"] == "vip"
    assert_links_match_tags()
    logged = Change.objects.filter(change_set=job["change_set"])
    assert {change.actor for change in logged} == {acme.token.actor}
    opted = logged.filter(kind=Change.Kind.OPTED_OUT).first()
    assert opted
    assert opted.fields["consent"]["source"] == bulk_actions.UPDATE_SOURCE
    undone = acme.api.act("undo", change_set=job["change_set"]).json()
    assert undone["restored"] == 3
    assert {kept["reason"] for kept in undone["kept"]} == {"consent"}
    assert [row[:3] for row in held()] == [row[:3] for row in before]


def test_a_contact_that_is_as_it_should_be_is_not_changed_and_refusals_are_listed(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    full = [f"t{n}" for n in range(99)]
    full_one = ContactFactory.create(tenant=acme.tenant, name="F", tags=["vip", *full])
    acme.api.act("update-contact", contact_id=people[0].pk, tags=["vip", "x", "new"])
    job = done(acme.api.act("bulk-update", **VIPS, add_tags=["new"]))
    assert (job["total"], job["changed"], job["refused"]) == (4, 2, 1)
    [refusal] = job["refusals"]
    assert refusal["phone"] == full_one.phone
    assert "at most 100 tags" in refusal["reason"]


def test_a_deletion_is_undone_by_its_change_set(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    job = done(acme.api.act("bulk-delete", **VIPS))
    assert (job["changed"], sorted(tags())) == (3, ["G", "Z"])
    assert acme.api.act("undo", change_set=job["change_set"]).json()["restored"] == 3
    assert sorted(tags()) == ["A", "B", "C", "G", "Z"]


def test_a_dry_run_only_counts(acme: SimpleNamespace, people: list[Contact]) -> None:
    before = held()
    for action, more in (("bulk-update", {"add_tags": ["new"]}), ("bulk-delete", {})):
        answer = acme.api.act(action, **VIPS, **more, dry_run=True)
        job = answer.json()
        assert answer.status_code == 202
        assert (job["total"], job["dry_run"], job["id"], job["state"]) == (3, True, None, "done")
        assert "Location" not in answer.headers
    assert held() == before
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize("action", ["bulk-update", "bulk-delete", "merge-contacts", "undo"])
@pytest.mark.parametrize("query", ["?dry_run", "?dry_run=true"])
def test_a_dry_run_in_the_address_is_refused(
    acme: SimpleNamespace, people: list[Contact], action: str, query: str
) -> None:
    """Actions ignore the address otherwise: the caller believes in a dry run, and loses rows."""
    acme.api.create(PHONE)
    change_set = Change.objects.latest("pk").change_set
    bodies: dict[str, dict[str, Any]] = {
        "bulk-update": VIPS | {"add_tags": ["new"]},
        "bulk-delete": VIPS,
        "merge-contacts": {"contact_id": people[0].pk, "merge_ids": [people[1].pk]},
        "undo": {"change_set": change_set},
    }
    before = held()
    answer = acme.api.act(action + query, **bodies[action])
    error = assert_error(answer, 422, "validation_failed", "dry_run")
    assert "in the body" in error["message"]
    assert held() == before


def test_many_contacts_are_left_to_a_worker_and_chosen_when_it_is_asked(
    acme: SimpleNamespace,
    people: list[Contact],
    in_background: None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = done(acme.api.act("bulk-update", **VIPS, add_tags=["new"]))
    assert (job["state"], job["total"], job["done"]) == ("queued", 3, 0)
    assert_error(acme.api.act("undo", change_set=job["id"]), 409, "not_finished")
    ContactFactory.create(tenant=acme.tenant, name="Late", tags=["vip"])
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    action = BulkAction.objects.get()
    assert (action.done, action.changed, action.finished_at is None) == (3, 3, False)
    assert tags()["Late"] == "vip"


def test_one_tenant_cannot_start_any_number_of_changes(
    acme: SimpleNamespace, globex: SimpleNamespace, people: list[Contact], in_background: None
) -> None:
    for _ in range(bulk_actions.MAX_RUNNING):
        done(acme.api.act("bulk-update", **VIPS, add_tags=["new"]))
    assert_error(acme.api.act("bulk-delete", **VIPS), 409, "not_finished")
    done(globex.api.act("bulk-delete", **VIPS))


@in_one_test(
    ("action", "body", "field"),
    [
        ("bulk-delete", {}, "filter"),
        ("bulk-delete", {"filter": {}}, "filter"),
        ("bulk-delete", {"filter": {"tags_all": ""}}, "filter"),
        ("bulk-update", VIPS, "add_tags"),
        ("bulk-update", VIPS | {"add_tags": [], "opt_out": False}, "add_tags"),
        ("bulk-update", VIPS | {"add_tags": ["a", "b"], "remove_tags": ["b"]}, "remove_tags"),
        ("bulk-update", VIPS | {"locale": "x" * 36}, "locale"),
        ("bulk-update", VIPS | {"opt_out": "maybe"}, "opt_out"),
        ("bulk-update", VIPS | {"add_tags": ["a,b"]}, "add_tags"),
        ("bulk-delete", VIPS | {"dry_run": "x"}, "dry_run"),
        ("rename-tag", {"tag": "vip", "new_tag": "vip"}, "new_tag"),
        ("rename-tag", {"tag": "vip", "new_tag": "a,b"}, "new_tag"),
        ("rename-tag", {"tag": "vip"}, "new_tag"),
        ("merge-tags", {"tags": [], "into": "vip"}, "tags"),
        ("merge-tags", {"tags": ["vip"], "into": "vip"}, "tags"),
        ("delete-tag", {"tag": ""}, "tag"),
    ],
)
def test_a_bad_body_changes_nothing(
    acme: SimpleNamespace, people: list[Contact], action: str, body: dict[str, Any], field: str
) -> None:
    before = held()
    assert_error(acme.api.act(action, **body), 422, "validation_failed", field)
    assert held() == before
    assert not BulkAction.objects.exists()


def test_everybody_can_be_meant_only_explicitly(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    everybody = {"created_since": "1970-01-01T00:00:00Z"}
    assert done(acme.api.act("bulk-update", filter=everybody, locale=""))["total"] == 4


@pytest.mark.parametrize("action", ["bulk-update", "bulk-delete", "delete-tag", "record-message"])
def test_a_change_that_is_sent_twice_with_one_key_is_made_once(
    acme: SimpleNamespace, people: list[Contact], action: str
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "bulk-update": VIPS | {"add_tags": ["new"]}, "bulk-delete": VIPS,
        "delete-tag": {"tag": "vip"}, "record-message": {"contact_id": people[0].pk},
    }  # fmt: skip
    body = json.dumps(bodies[action])
    first, again = (
        acme.api.send(body, ACTIONS + action, **{"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert BulkAction.objects.count() == (action != "record-message")


def test_another_tenant_and_an_outsider_change_nothing(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace,
    people: list[Contact],
) -> None:  # fmt: skip
    mine = list(acme.tenant.contacts.order_by("pk").values())
    done(globex.api.act("bulk-update", **VIPS, add_tags=["new"]))
    done(globex.api.act("delete-tag", tag="vip"))
    assert_error(globex.api.act("delete-tag", tag="x"), 404, "not_found")
    assert_error(globex.api.act("erase-contact", contact_id=people[0].pk), 404, "not_found")
    assert_error(outsider.api.act("bulk-delete", **VIPS), 422, "no_workspace")
    assert list(acme.tenant.contacts.order_by("pk").values()) == mine


# Tags


def test_a_tag_is_renamed_merged_and_deleted_and_each_can_be_undone(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    api = acme.api
    done(api.act("rename-tag", tag="vip", new_tag="gold"))
    assert tags() == {"A": "gold,x", "B": "gold,x", "C": "gold,x", "G": "vip", "Z": "other"}
    job = done(api.act("merge-tags", tags=["gold", "x"], into="other"))
    assert job["changed"] == 3
    assert {name for name in api.act("list-tags").json() for name in [name["name"]]} == {"other"}
    api.act("undo", change_set=job["change_set"])
    assert tags()["A"] == "gold,x"
    job = done(api.act("delete-tag", tag="x"))
    assert (tags()["A"], job["changed"]) == ("gold", 3)
    api.act("undo", change_set=job["change_set"])
    assert tags()["A"] == "gold,x"
    assert_links_match_tags()


def test_a_tag_is_not_renamed_to_one_that_exists(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    answer = acme.api.act("rename-tag", tag="vip", new_tag="other")
    assert "“other”" in assert_error(answer, 409, "conflict")["message"]
    assert_error(acme.api.act("rename-tag", tag="none", new_tag="y"), 404, "not_found")
    assert_error(acme.api.act("merge-tags", tags=["x", "none"], into="y"), 404, "not_found")
    assert not BulkAction.objects.exists()


# Erasing


def test_a_person_is_erased_and_no_stored_answer_names_the_person(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    api = acme.api
    contact_id = api.create(name="Ann").json()["id"]
    body = json.dumps({"phone": PHONE})
    answer = api.send(body, ACTIONS + "erase-contact", **{"Idempotency-Key": "k"})
    assert answer.json() == {
        "id": contact_id, "erased": True, "merged_into": [], "waiting_imports": [],
        "unreadable_files": 0,
    }  # fmt: skip
    assert not Contact.objects.filter(phone=PHONE).exists()
    assert Erasure.objects.filter(tenant=acme.tenant).exists()
    assert not Change.objects.filter(contact_id=contact_id).exclude(fields={}).exists()
    assert not [row for row in StoredAnswer.objects.all() if "4155550123" in row.body]
    again = api.act("erase-contact", phone=PHONE)
    assert (again.status_code, again.json()["id"]) == (200, None), "its files are searched again"
    assert_error(api.act("erase-contact", phone="+14155550111"), 404, "not_found")


def test_after_an_erasure_with_a_key_files_are_searched_again_at_the_commit(
    acme: SimpleNamespace, api: Api, django_capture_on_commit_callbacks: Any
) -> None:
    """Until then, an import does not see the erasure, and may write the person into a file."""
    api.create(name="Ann")
    with django_capture_on_commit_callbacks() as callbacks:
        api.act("erase-contact", phone=PHONE)
    assert [getattr(call, "func", call).__name__ for call in callbacks] == ["erase_files"]
