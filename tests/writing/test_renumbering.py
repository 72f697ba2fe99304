"""Numbers of plans that have moved: old and new forms are one contact at every door, also where an
earlier version has stored the old form."""

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.management import checks
from contacts.models import Change, Contact, Erasure, OptOut, Outcome
from contacts.values import rules
from contacts.values.digests import phone_digest
from contacts.writing import former_phones, undo, upsert
from tenants.fields import new_ulid
from tenants.models import Tenant, User
from tests.support.admin import contact_form, errors, logged_in, staff_of, url
from tests.support.api import ENDING, ON_A_CONTACT, PHONE, Api
from tests.support.commands import lines
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.imports import bring, counts
from tests.support.sql import assert_links_match_tags
from tests.support.undo import last_set

pytestmark = pytest.mark.both

OLD, NEW = "+5215512345678", "+525512345678"
SPELLINGS = ["+52 1 55 1234 5678", OLD, "+52 55 1234 5678", NEW, "044 55 1234 5678"]


def stored(member: SimpleNamespace, phone: str, **fields: Any) -> Contact:
    """As an earlier version did it."""
    return ContactFactory.create(tenant=member.tenant, phone=phone, **fields)


def by_create(api: Api, path: Path, phone: str) -> None:
    assert api.create(phone, name="Ana").status_code == 201


def by_batch(api: Api, path: Path, phone: str) -> None:
    answer = api.act("create-contacts", contacts=[{"phone": phone, "name": "Ana"}])
    assert answer.json()["failed"] == 0


def by_import(api: Api, path: Path, phone: str) -> None:
    path.write_text(f"phone,name\n{phone},Ana\n")
    assert bring(path)[0] == 0


def by_update_only_import(api: Api, path: Path, phone: str) -> None:
    path.write_text(f"phone,name\n{phone},Ana\n")
    assert bring(path, "--mode", "update-only")[0] == 0


def by_several_groups_import(api: Api, path: Path, phone: str) -> None:
    path.write_text(f"phone,name\n{PHONE},\n{phone},Ana\n")
    assert bring(path)[0] == 0


CREATING = [by_create, by_batch, by_import, by_update_only_import, by_several_groups_import]


@pytest.mark.django_db
@pytest.mark.parametrize("door", CREATING)
@pytest.mark.parametrize("spelling", [OLD, NEW])
def test_a_door_that_creates_finds_a_contact_that_was_stored_in_the_old_form(
    acme: SimpleNamespace, api: Api, tmp_path: Path, door: Callable[..., None], spelling: str
) -> None:
    before = stored(acme, OLD, name="A")
    door(api, tmp_path / "people.csv", spelling)
    contact = Contact.objects.exclude(phone=PHONE).get()
    assert (contact.pk, contact.phone, contact.name) == (before.pk, NEW, "Ana")
    fields = [change.fields for change in Change.objects.filter(contact_id=contact.pk)]
    assert {"phone": {"old": OLD, "new": NEW}} in fields


@pytest.mark.django_db
@pytest.mark.parametrize("door", CREATING)
@pytest.mark.parametrize("spelling", [OLD, NEW])
def test_a_door_that_creates_finds_a_contact_by_a_former_phone_in_the_old_form(
    acme: SimpleNamespace, api: Api, tmp_path: Path, door: Callable[..., None], spelling: str
) -> None:
    """As a merge by an earlier version left it."""
    contact = stored(acme, "+14155550199", name="A")
    former_phones.keep(contact, OLD)
    door(api, tmp_path / "people.csv", spelling)
    found = Contact.objects.exclude(phone=PHONE).get()
    assert (found.pk, found.phone, found.name) == (contact.pk, "+14155550199", "Ana")
    assert former_phones.of([found])[found.pk] == [NEW]


