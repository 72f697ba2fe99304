"""Undo: what a change set wrote is taken back where nobody has changed it since."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from contacts.change_log.cause import caused_by
from contacts.models import Change, Contact
from contacts.writing.undo import undo
from tenants.fields import new_ulid
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.commands import lines
from tests.support.examples import FEW
from tests.support.factories import ContactFactory, TenantFactory
from tests.support.sql import assert_links_match_tags, statements
from tests.support.undo import OTHER, bring, held, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def take_back(*options: str) -> list[str]:
    return lines("undo", "--change-set", last_set(), *options)


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Contact]:
    return [
        ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555000{n}", name=f"n{n}", tags=["a", "vip", "z"],
            metadata={"n": n, "k": {"x": None}}, total_messages=n,
        )
        for n in range(5)
    ]  # fmt: skip


def test_a_command_is_taken_back_as_a_whole(acme: SimpleNamespace, people: Any) -> None:
    elsewhere = ContactFactory.create(tags=["vip"])
    before, theirs = held(acme.tenant), held(elsewhere.tenant)
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    expected = [f"acme {contact.phone}: tags" for contact in people]
    assert take_back("--dry-run") == [*expected, "dry run: contacts changed back: 5"]
    assert held(acme.tenant) != before
    assert take_back() == [*expected, "contacts changed back: 5"]
    assert held(acme.tenant) == before, "the tag is where it was"
    assert held(elsewhere.tenant) == theirs
    assert_links_match_tags()
    assert {*Change.objects.filter(change_set=last_set()).values_list("actor", flat=True)} == {
        "command:undo"
    }


def test_what_was_changed_since_stays_and_is_reported(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    start = {"name": "Ann", "email": "a@x.example", "metadata": {"a": 1, "b": 1, "c": 1}}
    acme.api.create(PHONE, **start)
    pk = bring(
        tmp_path / "f.csv", f"phone,name,email,a,b,d\n{PHONE},Bob,b@x.example,2,2,2\n",
        "--rest-to-metadata",
    )  # fmt: skip
    acme.api.act("update-contact", phone=PHONE, name="Cleo", metadata={"b": 3})
    said = lines("undo", "--change-set", pk)
    assert said == [
        f"acme {PHONE}: email, metadata",
        f"acme {PHONE}: metadata.b has changed since",
        f"acme {PHONE}: name has changed since",
        "contacts changed back: 1",
        "not changed, see above: 2",
    ]
    contact = Contact.objects.get()
    assert (contact.name, contact.email) == ("Cleo", "a@x.example")
    assert contact.metadata == {"a": 1, "b": 3, "c": 1}


def test_an_import_is_taken_back_with_the_contacts_that_it_made(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    acme.api.create(PHONE, name="Ann", tags="vip")
    before = held(acme.tenant)
    pk = bring(tmp_path / "f.csv", f"phone,name,tags\n{PHONE},Bob,new\n{OTHER},Zoe,new\n")
    assert lines("undo", "--change-set", pk.lower(), "--dry-run")[-1].endswith("back: 2")
    assert len(held(acme.tenant)) == 2
    said = lines("undo", "--change-set", pk)
    assert f"acme {OTHER}: its creation" in said
    assert held(acme.tenant) == before
    assert_links_match_tags()


def test_a_contact_that_was_used_since_its_creation_stays(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    pk = bring(tmp_path / "f.csv", f"phone\n{PHONE}\n{OTHER}\n")
    acme.api.act("add-tag", phone=PHONE, tag="vip")
    said = lines("undo", "--change-set", pk)
    assert f"acme {PHONE}: has changed since" in said
    assert [contact.phone for contact in Contact.objects.all()] == [PHONE]


def test_a_new_contact_that_was_changed_and_changed_back_stays(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    """Somebody has worked with it: a contact that is gone is harder to notice than one too many."""
    pk = bring(tmp_path / "f.csv", f"phone,name\n{PHONE},Ann\n")
    for name in ("Bob", "Ann"):
        acme.api.act("update-contact", phone=PHONE, name=name)
    answer = acme.api.act("undo", change_set=pk).json()
    assert (answer["restored"], answer["kept"][0]["reason"]) == (0, "changed")
    assert answer["kept"][0]["field"] is None
    assert Contact.objects.get().name == "Ann"


def test_deleted_contacts_come_back_under_their_ids(acme: SimpleNamespace, people: Any) -> None:
    before = held(acme.tenant)
    lines("delete_contacts", "--tag", "vip", "--tenant", "acme", "--yes")
    assert not Contact.objects.exists()
    take_back()
    assert held(acme.tenant) == before
    assert_links_match_tags()
    answer = acme.api.act("get-contact", contact_id=people[3].pk).json()
    assert answer["total_messages"] == 3


def test_a_merge_is_taken_back_on_both_sides(acme: SimpleNamespace) -> None:
    for n, (phone, name) in enumerate([("+541123456789", ""), ("+5491123456789", "Bia")]):
        ContactFactory.create(tenant=acme.tenant, phone=phone, name=name, tags=[f"t{n}"],
                              metadata={"n": n}, total_messages=1 + n)  # fmt: skip
    before = held(acme.tenant)
    lines("merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes")
    assert len(held(acme.tenant)) == 1
    take_back()
    assert held(acme.tenant) == before
    for pk in before:
        assert acme.api.act("get-contact", contact_id=pk).json()["id"] == pk


def test_a_merge_that_is_taken_back_opts_nobody_in_again(acme: SimpleNamespace) -> None:
    """Who opted out since, under the other's name."""
    for phone in ("+541123456789", "+5491123456789"):
        acme.api.create(phone)
        acme.api.act("record-consent", phone=phone, status="opted_in", at="2026-05-01T08:00:00Z")
    merged = acme.tenant.contacts.get(phone="+5491123456789")
    lines("merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes")
    undone = last_set()
    answer = acme.api.act("record-consent", contact_id=merged.pk, status="opted_out")
    assert answer.status_code == 200
    lines("undo", "--change-set", undone)
    for contact in Contact.objects.all():
        assert contact.opted_out_at, contact


