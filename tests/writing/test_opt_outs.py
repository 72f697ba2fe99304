"""An opt-out outlives its contact: whoever has opted out stays so, whatever becomes of the contact,
and by whatever way a contact with the same phone is made again."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils.crypto import salted_hmac

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.db.rows import row_in_json
from contacts.jobs import bulk_actions
from contacts.models import EARLIER_OPT_OUT, BulkAction, Change, Contact, OptOut, Outcome
from contacts.values.digests import phone_digest
from contacts.writing import consent, edit, former_phones, merge
from contacts.writing.consent import Decision
from contacts.writing.upsert import replace_many, upsert_rows
from tenants.fields import new_ulid
from tenants.models import Tenant
from tests.support.admin import logged_in, staff_of, url
from tests.support.api import PHONE
from tests.support.commands import lines
from tests.support.factories import ContactFactory
from tests.support.sql import assert_links_match_tags
from tests.support.undo import OTHER, bring, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MAY, JUNE, JULY = (datetime(2026, month, 1, 8, tzinfo=UTC) for month in (5, 6, 7))
OUT = Decision(Change.Kind.OPTED_OUT, JUNE, "letter")
OLD_FORM, NEW_FORM = "+541123456789", "+5491123456789"


def opted_out(tenant: Tenant, phone: str = PHONE, **fields: Any) -> Contact:
    contact = ContactFactory.create(tenant=tenant, phone=phone, **fields)
    consent.decide_one(tenant, {"phone": phone}, OUT)
    contact.refresh_from_db()
    return contact


def assert_opted_out(tenant: Tenant, phone: str = PHONE) -> None:
    """By the earlier decision, and the history says so."""
    contact = tenant.contacts.get(phone=phone)
    assert (contact.opted_in_at, contact.opted_out_at) == (None, JUNE)
    told = tenant.changes.decisions(contact.pk).last()
    assert told
    assert told.kind == Change.Kind.OPTED_OUT
    consent = {"at": "2026-06-01T08:00:00+00:00", "source": EARLIER_OPT_OUT, "proof": ""}
    assert told.fields["consent"] == consent
    created = tenant.changes.filter(contact_id=contact.pk, kind=Change.Kind.CREATED).last()
    assert created
    assert created.pk < told.pk


# Ways in which a contact goes


def delete_by_api(member: SimpleNamespace, path: Path) -> None:
    assert member.api.act("delete-contact", phone=PHONE).status_code == 200


def delete_by_model(member: SimpleNamespace, path: Path) -> None:
    member.tenant.contacts.get().delete()


def delete_by_queryset(member: SimpleNamespace, path: Path) -> None:
    member.tenant.contacts.all().delete()


def delete_by_command(member: SimpleNamespace, path: Path) -> None:
    path.write_text(f"{PHONE}\n")
    lines("delete_contacts", "--phones", str(path), "--tenant", "acme", "--yes")


def delete_in_the_admin(member: SimpleNamespace, path: Path) -> None:
    page = url(Contact, "delete", member.tenant.contacts.get().pk)
    assert logged_in(staff_of(member.tenant)).post(page, {"post": "yes"}).status_code == 302


def delete_in_bulk(member: SimpleNamespace, path: Path) -> None:
    pks = [contact.pk for contact in member.tenant.contacts.all()]
    bulk_actions.start(bulk_actions.plan(member.tenant, "user:1", "delete", "", pks))


def erase(member: SimpleNamespace, path: Path) -> None:
    call_command("erase_contact", PHONE, "--tenant", "acme", stdout=io.StringIO())


def merge_away(member: SimpleNamespace, path: Path) -> None:
    older = ContactFactory.create(tenant=member.tenant, pk="01" + "0" * 24, phone=OTHER)
    newer = member.tenant.contacts.get(phone=PHONE)
    [(kept, _, problem)] = merge.merge([[older, newer]])
    assert (kept.pk, problem) == (older.pk, "")
    former_phones.release(member.tenant, {"phone": OTHER}, PHONE)


def give_another_phone(member: SimpleNamespace, path: Path) -> None:
    page = url(Contact, "change", member.tenant.contacts.get().pk)
    form = {"phone": OTHER, "metadata": "{}", "initial-phone": PHONE, "initial-metadata": "{}"}
    assert logged_in(staff_of(member.tenant)).post(page, form).status_code == 302


ENDS = [
    delete_by_api, delete_by_model, delete_by_queryset, delete_by_command, delete_in_the_admin,
    delete_in_bulk, erase, merge_away, give_another_phone,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_whatever_way_a_contact_goes_its_opt_out_stays(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path, end: Callable[..., None]
) -> None:
    opted_out(acme.tenant)
    end(acme, tmp_path / "phones")
    assert not acme.tenant.contacts.filter(phone=PHONE).exists()
    for member in (acme, globex):
        assert member.api.create(PHONE, name="Ann", tags="vip").status_code == 201
    assert_opted_out(acme.tenant)
    assert globex.tenant.contacts.get().opted_out_at is None, "of another tenant"
    assert_links_match_tags()


@pytest.mark.parametrize("end", ENDS)
def test_of_a_contact_that_has_not_opted_out_nothing_stays(
    acme: SimpleNamespace, tmp_path: Path, end: Callable[..., None]
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, opted_in_at=MAY)
    end(acme, tmp_path / "phones")
    assert not OptOut.objects.exists()


def test_the_phone_of_a_contact_that_is_merged_into_one_that_has_opted_out_has_opted_out(
    acme: SimpleNamespace,
) -> None:
    """They are one person, who has opted out."""
    first = opted_out(acme.tenant, OTHER)
    second = ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    merge.merge([[first, second]])
    acme.api.create(PHONE)
    assert acme.tenant.contacts.get().opted_out_at == JUNE
    former_phones.release(acme.tenant, {"phone": PHONE}, PHONE)
    acme.api.create(PHONE)
    assert_opted_out(acme.tenant)


def test_a_phone_chosen_in_a_merge_and_the_one_given_up_have_opted_out(
    acme: SimpleNamespace,
) -> None:
    first, second = (opted_out(acme.tenant, phone) for phone in (OTHER, PHONE))
    kept, _ = merge.merge_into(acme.tenant, first.pk, [second.pk], {"phone": second.pk})
    assert (kept.phone, kept.opted_out_at) == (PHONE, JUNE)
    former_phones.release(acme.tenant, {"phone": PHONE}, OTHER)
    acme.api.create(OTHER)
    assert_opted_out(acme.tenant, OTHER)


def test_a_mended_phone_leaves_the_old_spelling_opted_out(acme: SimpleNamespace) -> None:
    opted_out(acme.tenant, "+4402079460958")
    lines("normalize_phones", "--tenant", "acme")
    assert acme.tenant.contacts.get(phone="+442079460958").opted_out_at == JUNE
    assert {*OptOut.objects.of(acme.tenant.pk, ["+4402079460958", PHONE])} == {"+4402079460958"}


# Ways in which a contact comes


def create(member: SimpleNamespace, path: Path) -> None:
    assert member.api.create(PHONE, name="Ann").headers["Qyvo-Result"] == "created"


def create_many(member: SimpleNamespace, path: Path) -> None:
    people = [{"phone": phone} for phone in (OTHER, PHONE)]
    assert member.api.act("create-contacts", contacts=people).json()["created"] == 2


def upsert(member: SimpleNamespace, path: Path) -> None:
    contact, created = member.tenant.contacts.update_or_create(phone=PHONE)
    assert created
    assert contact.opted_out_at == JUNE, "as it is stored"


def upsert_with_consent(member: SimpleNamespace, path: Path) -> None:
    member.tenant.contacts.update_or_create(phone=PHONE, only_if_new={"opted_in_at": JULY})


def bring_in(member: SimpleNamespace, path: Path) -> None:
    bring(path, f"phone,name\n{OTHER},Zoe\n{PHONE},Ann\n")


def bring_in_new_ones(member: SimpleNamespace, path: Path) -> None:
    bring(path, f"phone,name\n{OTHER},Zoe\n{PHONE},Ann\n", "--mode", "create-only")


def bring_in_an_opt_in(member: SimpleNamespace, path: Path) -> None:
    bring(path, f"phone,in\n{PHONE},{JULY.isoformat()}\n", "--map", "in=opted_in_at")


def add_in_the_admin(member: SimpleNamespace, path: Path) -> None:
    form = {"phone": PHONE, "metadata": "{}"}
    page = url(Contact, "add")
    assert logged_in(staff_of(member.tenant)).post(page, form).status_code == 302


def save(member: SimpleNamespace, path: Path) -> None:
    contact = Contact(tenant=member.tenant, phone=PHONE)
    contact.save()
    assert contact.opted_out_at == JUNE, "as it is stored"


CREATIONS = [
    create, create_many, upsert, upsert_with_consent, bring_in, bring_in_new_ones,
    bring_in_an_opt_in, add_in_the_admin, save,
]  # fmt: skip


@pytest.mark.parametrize("create", CREATIONS)
def test_whatever_way_a_contact_comes_it_starts_as_opted_out(
    acme: SimpleNamespace, tmp_path: Path, create: Callable[..., None]
) -> None:
    opted_out(acme.tenant).delete()
    create(acme, tmp_path / "file.csv")
    assert_opted_out(acme.tenant)
    assert not Change.objects.filter(kind=Change.Kind.OPTED_IN).exists(), "nobody is opted in again"
    assert not acme.tenant.contacts.exclude(phone=PHONE).exclude(opted_out_at=None).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("create", [create, upsert, upsert_with_consent])
def test_so_it_does_outside_a_transaction(
    acme: SimpleNamespace, tmp_path: Path, create: Callable[..., None]
) -> None:
    """Where PostgreSQL writes a new contact in one statement."""
    opted_out(acme.tenant).delete()
    create(acme, tmp_path / "file.csv")
    assert_opted_out(acme.tenant)
    acme.tenant.contacts.update_or_create(phone=OTHER, defaults={"tags": ["a"]})
    assert acme.tenant.contacts.get(phone=OTHER).opted_out_at is None


def test_a_later_opt_out_that_a_file_brings_counts(acme: SimpleNamespace, tmp_path: Path) -> None:
    opted_out(acme.tenant).delete()
    text = f"phone,in,out\n{PHONE},{MAY.isoformat()},{JULY.isoformat()}\n"
    bring(tmp_path / "x.csv", text, "--map", "in=opted_in_at", "--map", "out=opted_out_at")
    contact = acme.tenant.contacts.get()
    assert (contact.opted_in_at, contact.opted_out_at) == (MAY, JULY)


def test_a_contact_that_gets_the_phone_of_somebody_who_has_opted_out_has_opted_out(
    acme: SimpleNamespace,
) -> None:
    opted_out(acme.tenant).delete()
    contact = ContactFactory.create(tenant=acme.tenant, phone=OTHER, opted_in_at=JULY)
    edit.change(contact, phone=PHONE)
    assert contact.opted_out_at == JUNE
    assert_opted_out(acme.tenant)
    assert [*OptOut.objects.of(acme.tenant.pk, [PHONE, OTHER])] == [PHONE], "not the old phone"


def test_of_thousands_the_right_ones_start_as_opted_out(acme: SimpleNamespace) -> None:
    people = [{"phone": f"+1415555{n:04}", "name": f"n{n}"} for n in range(1000)]
    out = {person["phone"] for person in people[::7]}
    consent.remember(OptOut.of_phone(acme.tenant.pk, phone, JUNE) for phone in out)
    acme.tenant.contacts.update_or_create(phone=people[7]["phone"])
    done = replace_many(acme.tenant, people, "api")
    assert [row.outcome for row in done.values()].count(Outcome.CREATED) == 999
    found = acme.tenant.contacts.exclude(opted_out_at=None).values_list("phone", flat=True)
    assert {*found} == out
    assert_links_match_tags()


def test_it_stays_so_however_often_the_contact_goes_and_comes(acme: SimpleNamespace) -> None:
    opted_out(acme.tenant).delete()
    for _ in range(3):
        acme.api.create(PHONE)
        assert_opted_out(acme.tenant)
        acme.api.act("delete-contact", phone=PHONE)
    assert OptOut.objects.count() == 1


def test_who_opts_in_again_is_a_contact_like_any_other(acme: SimpleNamespace) -> None:
    opted_out(acme.tenant).delete()
    acme.api.create(PHONE)
    late = acme.api.act("record-consent", phone=PHONE, status="opted_in", at=MAY.isoformat())
    assert late.json()["opted_out_at"] == JUNE.isoformat(), "older than the opt-out"
    assert OptOut.objects.exists()
    answer = acme.api.act("record-consent", phone=PHONE, status="opted_in").json()
    assert (bool(answer["opted_in_at"]), answer["opted_out_at"]) == (True, None)
    assert not OptOut.objects.exists()
    acme.api.act("delete-contact", phone=PHONE)
    acme.api.create(PHONE)
    assert acme.tenant.contacts.get().opted_out_at is None


def test_an_erased_person_who_comes_back_by_the_api_starts_as_opted_out(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    opted_out(acme.tenant, name="Romain")
    erase(acme, tmp_path)
    with pytest.raises(SystemExit):
        bring(tmp_path / "x.csv", f"phone\n{PHONE}\n")
    assert not acme.tenant.contacts.exists(), "an import does not bring the person back"
    acme.api.create(PHONE)
    assert_opted_out(acme.tenant)


def test_the_phone_cannot_be_read_from_what_is_kept(acme: SimpleNamespace, settings: Any) -> None:
    opted_out(acme.tenant).delete()
    [kept] = OptOut.objects.values_list("digest", flat=True)
    assert kept == phone_digest(PHONE)
    assert kept == salted_hmac("contacts.Erasure", PHONE, algorithm="sha256").hexdigest()
    settings.DATA_KEY = "another"
    assert phone_digest(PHONE) != kept


def test_a_contact_that_should_have_opted_out_is_found(acme: SimpleNamespace) -> None:
    contact = opted_out(acme.tenant)
    consent.remember([contact.opt_out])
    assert lines("check_contacts", "--tenant", "acme") == ["rules broken: 0"]
    Contact.objects.update(opted_out_at=None)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("check_contacts", "--tenant", "acme", stdout=out)
    assert f"{contact.pk} opted_out_at: somebody with this phone has opted out" in out.getvalue()


# Races


def create_alone(tenant: Tenant) -> None:
    tenant.contacts.update_or_create(phone=PHONE, defaults={"name": "Ann", "tags": ["vip"]})


def create_in_a_transaction(tenant: Tenant) -> None:
    with transaction.atomic():
        create_alone(tenant)


def create_rows(tenant: Tenant) -> None:
    rows = {PHONE: row_in_json(f"{1:032x}", {"phone": PHONE, "name": "Ann"}, str)}
    names = ["name", "name_folded"]
    upsert_rows(rows, names, names, Contact(tenant=tenant))


def create_by_saving(tenant: Tenant) -> None:
    Contact(tenant=tenant, phone=PHONE).save()


def give_the_phone_to_another(tenant: Tenant) -> None:
    edit.change(tenant.contacts.get(phone=OTHER), phone=PHONE)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "create",
    [
        create_alone,
        create_in_a_transaction,
        create_rows,
        create_by_saving,
        give_the_phone_to_another,
    ],
)
def test_who_waits_for_the_end_of_a_contact_does_not_miss_its_opt_out(
    acme: SimpleNamespace, create: Callable[[Tenant], None]
) -> None:
    """On PostgreSQL the statement that waits began before the opt-out was stored."""
    ContactFactory.create(tenant=acme.tenant, phone=OTHER)
    contact = opted_out(acme.tenant)

    def run() -> None:
        try:
            create(acme.tenant)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            contact.delete()
            waiting = pool.submit(run)
            assert not wait([waiting], timeout=0.3).done, "it waits"
        waiting.result(timeout=30)
    assert acme.tenant.contacts.get(phone=PHONE).opted_out_at == JUNE
    assert_links_match_tags()


# Undo


def undo(change_set: str, *options: str) -> list[str]:
    return lines("undo", "--change-set", change_set, *options)


STAYS = f"acme {PHONE}: consent stays as it was decided"


@pytest.mark.parametrize("status", ["opted_in", "opted_out"])
@pytest.mark.parametrize("before", [None, "opted_in", "opted_out"])
def test_no_decision_is_taken_back(acme: SimpleNamespace, status: str, before: str | None) -> None:
    acme.api.create(PHONE)
    if before:
        acme.api.act("record-consent", phone=PHONE, status=before, at=MAY.isoformat())
    acme.api.act("record-consent", phone=PHONE, status=status, at=JUNE.isoformat())
    decided = acme.tenant.contacts.values("opted_in_at", "opted_out_at", "updated_at").get()
    assert undo(last_set()) == [STAYS, "contacts changed back: 0", "not changed, see above: 1"]
    assert acme.tenant.contacts.values(*decided).get() == decided


def test_an_undone_import_takes_back_all_but_consent(acme: SimpleNamespace, tmp_path: Path) -> None:
    acme.api.create(PHONE, name="Ann")
    text = f"phone,name,out\n{PHONE},Bob,{JUNE.isoformat()}\n{OTHER},Zoe,{JUNE.isoformat()}\n"
    job = bring(tmp_path / "x.csv", text, "--map", "out=opted_out_at")
    assert undo(job) == [
        f"acme {PHONE}: name",
        STAYS,
        f"acme {OTHER}: consent stays as it was decided",
        f"acme {OTHER}: has opted out, and is not deleted",
        "contacts changed back: 1",
        "not changed, see above: 3",
    ]
    told = acme.tenant.contacts.order_by("phone").values_list("phone", "name", "opted_out_at")
    assert [*told] == [(PHONE, "Ann", JUNE), (OTHER, "Zoe", JUNE)]


def test_an_undone_creation_never_deletes_who_has_opted_out_since(acme: SimpleNamespace) -> None:
    acme.api.create(PHONE)
    created = last_set()
    acme.api.act("record-consent", phone=PHONE, status="opted_out", at=JUNE.isoformat())
    assert undo(created)[0] == f"acme {PHONE}: has opted out, and is not deleted"
    assert acme.tenant.contacts.get().opted_out_at == JUNE


def test_a_contact_that_has_opted_in_goes_with_the_import_that_made_it(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    text = f"phone,in\n{PHONE},{MAY.isoformat()}\n"
    job = bring(tmp_path / "x.csv", text, "--map", "in=opted_in_at")
    assert undo(job) == [f"acme {PHONE}: its creation", "contacts changed back: 1"]
    assert not acme.tenant.contacts.exists()


def test_a_deletion_that_is_undone_brings_the_opt_out_back_and_so_does_undoing_that(
    acme: SimpleNamespace,
) -> None:
    contact = opted_out(acme.tenant, opted_in_at=MAY)
    acme.api.act("delete-contact", phone=PHONE)
    assert undo(last_set()) == [f"acme {PHONE}: its end", "contacts changed back: 1"]
    restored = acme.tenant.contacts.get()
    assert (restored.pk, restored.opted_in_at, restored.opted_out_at) == (contact.pk, MAY, JUNE)
    assert undo(last_set())[0] == f"acme {PHONE}: has opted out, and is not deleted"
    assert acme.tenant.contacts.get().opted_out_at == JUNE


def test_a_contact_comes_back_opted_out_where_the_person_has_opted_out_since(
    acme: SimpleNamespace,
) -> None:
    """As another contact, which is gone by now."""
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, opted_in_at=JULY)
    acme.api.act("delete-contact", phone=PHONE)
    deleted = last_set()
    opted_out(acme.tenant).delete()
    said = [f"acme {PHONE}: its end", STAYS, "contacts changed back: 1"]
    assert undo(deleted, "--dry-run")[:2] == said[:2]
    assert undo(deleted)[:3] == said
    assert_opted_out(acme.tenant)


def merged(acme: SimpleNamespace, first: dict[str, Any], second: dict[str, Any]) -> str:
    """The change set of a merge of two spellings of one number."""
    ContactFactory.create(tenant=acme.tenant, phone=OLD_FORM, **first)
    ContactFactory.create(tenant=acme.tenant, phone=NEW_FORM, **second)
    lines("merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes")
    return last_set()


def consents(acme: SimpleNamespace) -> dict[str, tuple[datetime | None, datetime | None]]:
    found = acme.tenant.contacts.values_list("phone", "opted_in_at", "opted_out_at")
    return {phone: (opted_in, opted_out) for phone, opted_in, opted_out in found}


@pytest.mark.parametrize(
    ("first", "second"), [({"opted_out_at": JUNE}, {"opted_in_at": MAY}),
                          ({"opted_in_at": MAY}, {"opted_out_at": JUNE})]
)  # fmt: skip
def test_a_merge_that_is_undone_leaves_both_opted_out(
    acme: SimpleNamespace, first: dict[str, Any], second: dict[str, Any]
) -> None:
    said = undo(merged(acme, first, second))
    assert "contacts changed back: 1" in said or "contacts changed back: 2" in said
    assert any(line.endswith("consent stays as it was decided") for line in said)
    assert {out for _, out in consents(acme).values()} == {JUNE}
    assert len(consents(acme)) == 2


def test_who_opts_out_after_two_merges_is_opted_out_in_all_that_come_back(
    acme: SimpleNamespace,
) -> None:
    undone = merged(acme, {}, {})
    [kept] = acme.tenant.contacts.all()
    older = ContactFactory.create(tenant=acme.tenant, pk="01" + "0" * 24, phone=OTHER)
    merge.merge([[older, kept]])
    acme.api.act("record-consent", phone=OTHER, status="opted_out", at=JUNE.isoformat())
    said = undo(undone)
    assert f"acme {NEW_FORM}: its end" in said
    assert f"acme {NEW_FORM}: consent stays as it was decided" in said
    assert_opted_out(acme.tenant, NEW_FORM)


def test_a_phone_that_is_given_back_by_an_undo_leaves_both_opted_out(acme: SimpleNamespace) -> None:
    contact = opted_out(acme.tenant)
    with caused_by("command:test", change_set := new_ulid()):
        edit.change(contact, phone=OTHER)
    assert undo(change_set) == [f"acme {PHONE}: phone", "contacts changed back: 1"]
    acme.api.create(OTHER)
    assert_opted_out(acme.tenant, OTHER)


def test_what_stays_has_a_reason_for_programs(acme: SimpleNamespace, tmp_path: Path) -> None:
    from contacts.writing.undo import Kept, Reason, undo

    acme.api.create(PHONE, name="Ann", metadata={"a": 1})
    text = f"phone,name,a,out\n{PHONE},Bob,2,{JUNE.isoformat()}\n"
    columns = ("--map", "out=opted_out_at", "--map", "a=metadata.a")
    job = bring(tmp_path / "x.csv", text, *columns)
    acme.api.act("update-contact", phone=PHONE, name="Cleo", metadata={"a": 3})
    [undone] = undo(acme.tenant, job, [acme.tenant.contacts.get().pk])
    assert {*undone.kept} == {
        Kept("consent", Reason.CONSENT),
        Kept("name", Reason.CHANGED),
        Kept("metadata.a", Reason.CHANGED),
    }
    assert (Reason.CONSENT.value, undone.taken_back) == ("consent", [])


# In the admin


CONSENT_STAYS = "Undo does not change consent."


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    return logged_in(staff_of(acme.tenant))


def test_opt_outs_in_bulk_offer_no_undo_and_say_why(staff: Client, acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    action = bulk_actions.plan(acme.tenant, "user:1", "opt_out", "", [contact.pk])
    bulk_actions.start(action)
    address = f"change-sets/{action.pk}"
    page = staff.get(url(BulkAction, "change", action.pk)).content.decode()
    assert address not in page
    assert CONSENT_STAYS in page
    history = staff.get(url(Contact, "history", contact.pk)).content.decode()
    assert address not in history
    undo_page = staff.get(f"/admin/contacts/contact/{address}/").content.decode()
    assert CONSENT_STAYS in undo_page
    assert f"acme {PHONE}: consent stays as it was decided" in undo_page
    assert '<form method="post"' not in undo_page.partition("What would")[2]
    staff.post(f"/admin/contacts/contact/{address}/")
    assert acme.tenant.contacts.exclude(opted_out_at=None).exists()
    assert Change.objects.latest("pk").kind == Change.Kind.OPTED_OUT


def test_an_undo_of_other_things_says_that_consent_stays(
    staff: Client, acme: SimpleNamespace, tmp_path: Path
) -> None:
    acme.api.create(PHONE, name="Ann")
    text = f"phone,name,out\n{PHONE},Bob,{JUNE.isoformat()}\n"
    job = bring(tmp_path / "x.csv", text, "--map", "out=opted_out_at")
    page = f"/admin/contacts/contact/change-sets/{job}/"
    assert CONSENT_STAYS in staff.get(page).content.decode()
    done = staff.post(page).content.decode()
    assert f"acme {PHONE}: name" in done
    assert f"acme {PHONE}: consent stays as it was decided" in done
    contact = acme.tenant.contacts.get()
    assert (contact.name, contact.opted_out_at) == ("Ann", JUNE)


def test_the_command_offers_no_undo_of_decisions(acme: SimpleNamespace, tmp_path: Path) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["vip"])
    err = io.StringIO()
    call_command(
        "record_consent", "--tag", "vip", "--status", "opted_out", "--tenant", "acme",
        stdout=io.StringIO(), stderr=err,
    )  # fmt: skip
    assert not err.getvalue()


# What was there before


def test_the_migration_remembers_the_opt_outs_of_contacts_deleted_before(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    phones = [f"+1415555000{n}" for n in range(6)]
    for phone in phones:
        opted_out(acme.tenant, phone).delete()
    opted_out(globex.tenant, OTHER)
    OptOut.objects.all().delete()
    ContactFactory.create(tenant=acme.tenant, phone=phones[0], opted_in_at=JULY)
    ContactFactory.create(tenant=acme.tenant, phone=phones[1], opted_in_at=MAY)
    ContactFactory.create(tenant=acme.tenant, phone=phones[2], opted_in_at=JULY).delete()
    ContactFactory.create(tenant=acme.tenant, phone=phones[3], opted_out_at=JULY).delete()
    ContactFactory.create(tenant=acme.tenant, phone=phones[4]).delete()
    erasing.erase(acme.tenant, phones[5])
    ContactFactory.create(tenant=acme.tenant, phone=PHONE).delete()
    OptOut.objects.all().delete()
    migration: Any = import_module("contacts.migrations.0014_opt_outs")
    migration.remember_opt_outs(apps, SimpleNamespace(connection=connection))
    expected = {phones[1]: JUNE, phones[3]: JULY, phones[4]: JUNE}
    assert OptOut.objects.of(acme.tenant.pk, [*phones, PHONE]) == expected
    assert OptOut.objects.count() == len(expected)


def test_an_opt_out_cannot_be_dated_before_the_one_in_force(acme: SimpleNamespace) -> None:
    contact = Contact(tenant=acme.tenant, phone=PHONE, opted_out_at=JULY)
    assert not consent.opt_out_earlier(contact, JUNE)
    assert contact.opted_out_at == JULY
    assert consent.opt_out_earlier(contact, JULY + timedelta(days=1))