@pytest.mark.django_db
@pytest.mark.parametrize("asked", [OLD, NEW])
@pytest.mark.parametrize("is_former", [False, True])
def test_no_contact_gets_a_phone_that_another_one_has_in_the_old_form(
    acme: SimpleNamespace, globex: SimpleNamespace, api: Api, asked: str, is_former: bool
) -> None:
    """By update-contact and in the admin."""
    owner = stored(acme, "+14155550199" if is_former else OLD)
    if is_former:
        former_phones.keep(owner, OLD)
    other = stored(acme, PHONE)
    answer = api.act("update-contact", phone=PHONE, new_phone=asked)
    assert (answer.status_code, owner.pk in answer.text) == (409, True)
    client = logged_in(staff_of(acme.tenant))
    address = url(Contact, "change", other.pk)
    page = client.post(address, contact_form(client, address, phone=asked))
    assert "phone" in errors(page)
    assert Contact.objects.get(pk=other.pk).phone == PHONE
    assert globex.api.create(asked).headers["Qyvo-Result"] == "created"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+52 1 55 1234 5678", NEW),
        ("+55 11 8765-4321", "+5511987654321"),
        ("+225 07 12 34 56", "+2250707123456"),
    ],
)
def test_both_forms_in_one_file_are_one_person(
    acme: SimpleNamespace, tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"phone,name\n{old},Ana\n{new},Ana S\n")
    _, printed = bring(path)
    assert (counts(printed)["created"], counts(printed)["superseded"]) == (1, 1)
    contact = Contact.objects.get()
    assert (contact.phone, contact.name) == (new, "Ana S")


@pytest.mark.django_db
def test_every_spelling_is_one_contact(acme: SimpleNamespace, api: Api) -> None:
    acme.tenant.default_region = "MX"
    acme.tenant.save()
    answers = {api.create(spelling).json()["id"] for spelling in SPELLINGS}
    assert len(answers) == 1
    assert Contact.objects.get().phone == NEW


@pytest.mark.django_db
@pytest.mark.parametrize("phone", [OLD, NEW])
@pytest.mark.parametrize("asked", [OLD, NEW, "+52 1 55 1234 5678"])
def test_every_action_finds_the_contact_by_both_forms(
    acme: SimpleNamespace, globex: SimpleNamespace, api: Api, phone: str, asked: str
) -> None:
    theirs = stored(globex, phone)
    contact = stored(acme, phone)
    for action in ON_A_CONTACT.keys() - ENDING:
        assert api.act(action, phone=asked, **ON_A_CONTACT[action]).status_code == 200, action
    found = api.act("search-contacts", query=asked).json()
    assert [one["id"] for one in found] == [contact.pk]
    assert api.act("delete-contact", phone=asked).status_code == 200
    assert Contact.objects.get() == theirs


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("phone", "asked"),
    [
        (phone, asked)
        for phone in (OLD, NEW)
        for asked in ("52155", "+52 1 55 1234", "5215512345678", "00521551", "+525512", "5255 1234")
    ]
    + [("+5511987654321", "55118765"), ("+551187654321", "+55 11 98765-4")],
)
def test_a_search_finds_a_phone_by_what_it_begins_with_in_both_forms(
    acme: SimpleNamespace, globex: SimpleNamespace, api: Api, phone: str, asked: str
) -> None:
    stored(globex, phone)
    contact, _ = stored(acme, phone), stored(acme, "+525687654321")
    for query in (asked, f" {asked} "):
        found = api.act("search-contacts", query=query).json()
        assert [one["id"] for one in found] == [contact.pk]


@pytest.mark.django_db
def test_two_contacts_of_one_number_become_one_when_it_is_written(acme: SimpleNamespace) -> None:
    old, new = stored(acme, OLD, tags=["a"]), stored(acme, NEW, tags=["b"])
    assert acme.tenant.contacts.find(phone=NEW) == new
    contact, is_new = acme.tenant.contacts.update_or_create(phone=NEW, defaults={"name": "Ana"})
    assert (contact.pk, contact.phone, contact.tags, is_new) == (old.pk, NEW, ["a", "b"], False)
    assert Contact.objects.count() == 1
    assert_links_match_tags()