def test_one_whose_phone_another_contact_has_by_now_stays_away(acme: SimpleNamespace) -> None:
    acme.api.create(PHONE)
    acme.api.create(OTHER)
    lines("delete_contacts", "--inactive-since", "2999-01-01", "--tenant", "acme", "--yes")
    undone = last_set()
    new = acme.api.create(PHONE).json()["id"]
    said = lines("undo", "--change-set", undone)
    assert any(line.endswith(f"another contact has the phone {PHONE}") for line in said)
    assert {*Contact.objects.values_list("phone", flat=True)} == {PHONE, OTHER}
    assert Contact.objects.get(phone=PHONE).pk == new


def test_a_person_who_was_erased_does_not_come_back(acme: SimpleNamespace) -> None:
    acme.api.create(PHONE, name="Ann")
    lines("delete_contacts", "--inactive-since", "2999-01-01", "--tenant", "acme", "--yes")
    undone = last_set()
    call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=io.StringIO())
    said = lines("undo", "--change-set", undone)
    assert said[0].endswith("cannot come back: what it held has been forgotten")
    assert not Contact.objects.exists()


@pytest.mark.parametrize("change_set", ["x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", ""])
def test_a_change_set_that_is_not_there_is_refused(acme: SimpleNamespace, change_set: str) -> None:
    with pytest.raises(CommandError, match="There are no changes with the id"):
        call_command("undo", "--change-set", change_set)


def test_commands_tell_their_change_set_on_standard_error(
    acme: SimpleNamespace, people: Any, tmp_path: Path
) -> None:
    out, err = io.StringIO(), io.StringIO()
    retag = ["retag", "--rename", "vip=gold", "--tenant", "acme"]
    call_command(*retag, "--dry-run", stdout=out, stderr=err)
    assert not err.getvalue()
    call_command(*retag, stdout=out, stderr=err)
    assert err.getvalue() == f"To undo: manage.py undo --change-set {last_set()}\n"
    call_command("prune_tags", "--tenant", "acme", stdout=out, stderr=(nothing := io.StringIO()))
    assert not nothing.getvalue(), "it changes nothing"


def test_other_tenants_are_taken_back_too_where_the_command_went_through_all(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    for member in (acme, globex):
        member.api.create(PHONE, tags="vip")
    lines("retag", "--rename", "vip=gold", "--all-tenants")
    assert take_back()[-1] == "contacts changed back: 2"
    assert [contact.tags for contact in Contact.objects.all()] == [["vip"]] * 2


def test_the_statements_do_not_grow_with_the_contacts(acme: SimpleNamespace) -> None:
    def cost(number: int) -> int:
        for n in range(number):
            ContactFactory.create(tenant=acme.tenant, phone=f"+1415{number:03}{n:04}", tags=["vip"])
        lines("retag", "--rename", "vip=gold", "--tenant", "acme")
        undone = last_set()
        found = len(statements(lambda: lines("undo", "--change-set", undone)))
        Contact.objects.all().delete()
        return found

    assert cost(2) == cost(30)


# The law: undoing leads back, and undoing that leads there again


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "Ann", "Bob"]),
        "email": st.sampled_from(["", "a@x.example"]),
        "tags": st.lists(st.sampled_from("abcd"), unique=True),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.sampled_from([0, 1, True, None, ""])),
    },
)
WRITES = st.lists(
    st.tuples(st.sampled_from([PHONE, OTHER]), st.none() | FIELDS), min_size=1, max_size=5
)


def write(tenant: Tenant, writes: Any) -> str:
    change_set = new_ulid()
    with caused_by("command:test", change_set):
        for phone, fields in writes:
            if fields is None:
                tenant.contacts.filter(phone=phone).delete()
            else:
                tenant.contacts.update_or_create(phone=phone, defaults=fields)
    return change_set


def undone(tenant: Tenant, change_set: str) -> str:
    ids = tenant.changes.filter(change_set=change_set).values_list("contact_id", flat=True)
    with caused_by("command:undo", undoing := new_ulid()):
        for result in undo(tenant, change_set, sorted({*ids})):
            assert not result.kept
    return undoing


@FEW
@given(WRITES, WRITES)
def test_undoing_leads_back_and_undoing_that_leads_there_again(
    db: None, start: Any, writes: Any
) -> None:
    tenant = TenantFactory.create()
    write(tenant, start)
    before = held(tenant)
    change_set = write(tenant, writes)
    after = held(tenant)
    first = undone(tenant, change_set)
    assert held(tenant) == before
    undone(tenant, first)
    assert held(tenant) == after
    assert_links_match_tags()
