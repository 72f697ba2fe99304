"""The change log: every door writes it, with the rows it tells of; readers miss nothing."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from datetime import timezone as tz
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.change_log.difference import exchanged, of_metadata, of_tags
from contacts.finding import cursors
from contacts.models import Change, Contact, Entry, Tag
from contacts.writing import edit, former_phones, merge
from tenants.fields import new_ulid
from tests.support.admin import contact_form, url
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.changes import logged, settle
from tests.support.factories import ContactFactory, TenantFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
START = {"name": "Ann", "tags": ["vip", "a"], "metadata": {"n": 1, "k": "x"}}
END = {"name": "Bob", "tags": ["vip", "b"], "metadata": {"n": 2, "k": "x"}}
TOLD = {
    "name": {"old": "Ann", "new": "Bob"},
    "tags": {"added": ["b"], "removed": ["a"]},
    "metadata": {"n": {"old": 1, "new": 2}},
}


def pages(api: Api, **body: Any) -> Iterator[dict[str, Any]]:
    if not body.keys() & {"phone", "contact_id"}:
        settle()
    while True:
        answer = api.act("list-changes", **body)
        assert answer.status_code == 200, answer.json()
        page = answer.json()
        yield from page["data"]
        if not page["data"]:
            return
        body["cursor"] = page["next_cursor"]


# Every door


def through_create_contact(acme: SimpleNamespace, path: Path) -> str:
    assert acme.api.create(PHONE, **END).status_code == 201
    return acme.token.actor


def through_create_contacts(acme: SimpleNamespace, path: Path) -> str:
    answer = acme.api.act("create-contacts", contacts=[{"phone": PHONE} | END])
    assert answer.json()["failed"] == 0
    return acme.token.actor


def through_update_contact(acme: SimpleNamespace, path: Path) -> str:
    body = END | {"phone": PHONE, "metadata": {"n": 2}}
    assert acme.api.act("update-contact", **body).status_code == 200
    return acme.token.actor


def through_import(acme: SimpleNamespace, path: Path) -> str:
    path.write_text(json.dumps({"phone": PHONE} | END))
    call_command("import_contacts", str(path), "--tenant", "acme", stdout=io.StringIO())
    return f"import:{acme.tenant.imports.latest('pk').pk}"


def through_the_model(acme: SimpleNamespace, path: Path) -> str:
    with caused_by("command:mine"):
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults=END)
    return "command:mine"


DOORS = [
    through_create_contact, through_create_contacts, through_update_contact, through_import,
    through_the_model,
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_every_door_logs_the_same(acme: SimpleNamespace, tmp_path: Path, door: Any) -> None:
    acme.tenant.contacts.update_or_create(phone=PHONE, defaults=START)
    for turn in range(2):
        actor = door(acme, tmp_path / f"records{turn}")
        assert logged() == [("created", {}), ("updated", TOLD)], "the second time nothing changes"
        if turn == 0:
            change = Change.objects.latest("pk")
            assert (change.actor, change.contact_id) == (actor, Contact.objects.get().pk)
            assert change.tenant == acme.tenant
            assert change.change_set


def test_the_admin_logs_who_it_was(staff: Any, acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, **START)
    address = url(Contact, "change", contact.pk)
    data = contact_form(staff, address, name="Bob", tags="vip, b", metadata='{"n": 2, "k": "x"}')
    assert staff.post(address, data).status_code == 302
    assert logged()[1:] == [("updated", TOLD)]
    change = Change.objects.latest("pk")
    assert change.actor.startswith("user:")
    assert change.request_id
    staff.post(url(Contact, "delete", contact.pk), {"post": "yes"})
    assert logged()[-1][0] == "deleted"


@pytest.mark.parametrize("action", ["add-tag", "remove-tag"])
def test_the_tag_actions_log_the_tag_alone(api: Api, action: str) -> None:
    api.create(tags="a,b")
    order = {"old": ["a", "b"], "new": ["b"]}
    done = {
        "add-tag": {"added": ["c"], "removed": []},
        "remove-tag": {"added": [], "removed": ["a"], "order": order},
    }
    for _ in range(2):
        api.act(action, phone=PHONE, tag={"add-tag": "c", "remove-tag": "a"}[action])
    assert logged()[1:] == [("updated", {"tags": done[action]})]


def test_what_ends_is_logged_with_all_that_it_held(api: Api, acme: SimpleNamespace) -> None:
    api.create(**START)
    api.act("delete-contact", phone=PHONE)
    [_, (kind, fields)] = logged()
    assert (kind, fields) == (
        "deleted",
        {
            "source": {"old": "api", "new": None}, "created_at": {"old": ANY, "new": None},
            "phone": {"old": PHONE, "new": None}, "name": {"old": "Ann", "new": None},
            "tags": {"added": [], "removed": ["vip", "a"]},
            "metadata": {"n": {"old": 1}, "k": {"old": "x"}},
        },
    )  # fmt: skip


def test_bulk_work_logs_each_contact_under_one_change_set(acme: SimpleNamespace) -> None:
    for n in range(3):
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555000{n}", tags=["a"])
    elsewhere = ContactFactory.create(tags=["a"])
    call_command("retag", "--rename", "a=b", "--tenant", "acme", stdout=io.StringIO())
    renamed = Change.objects.filter(actor="command:retag")
    assert (
        logged(actor="command:retag")
        == [("updated", {"tags": {"added": ["b"], "removed": ["a"]}})] * 3
    )
    assert renamed.values("change_set").distinct().count() == 1
    assert not renamed.filter(contact_id=elsewhere.pk).exists()
    Tag.objects.get(tenant=acme.tenant, name="b").delete()
    assert logged()[-3:] == [("updated", {"tags": {"added": [], "removed": ["b"]}})] * 3


def test_a_merge_tells_where_to(acme: SimpleNamespace) -> None:
    old = ContactFactory.create(tenant=acme.tenant, phone="+551187654321", name="", tags=["a"])
    new = ContactFactory.create(tenant=acme.tenant, phone="+5511987654321", name="Bia", tags=["b"])
    command = ["merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes"]
    call_command(*command, "--dry-run", stdout=io.StringIO())
    assert not Change.objects.filter(kind="merged").exists()
    call_command(*command, stdout=io.StringIO())
    [(_, fields)] = logged(contact_id=new.pk, kind="merged")
    assert Change.objects.get(kind="merged").into == old.pk
    assert fields["name"] == {"old": "Bia", "new": None}
    [(_, fields)] = logged(contact_id=old.pk, kind="updated")
    assert fields == {
        "name": {"old": None, "new": "Bia"}, "tags": {"added": ["b"], "removed": []},
        "former_phones": {"added": [new.phone], "removed": []},
    }  # fmt: skip


def test_what_is_rolled_back_is_not_logged(acme: SimpleNamespace) -> None:
    with transaction.atomic():
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults=START)
        transaction.set_rollback(True)
    assert logged() == []


def test_the_statements_do_not_grow_with_the_rows(acme: SimpleNamespace) -> None:
    def cost(number: int) -> int:
        rows = [{"phone": f"+1415555{n:04}", "tags": f"t{n % 3}"} for n in range(number)]
        acme.api.act("create-contacts", contacts=rows)
        changed = [row | {"name": "x"} for row in rows]
        return len(statements(lambda: acme.api.act("create-contacts", contacts=changed)))

    assert cost(2) == cost(200)
    assert Change.objects.filter(fields__has_key="name", fields__name__new="x").count() == 202


# What differs


@given(
    st.lists(st.sampled_from("abcde"), unique=True), st.lists(st.sampled_from("abcde"), unique=True)
)
def test_the_difference_of_tags_leads_from_one_to_the_other(old: list[str], new: list[str]) -> None:
    told = of_tags(",".join(old), ",".join(new))
    assert {*new} == {*old} - {*told["removed"]} | {*told["added"]}
    if "order" in told:
        assert told["order"] == {"old": old, "new": new}
    else:
        assert exchanged(old, told["removed"], told["added"]) == new
        assert exchanged(new, told["added"], told["removed"]) == old


JSON = st.none() | st.booleans() | st.integers(0, 1) | st.just(1.5) | st.sampled_from(["", "x"])


@given(*[st.dictionaries(st.sampled_from("abc"), JSON)] * 2)
def test_the_difference_of_metadata_leads_there_and_back(old: dict, new: dict) -> None:
    told = of_metadata(old, new)

    def moved(start: dict, to: str) -> dict:
        kept = {key: value for key, value in start.items() if key not in told}
        return kept | {key: sides[to] for key, sides in told.items() if to in sides}

    assert json.dumps(moved(old, "new"), sort_keys=True) == json.dumps(new, sort_keys=True)
    assert json.dumps(moved(new, "old"), sort_keys=True) == json.dumps(old, sort_keys=True)


# list-changes


@pytest.mark.django_db(transaction=True)  # what a running one has written is not settled
def test_changes_are_listed_oldest_first_page_by_page(api: Api, acme: SimpleNamespace) -> None:
    for n in range(7):
        api.create(f"+1415555000{n}")
    api.create("+14155550003", name="Ann")
    everything = list(pages(api))
    assert [change["kind"] for change in everything] == ["created"] * 7 + ["updated"]
    for limit in (1, 3, 7, 8, 500):
        assert list(pages(api, limit=limit)) == everything
    last = everything[-1]
    assert last["changes"] == {"name": {"old": None, "new": "Ann"}}
    assert last["actor"] == acme.token.actor
    assert last["at"].endswith("+00:00")
    [created, updated] = pages(api, phone="+1 415 555 0003", limit=1)
    assert updated == last
    assert created["sequence"] < updated["sequence"]


@pytest.mark.django_db(transaction=True)  # what a running one has written is not settled
def test_a_reader_goes_on_where_it_was(api: Api) -> None:
    empty = api.act("list-changes").json()
    assert empty["data"] == []
    api.create()
    settle()
    page = api.act("list-changes", cursor=empty["next_cursor"]).json()
    assert [change["kind"] for change in page["data"]] == ["created"]
    again = api.act("list-changes", cursor=page["next_cursor"]).json()
    assert again["data"] == []
    places = {one["next_cursor"].partition(":")[0] for one in (again, page)}
    assert len(places) == 1, "the rest of a cursor is the time of its signature"
    api.act("delete-contact", phone=PHONE)
    settle()
    [deleted] = api.act("list-changes", cursor=page["next_cursor"]).json()["data"]
    assert deleted["kind"] == "deleted"


def test_a_contact_that_is_gone_has_its_history_still(api: Api) -> None:
    pk = api.create().json()["id"]
    api.act("delete-contact", phone=PHONE)
    assert [change["kind"] for change in pages(api, contact_id=pk)] == ["created", "deleted"]
    assert_error(api.act("list-changes", phone=PHONE), 404, "not_found")
    unknown = api.act("list-changes", contact_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert_error(unknown, 404, "not_found")


def test_changes_of_another_tenant_are_not_seen(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    pk = acme.api.create().json()["id"]
    cursor = acme.api.act("list-changes").json()["next_cursor"]
    assert globex.api.act("list-changes").json()["data"] == []
    assert_error(globex.api.act("list-changes", contact_id=pk), 404, "not_found")
    assert_error(globex.api.act("list-changes", phone=PHONE), 404, "not_found")
    assert_error(globex.api.act("list-changes", cursor=cursor), 422, "validation_failed", "cursor")
    assert_error(outsider.api.act("list-changes"), 422, "no_workspace")


@in_one_test(
    ("field", "value"),
    [("limit", 0), ("limit", 501), ("limit", "one"), ("cursor", "x"), ("cursor", 1),
     ("contact_id", "x"), ("phone", "415"), ("phone", " "), ("phone", 1)],
)  # fmt: skip
def test_a_bad_value_is_named(api: Api, field: str, value: Any) -> None:
    assert_error(api.act("list-changes", **{field: value}), 422, "validation_failed", field)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_a_late_commit_is_not_missed(acme: SimpleNamespace) -> None:
    """A change gets its number before its commit: here an earlier number commits later."""
    written, may_commit = Event(), Event()

    def slow() -> None:
        with transaction.atomic():
            acme.tenant.contacts.update_or_create(phone="+14155550101")
            written.set()
            may_commit.wait(60)
        connection.close()

    thread = Thread(target=slow)
    thread.start()
    assert written.wait(60)
    acme.api.create("+14155550102")
    page = acme.api.act("list-changes").json()
    assert page["data"] == [], "the first one may come yet"
    assert len(list(pages(acme.api, phone="+14155550102"))) == 1, "of one contact it is at once"
    may_commit.set()
    thread.join()
    assert len(list(pages(acme.api, cursor=page["next_cursor"]))) == 2


def cursor_at(change: Change) -> str:
    """As it was given out before the dump was made."""
    return cursors.write((change.xid, change.pk), change.tenant_id, "changes", "")


def next_xid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite numbers no transactions")
@pytest.mark.parametrize("ahead", [1000, 2**60])
def test_the_feed_goes_on_after_a_dump_was_restored_on_another_server(api: Api, ahead: int) -> None:
    """Whose transactions have lower numbers than those of the dump, at first."""
    for n in range(6):
        api.create(f"+1415555000{n}")
    changes = list(Change.objects.order_by("pk"))
    for n, change in enumerate(changes):  # some of them lower than the new server's
        change.xid = 100 + n if n < 3 else next_xid() + ahead + n
        change.save()
    assert len(api.act("list-changes").json()["data"]) < 6, "not settled before migrate has run"
    call_command("migrate", verbosity=0)
    api.create("+14155550009")
    new = Change.objects.latest("pk")
    while ahead == 1000 and next_xid() < changes[-1].xid + 2:
        pass  # the new server has come as far as the old one was
    expected = [*[change.pk for change in changes], new.pk]
    assert [change["sequence"] for change in pages(api)] == expected
    for n, change in enumerate(changes):
        found = [c["sequence"] for c in pages(api, cursor=cursor_at(change), limit=2)]
        assert found == expected[n + 1 :]
    call_command("migrate", verbosity=0)
    assert Change.objects.get(pk=new.pk).xid == new.xid, "it is this server's own"


@pytest.mark.django_db(transaction=True)
def test_the_feed_goes_on_after_the_database_was_taken_back_to_a_moment(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    """A reader has read changes that are gone. New ones have their numbers again."""
    for api in (acme.api, globex.api):
        api.create("+14155550000")
    old = Change.objects.get(tenant=acme.tenant)
    lost = Change(tenant=acme.tenant, pk=Change.objects.latest("pk").pk + 2, xid=old.xid)
    if connection.vendor == "postgresql":
        lost.xid = next_xid() + 1000
    assert acme.api.act("list-tags").status_code == 200
    call_command("settle_changes", stdout=io.StringIO())
    new = [acme.api.create(f"+1415555000{n}", tags="vip").json()["id"] for n in (1, 2, 3)]
    assert [change["contact_id"] for change in pages(acme.api, cursor=cursor_at(lost))] == new
    everything = [change["contact_id"] for change in pages(acme.api)]
    assert everything == [old.contact_id, *new]
    assert [change["contact_id"] for change in pages(acme.api, cursor=cursor_at(old))] == new
    assert acme.api.act("list-tags").json()[0]["contacts_count"] == 3
    call_command("settle_changes", stdout=io.StringIO())
    assert [change["contact_id"] for change in pages(acme.api)] == everything
    assert len([*pages(globex.api)]) == 1


@pytest.mark.django_db(transaction=True)
def test_the_feed_goes_on_after_it_was_taken_back_twice_with_nothing_new_between(
    api: Api,
) -> None:
    api.create("+14155550000")
    call_command("settle_changes", stdout=io.StringIO())
    api.create("+14155550001")
    body = {"cursor": [*api.act("list-changes").json().values()][-1]}
    settle()
    body = {"cursor": api.act("list-changes", **body).json()["next_cursor"]}
    Change.objects.latest("pk").delete()
    call_command("settle_changes", stdout=io.StringIO())
    new = api.create("+14155550002").json()["id"]
    Change.objects.filter(contact_id=new).update(xid=0)  # as if fewer transactions had run
    assert [change["contact_id"] for change in pages(api, **body)] == [new]


# Forgotten


def test_erasing_a_person_empties_what_is_told_and_keeps_the_fact(acme: SimpleNamespace) -> None:
    """It empties the entries of contacts that had the phone when they were deleted, too, and of
    contacts that were merged into one with the phone."""
    api = acme.api
    api.create(**START)
    api.act("delete-contact", phone=PHONE)
    api.create(**START)
    api.create(**END)
    twin = ContactFactory.create(tenant=acme.tenant, phone="+14155550199", email="x@x.example")
    Contact.objects.filter(phone=PHONE).update(email="x@x.example", email_folded="x@x.example")
    merge = ["merge_duplicates", "--by", "email", "--tenant", "acme", "--yes"]
    call_command(*merge, stdout=io.StringIO())
    stranger = ContactFactory.create(tenant=acme.tenant, phone="+33612345678", name="Zoe")
    stranger.delete()
    other = TenantFactory.create()
    ContactFactory.create(tenant=other, phone=PHONE, name="Theirs").delete()
    call_command("erase_contact", PHONE, "--tenant", "acme", stdout=io.StringIO())
    ours = Change.objects.filter(tenant=acme.tenant).exclude(contact_id=stranger.pk)
    assert not ours.exclude(fields={}).exists()
    assert {*ours.values_list("kind", flat=True)} == {
        "created", "updated", "deleted", "merged", "erased",
    }  # fmt: skip
    assert ours.filter(contact_id=twin.pk).exists()
    assert ours.get(kind="erased").actor == "command:erase_contact"
    assert Change.objects.filter(fields__name__old="Zoe").exists()
    assert Change.objects.filter(tenant=other, fields__name__old="Theirs").exists()


@pytest.mark.parametrize("erased", ["Mid", "Far"])
def test_erasing_a_person_follows_a_chain_of_merges_both_ways(
    acme: SimpleNamespace, erased: str
) -> None:
    """Without former phones, as after a merge by a version that did not keep them: the contact that
    stays may be another person. Its own values stay, and it is named."""
    people = {}
    for n, name in enumerate(["Own", "Mid", "Far"]):
        people[name] = ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555000{n}", name=name, email=f"{name}@x.example"
        )
    merge.merge([[people["Mid"], people["Far"]]])
    with caused_by("command:mine"):
        merge.merge([[people["Own"], people["Mid"]]])
    former_phones.delete(Contact.all_phones.exclude(former_of=None))
    acme.api.act("update-contact", phone=people["Own"].phone, metadata={"kept": 1})
    out = io.StringIO()
    phone = people[erased].phone
    call_command("erase_contact", phone, "--tenant", "acme", "--yes", stdout=out)
    assert "It was merged into +14155550000. If this is the same person" in out.getvalue()
    told = json.dumps([*Change.objects.values_list("fields", flat=True)])
    assert "Mid" not in told
    assert "Far" not in told
    assert "kept" in told


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
def test_who_had_a_phone_is_found_by_an_index(acme: SimpleNamespace) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    # In a table with nothing in it any index is as good.
    renamed = {"name": {"old": "Ann", "new": "Bob"}}
    Change.objects.log(
        Entry(acme.tenant.pk, new_ulid(), Change.Kind.UPDATED, renamed) for _ in range(2000)
    )
    found = acme.tenant.changes.filter(fields__phone__old=PHONE, fields__has_key="phone")
    assert "change_of_phone" in found.explain()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_nobody_waits_while_a_person_is_erased(acme: SimpleNamespace) -> None:
    with transaction.atomic():
        erasing.erase(acme.tenant, PHONE)
        answers: list[int] = []

        def create() -> None:
            answers.append(acme.api.create("+14155550124").status_code)
            connection.close()

        thread = Thread(target=create)
        thread.start()
        thread.join(60)
        assert answers == [201]


def test_the_same_moment_in_another_time_zone_is_no_change(acme: SimpleNamespace) -> None:
    now = timezone.now()
    contact = ContactFactory.create(tenant=acme.tenant, opted_in_at=now)
    contact.opted_in_at = now.astimezone(tz(timedelta(hours=2)))
    contact.save()
    assert [kind for kind, _ in logged()] == ["created"]


def test_old_changes_are_pruned(acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contacts.models.change.PRUNED", 2)
    for n in range(5):
        acme.api.create(f"+1415555000{n}")
    old = list(Change.objects.order_by("pk").values_list("pk", flat=True)[:3])
    Change.objects.filter(pk__in=old).update(at=timezone.now() - timedelta(days=401))
    out = io.StringIO()
    call_command("prune_changes", "--older-than", "400d", stdout=out)
    assert out.getvalue() == "changes deleted: 3\n"
    assert not Change.objects.filter(pk__in=old).exists()
    assert Change.objects.count() == 2


WRITERS: list[Callable[[Contact], Any]] = [
    lambda contact: contact.save(),
    lambda contact: edit.change_many([contact], ["name"]),
    lambda contact: edit.change_many([], ["name"]),
]


@pytest.mark.parametrize("write", WRITERS)
def test_what_changes_nothing_is_not_logged(acme: SimpleNamespace, write: Any) -> None:
    contact = ContactFactory.create(tenant=acme.tenant)
    write(contact)
    assert [kind for kind, _ in logged()] == ["created"]


def test_the_changes_of_the_last_day_are_never_pruned(acme: SimpleNamespace) -> None:
    acme.api.create()
    with pytest.raises(CommandError, match="at least one day"):
        call_command("prune_changes", "--older-than", "0d")
    assert acme.tenant.changes.exists()