@pytest.mark.django_db
def test_contacts_that_cannot_be_merged_stay_and_no_third_one_is_made(
    acme: SimpleNamespace,
) -> None:
    for phone in (OLD, NEW):
        stored(acme, phone, metadata={phone: "x" * 40_000})
    contact, is_new = acme.tenant.contacts.update_or_create(phone=NEW, defaults={"name": "Ana"})
    assert (contact.phone, contact.name, is_new) == (NEW, "Ana", False)
    assert Contact.objects.count() == 2


@pytest.mark.django_db
def test_the_admin_refuses_a_phone_that_a_contact_has_in_its_old_form(
    acme: SimpleNamespace, ann: User
) -> None:
    old, other = stored(acme, OLD), stored(acme, PHONE)
    client = logged_in(staff_of(acme.tenant))
    address = url(Contact, "change", other.pk)
    answer = client.post(address, contact_form(client, address, phone="+52 55 1234 5678"))
    assert f"Another contact already has the phone {NEW}." in errors(answer)["phone"][0]
    address = url(Contact, "change", old.pk)
    assert client.post(address, contact_form(client, address, name="Ana")).status_code == 302
    old.refresh_from_db()
    assert (old.phone, old.name) == (OLD, "Ana"), "a save writes what the user changed"


# Digests


@pytest.mark.django_db
@pytest.mark.parametrize("phone", [OLD, NEW])
def test_an_erased_person_is_not_imported_in_the_other_form(
    acme: SimpleNamespace, tmp_path: Path, phone: str
) -> None:
    Erasure.objects.create(tenant=acme.tenant, digest=phone_digest(phone))
    path = tmp_path / "people.csv"
    path.write_text(f"phone,name\n{OLD},Ana\n")
    _, printed = bring(path)
    assert counts(printed)["failed"] == 1
    assert not Contact.objects.exists()


@pytest.mark.django_db
def test_erasing_a_person_forgets_the_contact_in_its_old_form(acme: SimpleNamespace) -> None:
    contact = stored(acme, OLD, name="Ana")
    erasing.erase(acme.tenant, NEW)
    assert not Contact.objects.exists()
    logged = str([*Change.objects.filter(contact_id=contact.pk).values_list("fields", flat=True)])
    assert "Ana" not in logged
    assert OLD not in logged


@pytest.mark.django_db
@pytest.mark.parametrize("phone", [OLD, NEW])
def test_an_opt_out_holds_for_both_forms(acme: SimpleNamespace, api: Api, phone: str) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    OptOut.of_phone(acme.tenant.pk, phone, at).save(force_insert=True)
    api.create(OLD)
    assert Contact.objects.get().opted_out_at == at
    api.act("record-consent", phone=OLD, status="opted_in")
    assert not OptOut.objects.exists()


# The command, and undo


@pytest.mark.django_db
def test_normalize_phones_renames_and_merges_after_a_dry_run(acme: SimpleNamespace) -> None:
    alone = stored(acme, "+551187654321")
    old, new = stored(acme, OLD, name="Ana"), stored(acme, NEW, name="Ana S")
    said = [
        "acme +551187654321 → +5511987654321",
        f"acme {NEW} merged into {OLD}, now {NEW}",
    ]
    assert lines("normalize_phones", "--tenant", "acme", "--dry-run")[:2] == said
    assert {*Contact.objects.all()} == {alone, old, new}
    assert lines("normalize_phones", "--tenant", "acme")[:2] == said
    phones = {contact.pk: contact.phone for contact in Contact.objects.all()}
    assert phones == {alone.pk: "+5511987654321", old.pk: NEW}
    assert lines("normalize_phones", "--tenant", "acme") == ["phones changed: 0"]


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["delete_contacts --yes", "record_consent --status opted_out"])
@pytest.mark.parametrize("had", [OLD, NEW])
def test_commands_find_contacts_by_former_phones_once(
    acme: SimpleNamespace, tmp_path: Path, command: str, had: str
) -> None:
    """However many of its phones the file has."""
    contact = stored(acme, PHONE)
    former_phones.keep(contact, had)
    former_phones.keep(contact, "+14155550111")
    path = tmp_path / "phones.txt"
    path.write_text(f"{OLD}\n{PHONE}\n{NEW}\n+14155550111\n")
    options = [*command.split(), "--phones", str(path), "--tenant", "acme", "--batch-size", "1"]
    said = lines(*options)
    assert len(said) == 2
    assert said[0].startswith(f"acme {PHONE}")
    assert said[1].endswith(": 1")


@pytest.mark.django_db
@pytest.mark.parametrize("phone", [OLD, NEW])
def test_commands_find_the_phones_of_a_file_in_both_forms(
    acme: SimpleNamespace, tmp_path: Path, phone: str
) -> None:
    stored(acme, phone)
    path = tmp_path / "phones.txt"
    path.write_text(f"{OLD}\n")
    said = lines("delete_contacts", "--phones", str(path), "--tenant", "acme", "--yes")
    assert said[0] == f"acme {phone} deleted"
    assert not Contact.objects.exists()


@pytest.mark.django_db
def test_normalize_phones_brings_former_phones_up_to_date(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    contact, theirs = stored(acme, PHONE), stored(globex, PHONE)
    for one in (contact, theirs):
        former_phones.keep(one, OLD)
    changed_at = Contact.objects.get(pk=contact.pk).updated_at
    said = [f"acme {OLD} → {NEW}, a former phone", "phones changed: 1"]
    assert lines("normalize_phones", "--tenant", "acme", "--dry-run")[0] == said[0]
    assert former_phones.of([contact]) == {contact.pk: [OLD]}
    assert lines("normalize_phones", "--tenant", "acme") == said
    assert former_phones.of([contact]) == {contact.pk: [NEW]}
    assert former_phones.of([theirs]) == {theirs.pk: [OLD]}
    assert Contact.objects.get(pk=contact.pk).updated_at > changed_at, "a sync sees it"
    [undone] = undo.undo(acme.tenant, last_set(), [contact.pk])
    assert [kept.reason for kept in undone.kept] == [undo.Reason.RENUMBERED]
    assert former_phones.of([contact]) == {contact.pk: [NEW]}
    assert lines("normalize_phones", "--tenant", "acme") == ["phones changed: 0"]


@pytest.mark.django_db
@pytest.mark.parametrize("older", ["the former", "the current"])
def test_normalize_phones_merges_whoever_had_a_phone_with_whoever_has_it(
    acme: SimpleNamespace, older: str
) -> None:
    phones = [PHONE, NEW] if older == "the former" else [NEW, PHONE]
    first, second = (stored(acme, phone) for phone in phones)
    former_phones.keep(first if first.phone == PHONE else second, OLD)
    said = lines("normalize_phones", "--tenant", "acme")
    assert said[:2] == [
        f"acme {OLD} → {NEW}, a former phone",
        f"acme {second.phone} merged into {first.phone}",
    ]
    contact = Contact.objects.get()
    assert (contact.pk, contact.phone) == (first.pk, first.phone)
    assert former_phones.of([contact]) == {first.pk: [second.phone]}


@pytest.mark.django_db
def test_check_contacts_lists_former_phones_that_are_inconsistent(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    contact, gone, theirs = stored(acme, PHONE), stored(acme, NEW), stored(globex, PHONE)
    former_phones.keep(contact, "+14155550111")
    assert check_said(acme.tenant) == set()
    former = Contact.all_phones.get(phone="+14155550111")
    owners = {"+14155550112": gone.pk, "+14155550113": theirs.pk, "+14155550114": former.pk}
    former_phones.insert_many(acme.tenant.pk, owners | {OLD: contact.pk})
    Contact.objects.filter(pk=gone.pk)._raw_delete("default")
    missing = "the contact is missing, or belongs to another tenant"
    assert check_said(acme.tenant) == {
        f"+14155550112: {missing}",
        f"+14155550113: {missing}",
        "+14155550114: the contact is a former phone itself",
        f"{OLD}: is an old form of {NEW}",
    }


def check_said(tenant: Tenant) -> set[str]:
    """What the command says about former phones."""
    output = io.StringIO()
    with suppress(SystemExit):
        call_command("check_contacts", "--tenant", tenant.slug, stdout=output)
    found = (line.partition(" former_phones: ")[2] for line in output.getvalue().splitlines())
    return {*filter(None, found)}


@pytest.mark.django_db
@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
def test_undo_restores_values_and_not_the_split(
    acme: SimpleNamespace, order: tuple[str, str]
) -> None:
    first, second = (stored(acme, phone, name=phone) for phone in order)
    lines("normalize_phones", "--tenant", "acme")
    undone = undo.undo(acme.tenant, last_set(), [first.pk, second.pk])
    contact = Contact.objects.get()
    assert (contact.pk, contact.phone, contact.name) == (first.pk, NEW, order[0])
    kept = {(one.contact.pk, kept.field, kept.reason) for one in undone for kept in one.kept}
    assert (second.pk, "", undo.Reason.RENUMBERED) in kept
    assert ((first.pk, "phone", undo.Reason.RENUMBERED) in kept) is (order[0] == OLD)


@pytest.mark.django_db
def test_a_deleted_contact_comes_back_under_its_phone_of_today(acme: SimpleNamespace) -> None:
    contact = stored(acme, OLD)
    with caused_by("test", new_ulid()):
        Contact.objects.all().delete()
    undo.undo(acme.tenant, last_set(), [contact.pk])
    assert Contact.objects.get().phone == NEW


# Races and costs


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [[], [OLD], [OLD, NEW]])
def test_threads_with_both_spellings_end_with_one_contact(
    acme: SimpleNamespace, before: list[str]
) -> None:
    for phone in before:
        stored(acme, phone)

    def call(number: int) -> Outcome | None:
        if number % 4 == 0:
            row = {"phone": NEW, "name": "Ana", "email": "", "tags": [], "metadata": {}}
            return upsert.replace_many(acme.tenant, [row], "api")[NEW][0]
        phone = rules.phone([OLD, NEW][number % 2])
        contact, _ = acme.tenant.contacts.update_or_create(phone=phone, defaults={"name": "Ana"})
        return contact.outcome

    outcomes = all_at_once(call, callers=20)
    assert outcomes.count(Outcome.CREATED) == (not before)
    contact = Contact.objects.get()
    assert (contact.phone, contact.name) == (NEW, "Ana")
    assert_links_match_tags()


def statements(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


@pytest.mark.django_db
def test_phones_of_other_countries_cost_no_statement(acme: SimpleNamespace) -> None:
    contacts = acme.tenant.contacts

    def create(phone: str) -> int:
        return statements(lambda: contacts.update_or_create(phone=phone, defaults={"name": "A"}))

    plain, moved = create("+33612345678"), create(NEW)
    assert plain < moved <= plain + 2
    assert statements(lambda: contacts.find(phone=NEW)) == 1
    batch = [{"phone": f"+33612345{n:03}", "name": "A"} for n in range(9)]
    plain = statements(lambda: upsert.replace_many(acme.tenant, batch, "api"))
    batch = [{"phone": f"+525512345{n:03}", "name": "A"} for n in range(9)]
    assert statements(lambda: upsert.replace_many(acme.tenant, batch, "api")) == plain + 1


@pytest.mark.django_db
def test_check_deploy_says_that_the_command_has_to_run(acme: SimpleNamespace) -> None:
    def found() -> list[str | None]:
        return [warning.id for warning in checks.check_old_phones(databases=["default"])]

    stored(acme, NEW)
    assert found() == []
    stored(acme, "+5215512345679")
    assert statements(found) <= 2 + 2 * Tenant.objects.count()
    assert found() == ["contacts.W001"]
    lines("normalize_phones", "--all-tenants")
    assert found() == []
