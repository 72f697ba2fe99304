"""Former phones: a person who had several phones is one contact, found by each of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.change_log.difference import LOGGED_FIELDS
from contacts.models import Change, Contact, ContactTag, Import, OptOut, look_up
from contacts.values.digests import phone_digest
from contacts.writing import change_phone, complete, consent, edit, former_phones, merge, undo
from contacts.writing.consent import Decision
from contacts.writing.upsert import replace_many
from tenants.fields import new_ulid
from tests.support.admin import logged_in, staff_of, url
from tests.support.api import ON_A_CONTACT, assert_error
from tests.support.commands import lines
from tests.support.concurrency import all_at_once
from tests.support.former_phones import HAD, HAD_TOO, NOW, merge_all, merged, of, race
from tests.support.sql import assert_links_match_tags, statements
from tests.support.undo import bring

pytestmark = [pytest.mark.both, pytest.mark.django_db]
HEADER = "Qyvo-Former-Phone"


@pytest.fixture
def ann(acme: SimpleNamespace) -> Contact:
    return merged(acme.tenant, NOW, HAD, HAD_TOO)


def held(tenant: Any) -> dict[str, Any]:
    """What each phone stands for: the values of a contact, or the contact that had it."""
    rows = Contact.all_phones.filter(tenant=tenant)
    return {
        row.phone: row.logged_values(LOGGED_FIELDS)
        if row.former_of_id is None
        else row.former_of_id
        for row in rows
    }


# Finding


@pytest.mark.parametrize("action", ON_A_CONTACT)
def test_every_action_finds_the_contact_by_a_phone_that_it_had(
    acme: SimpleNamespace, globex: SimpleNamespace, ann: Contact, action: str
) -> None:
    body = ON_A_CONTACT[action] | {"phone": HAD}
    assert_error(globex.api.act(action, **body), 404, "not_found")
    answer = acme.api.act(action, **body)
    assert answer.status_code == 200, answer.json()
    if action == "record-message":
        assert acme.tenant.contacts.get().total_messages == 1
    elif action == "erase-contact":
        assert answer.json()["id"] == ann.pk
        assert not acme.tenant.contacts.exists()
    else:
        assert (answer.json()["id"], answer.json()["phone"]) == (ann.pk, NOW)


def test_a_search_finds_the_contact_by_a_phone_that_it_had(
    acme: SimpleNamespace, globex: SimpleNamespace, ann: Contact
) -> None:
    for query in (HAD, "+1 (415) 555-0111", HAD_TOO, NOW):
        found = acme.api.act("search-contacts", query=query).json()
        assert [one["id"] for one in found] == [ann.pk]
        assert globex.api.act("search-contacts", query=query).json() == []


def test_a_current_and_a_former_phone_cost_the_same_statements(
    acme: SimpleNamespace, ann: Contact
) -> None:
    def cost(phone: str) -> int:
        return len(statements(lambda: look_up(acme.tenant, {"phone": phone})))

    assert cost(NOW) == cost(HAD) == 1
    assert len(statements(lambda: acme.tenant.contacts.find(phone=NOW))) == 1
    assert len(statements(lambda: acme.tenant.contacts.find(phone=HAD))) == 2


def test_what_is_looked_up_is_what_is_found(
    acme: SimpleNamespace, globex: SimpleNamespace, ann: Contact
) -> None:
    """`look_up` reads the row without Django's queryset."""
    acme.api.create(NOW, name="Ann", metadata={"a": [1, None]}, tags="a, b", email="a@example.com")
    for phone in (NOW, HAD):
        found, read = acme.tenant.contacts.find(phone=phone), look_up(acme.tenant, {"phone": phone})
        assert vars(found) | {"_state": 0} == vars(read) | {"_state": 0}
        with pytest.raises(Contact.DoesNotExist):
            look_up(globex.tenant, {"phone": phone})
    Contact.all_phones.filter(pk=ann.pk)._raw_delete("default")
    with pytest.raises(Contact.DoesNotExist):
        look_up(acme.tenant, {"phone": HAD})


# Creating


def test_create_contact_updates_the_contact_that_had_the_phone(
    acme: SimpleNamespace, ann: Contact
) -> None:
    answer = acme.api.create("+1 415 555 0111", name="Ann", tags="new")
    assert (answer.status_code, answer.headers["Qyvo-Result"]) == (201, "updated")
    assert answer.headers[HEADER] == HAD
    assert (answer.json()["id"], answer.json()["phone"]) == (ann.pk, NOW)
    assert acme.api.create(HAD, name="Ann", tags="new").headers["Qyvo-Result"] == "unchanged"
    assert HEADER not in acme.api.create(NOW, name="Ann").headers
    assert acme.tenant.contacts.get().tags == []
    assert of(ann) == [HAD, HAD_TOO]
    assert_links_match_tags()


OTHER = "+14155550444"


def move(tenant: Any, ann: Contact) -> None:
    change_phone.change_one(tenant, {"contact_id": ann.pk}, OTHER, {}, keep_former=False)


def give_away(tenant: Any, ann: Contact) -> None:
    move(tenant, ann)
    tenant.contacts.update_or_create(phone=NOW, defaults={"name": "Cy"})


def merge_away(tenant: Any, ann: Contact) -> None:
    bob, _ = tenant.contacts.update_or_create(phone=OTHER, defaults={"name": "Bob"})
    merge.merge_into(tenant, bob.pk, [ann.pk])


def delete(tenant: Any, ann: Contact) -> None:
    ann.delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        (lambda *_: None, {NOW: "New"}),
        (move, {OTHER: "New"}),
        (give_away, {NOW: "Cy", OTHER: "New"}),
        (merge_away, {OTHER: "New"}),
        (delete, {HAD: "New"}),
    ],
)
@pytest.mark.parametrize("before", ["Ann", "New"])
def test_a_former_phone_is_written_to_its_contact_whatever_happens_meanwhile(
    acme: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Any, Contact], None],
    expected: dict[str, str],
    before: str,
) -> None:
    """Between reading the contact that had the phone and writing it."""
    ann = merged(acme.tenant, NOW, HAD, name=before)
    find = complete.find_with_owner

    def find_and_wait(*given: Any) -> Any:
        found = find(*given)
        monkeypatch.setattr(complete, "find_with_owner", find)
        meanwhile(acme.tenant, ann)
        return found

    monkeypatch.setattr(complete, "find_with_owner", find_and_wait)
    written, _ = acme.tenant.contacts.update_or_create(phone=HAD, defaults={"name": "New"})
    assert complete.find_with_owner is find
    assert dict(acme.tenant.contacts.values_list("phone", "name")) == expected
    assert expected[written.phone] == written.name == "New"
    assert Contact.objects.get(pk=written.pk).phone == written.phone
    assert_links_match_tags()


def test_the_same_phone_of_another_tenant_is_another_contact(
    globex: SimpleNamespace, ann: Contact
) -> None:
    assert globex.api.create(HAD).headers["Qyvo-Result"] == "created"


@pytest.mark.parametrize("order", [(NOW, HAD, HAD_TOO), (HAD, NOW), (HAD_TOO, HAD), (HAD,)])
def test_the_last_of_several_phones_of_one_contact_wins_in_a_batch(
    acme: SimpleNamespace, ann: Contact, order: tuple[str, ...]
) -> None:
    """Also if every other row has no locale."""
    rows = [{"phone": phone, "name": f"n{index}"} for index, phone in enumerate(order)]
    for row in rows[1::2]:
        row["locale"] = row["name"]
    answer = acme.api.act("create-contacts", contacts=[*rows, {"phone": "+14155550000"}]).json()
    *hers, new = answer["results"]
    assert {(row["id"], row["phone"]) for row in hers} == {(ann.pk, NOW)}
    *earlier, last = [row["status"] for row in hers]
    assert ({*earlier} <= {"superseded"}, last, new["status"]) == (True, "updated", "created")
    stored = acme.tenant.contacts.get(phone=NOW)
    assert (stored.name, stored.locale) == (rows[-1]["name"], rows[-1].get("locale", ""))


@pytest.mark.parametrize("order", [(NOW, HAD), (HAD, NOW)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_of_one_contact_with_other_fields_in_other_orders_replace_it_whole(
    acme: SimpleNamespace, ann: Contact, order: tuple[str, str], shuffled: bool
) -> None:
    """A field that a row leaves out is emptied, whichever fields other rows of the batch have."""
    name, email = "Ann", "ann@example.com"
    first: dict[str, Any] = {"phone": order[0], "name": name, "email": email, "metadata": {"a": 1}}
    last: dict[str, Any] = {"phone": order[1], "tags": "x, y"}
    rows = [first, {"phone": "+14155550000", "email": "x@example.com"}, last]
    if shuffled:
        rows = [dict(reversed(row.items())) for row in rows]
    results = acme.api.act("create-contacts", contacts=rows).json()["results"]
    assert [row["status"] for row in results] == ["superseded", "created", "updated"]
    ann.refresh_from_db()
    assert (ann.phone, ann.name, ann.email, ann.metadata) == (NOW, "", "", {})
    assert ann.tags == ["x", "y"]
    assert of(ann) == [HAD, HAD_TOO]
    assert_links_match_tags()


@pytest.mark.parametrize("order", [(NOW, HAD, HAD_TOO), (HAD, NOW), (HAD, NOW, HAD_TOO)])
def test_an_import_writes_the_rows_of_one_contact_one_after_the_other(
    acme: SimpleNamespace, ann: Contact, tmp_path: Path, order: tuple[str, ...]
) -> None:
    rows = [f'{phone},n{n},"{{""k{n}"": {n}}}"' for n, phone in enumerate(order)]
    job = bring(tmp_path / "a.csv", "\n".join(["phone,name,metadata", *rows, "+14155550000,x,"]))
    counts: Any = Import.objects.with_counts().get(pk=job)
    assert (counts.rows, counts.created_so_far, counts.failed_so_far) == (len(order) + 1, 1, 0)
    assert counts.updated_so_far + counts.unchanged_so_far == len(order)
    ann.refresh_from_db()
    assert ann.name == f"n{len(order) - 1}"
    assert ann.metadata == {f"k{n}": n for n in range(len(order))}


def test_an_import_that_only_updates_knows_former_phones(
    acme: SimpleNamespace, ann: Contact, tmp_path: Path
) -> None:
    bring(tmp_path / "a.csv", f"phone,name\n{HAD},Ann\n", "--mode", "update-only")
    assert acme.tenant.contacts.get().name == "Ann"
    bring(tmp_path / "b.csv", f"phone,name\n{HAD},Zoe\n", "--mode", "create-only")
    assert acme.tenant.contacts.get().name == "Ann"


def test_a_phone_whose_contact_a_version_before_has_deleted_is_free(
    acme: SimpleNamespace, ann: Contact
) -> None:
    """It knows nothing of former phones, and leaves their rows."""
    Contact.all_phones.filter(pk=ann.pk)._raw_delete("default")
    ContactTag.objects.all().delete()
    assert acme.api.create(HAD).headers["Qyvo-Result"] == "created"
    assert replace_many(acme.tenant, [{"phone": HAD_TOO}], "api")[HAD_TOO].outcome == "created"
    assert acme.tenant.contacts.count() == 2


# Every query leaves the rows of former phones out

DOORS: dict[str, Callable[[Any], Any]] = {
    "list": lambda api: api.act("list-contacts", include_deleted=False).json()["data"],
    "search": lambda api: api.act("search-contacts").json(),
    "search by a part": lambda api: api.act("search-contacts", query="1415555").json(),
    "search by tag": lambda api: api.act("search-contacts", tag="vip").json(),
    "list by tag": lambda api: api.act("list-contacts", tag="vip").json()["data"],
    "tags": lambda api: api.act("list-tags").json(),
    "export": lambda api: lines("export_contacts", "--tenant", "acme", "--format", "ndjson"),
    "check": lambda api: lines("check_contacts", "--tenant", "acme"),
    "retag": lambda api: lines("retag", "--tenant", "acme", "--delete", "vip", "--dry-run"),
    "normalize": lambda api: lines("normalize_phones", "--tenant", "acme", "--dry-run"),
    "duplicates": lambda api: lines(
        "merge_duplicates", "--tenant", "acme", "--by", "email", "--dry-run"
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_query_leaves_the_rows_of_former_phones_out(
    acme: SimpleNamespace, ann: Contact, door: str
) -> None:
    rows = Contact.all_phones.exclude(former_of=None)
    phones = dict(rows.values_list("pk", "phone"))

    def seen() -> str:
        text = json.dumps(DOORS[door](acme.api))
        return re.sub(r',? ?\\*"former_phones\\*": \[[^]]*\]', "", text)

    with_former = seen()
    former_phones.delete(rows)
    assert with_former == seen()
    assert len(phones) == 2


# Merging, deleting, erasing


def test_a_merge_keeps_all_phones_and_logs_them(acme: SimpleNamespace, ann: Contact) -> None:
    acme.tenant.contacts.update_or_create(phone="+14155550000")
    older = Contact(tenant=acme.tenant, pk="01" + "0" * 24, phone="+14155550001")
    older.save()
    kept = merge_all([older, acme.tenant.contacts.get(phone=NOW)])
    assert of(kept) == sorted([NOW, HAD, HAD_TOO])
    entry = acme.tenant.changes.filter(contact_id=kept.pk).last()
    assert entry.fields["former_phones"] == {"added": sorted([NOW, HAD, HAD_TOO]), "removed": []}
    end = acme.tenant.changes.get(contact_id=ann.pk, kind=Change.Kind.MERGED)
    assert end.fields["former_phones"] == {"added": [], "removed": [HAD, HAD_TOO]}
    assert acme.api.act("get-contact", contact_id=ann.pk).headers["Qyvo-Merged-Into"] == kept.pk
    assert_links_match_tags()


def test_a_phone_chosen_in_a_merge_is_current_and_the_other_one_former(
    acme: SimpleNamespace,
) -> None:
    contacts = [Contact(tenant=acme.tenant, phone=phone) for phone in (HAD, NOW)]
    for contact in contacts:
        contact.save()
    kept = merge_all(contacts, phone=contacts[1].pk)
    assert (kept.phone, of(kept)) == (NOW, [HAD])


def test_the_statements_of_a_merge_do_not_grow_with_the_groups(acme: SimpleNamespace) -> None:
    def cost(first: int, groups: int) -> int:
        phones = [f"+14155551{n:03}" for n in range(first, first + 2 * groups)]
        for phone in phones:
            acme.tenant.contacts.update_or_create(phone=phone, defaults={"tags": ["vip"]})
        stored = [acme.tenant.contacts.get(phone=phone) for phone in phones]
        pairs = [*zip(stored[::2], stored[1::2], strict=True)]
        return len(statements(lambda: merge.merge(pairs)))

    assert cost(0, 1) == cost(100, 20)


def test_former_phones_go_with_their_contact(acme: SimpleNamespace, ann: Contact) -> None:
    with caused_by("command:test", change_set := new_ulid()):
        acme.tenant.contacts.find(phone=HAD).delete()
    assert not Contact.all_phones.exists()
    [undone] = undo.undo(acme.tenant, change_set, [ann.pk])
    assert not undone.kept
    assert of(ann) == [HAD, HAD_TOO]


def test_an_erased_person_is_forgotten_under_each_phone(
    acme: SimpleNamespace, ann: Contact
) -> None:
    erasing.erase(acme.tenant, HAD)
    assert not Contact.all_phones.exists()
    digests = {phone_digest(phone) for phone in (NOW, HAD, HAD_TOO)}
    assert {*acme.tenant.erasures.values_list("digest", flat=True)} == digests
    log = [*acme.tenant.changes.values_list("fields", flat=True)]
    assert not [phone for phone in (NOW, HAD, HAD_TOO) if phone in json.dumps(log)]


def test_an_opt_out_holds_for_each_phone_and_outlives_the_contact(
    acme: SimpleNamespace, ann: Contact
) -> None:
    at = Change.objects.latest("at").at
    consent.decide_one(acme.tenant, {"phone": HAD}, Decision(Change.Kind.OPTED_OUT, at))
    acme.api.create(HAD_TOO, name="Ann")
    assert acme.tenant.contacts.get().opted_out_at == at
    acme.api.act("delete-contact", phone=HAD)
    assert {*OptOut.objects.of(acme.tenant.pk, [NOW, HAD, HAD_TOO])} == {NOW, HAD, HAD_TOO}
    assert acme.api.create(HAD).status_code == 201
    assert acme.tenant.contacts.get().opted_out_at == at
    acme.api.act("record-consent", phone=HAD, status="opted_in")
    assert {*OptOut.objects.of(acme.tenant.pk, [NOW, HAD, HAD_TOO])} == {NOW, HAD_TOO}


# Undo


def undo_last(tenant: Any) -> list[undo.Undone]:
    change_set = str(Change.objects.exclude(change_set=None).latest("pk").change_set)
    pks = [*tenant.changes.filter(change_set=change_set).values_list("contact_id", flat=True)]
    with caused_by("command:undo", new_ulid()):
        return undo.undo(tenant, change_set, sorted({*pks}))


def test_an_undone_merge_gives_each_contact_its_phones_back(
    acme: SimpleNamespace, ann: Contact
) -> None:
    older = Contact(tenant=acme.tenant, pk="01" + "0" * 24, phone="+14155550001", tags=["a"])
    older.save()
    before = held(acme.tenant)
    with caused_by("command:test", new_ulid()):
        merge_all([older, acme.tenant.contacts.get(phone=NOW)], phone=ann.pk)
    merged_state = held(acme.tenant)
    assert not [kept for undone in undo_last(acme.tenant) for kept in undone.kept]
    assert held(acme.tenant) == before
    assert acme.tenant.contacts.get(phone=NOW).pk == ann.pk
    undo_last(acme.tenant)
    assert held(acme.tenant) == merged_state
    assert_links_match_tags()


def test_a_phone_that_was_released_and_given_away_stays_with_its_new_owner(
    acme: SimpleNamespace, ann: Contact
) -> None:
    change_set = Change.objects.latest("pk").change_set
    former_phones.release(acme.tenant, {"phone": NOW}, HAD)
    acme.api.create(HAD, name="Zoe")
    pks = [*acme.tenant.changes.filter(change_set=change_set).values_list("contact_id", flat=True)]
    undone = undo.undo(acme.tenant, change_set or "", sorted({*pks}))
    assert f"another contact has the phone {HAD}" in str([[*map(str, u.kept)] for u in undone])
    assert acme.tenant.contacts.get(phone=HAD).name == "Zoe"
    assert acme.tenant.contacts.get(phone=HAD_TOO).pk != ann.pk
    assert of(ann) == []


def test_a_release_and_a_change_of_phone_are_undone(acme: SimpleNamespace, ann: Contact) -> None:
    before = held(acme.tenant)
    with caused_by("command:test", new_ulid()):
        former_phones.release(acme.tenant, {"phone": NOW}, HAD)
    undo_last(acme.tenant)
    with caused_by("command:test", new_ulid()):
        ann.refresh_from_db()
        edit.change(ann, phone=HAD_TOO, keep_former=True)
    assert (ann.phone, of(ann)) == (HAD_TOO, sorted([HAD, NOW]))
    undo_last(acme.tenant)
    assert held(acme.tenant) == before


# One owner


def test_a_phone_belongs_to_one_contact(acme: SimpleNamespace, ann: Contact) -> None:
    other, _ = acme.tenant.contacts.update_or_create(phone="+14155550000")
    for phone in (NOW, HAD):
        with pytest.raises(IntegrityError), transaction.atomic():
            former_phones.keep(other, phone)
        with pytest.raises(IntegrityError), transaction.atomic():
            edit.change(other, phone=phone)
        other.refresh_from_db()
    with pytest.raises(Contact.DoesNotExist):
        former_phones.release(acme.tenant, {"contact_id": other.pk}, HAD)


@pytest.mark.django_db(transaction=True)
def test_racers_with_current_and_former_phones_end_with_one_contact(acme: SimpleNamespace) -> None:
    race(acme.tenant, 30)


@pytest.mark.django_db(transaction=True)
def test_racers_while_a_phone_is_changed_and_kept_end_with_one_contact(
    acme: SimpleNamespace,
) -> None:
    contact, _ = acme.tenant.contacts.update_or_create(phone=HAD)

    def call(number: int) -> None:
        if number == 10:
            with transaction.atomic():
                edit.change(acme.tenant.contacts.find(phone=HAD, lock=True), phone=NOW,
                            keep_former=True)  # fmt: skip
        else:
            acme.tenant.contacts.update_or_create(phone=HAD, defaults={"name": f"n{number}"})

    all_at_once(call, 20)
    assert acme.tenant.contacts.get().phone == NOW
    assert of(contact) == [HAD]


# Doors for people


def test_the_page_of_a_contact_shows_former_phones_and_releases_them(
    acme: SimpleNamespace, globex: SimpleNamespace, ann: Contact
) -> None:
    page, release = url(Contact, "change", ann.pk), url(Contact, "release", ann.pk)
    form = {"phone": HAD}
    stranger, staff = (logged_in(staff_of(member.tenant)) for member in (globex, acme))
    stranger.post(release, form)
    assert staff.get(release).status_code == 405
    assert "+1 415-555-0111" in staff.get(page).content.decode()
    assert of(ann) == [HAD, HAD_TOO]
    answer = staff.post(release, form, follow=True).content.decode()
    assert "is free" in answer
    assert "Undo" in answer
    assert "no former phone" in staff.post(release, form, follow=True).content.decode()
    assert of(ann) == [HAD_TOO]
    found = staff.get(f"{url(Contact, 'changelist')}?q=%2B{HAD_TOO[1:]}").content.decode()
    assert ann.pk in found


def test_an_export_has_the_former_phones_and_an_import_of_it_changes_nothing(
    acme: SimpleNamespace, ann: Contact, tmp_path: Path
) -> None:
    [line] = lines("export_contacts", "--tenant", "acme", "--format", "ndjson")
    assert json.loads(line)["former_phones"] == [HAD, HAD_TOO]
    text = "\n".join(lines("export_contacts", "--tenant", "acme", "--format", "csv"))
    assert f'"{HAD},{HAD_TOO}"' in text
    job = bring(tmp_path / "a.csv", text)
    counts: Any = Import.objects.with_counts().get(pk=job)
    assert counts.unchanged_so_far == 1


def test_the_action_that_releases_a_phone_finds_only_former_ones(
    acme: SimpleNamespace, globex: SimpleNamespace, ann: Contact
) -> None:
    body = {"contact_id": ann.pk, "phone": "+1 415 555 0111"}
    assert_error(globex.api.act("remove-former-phone", **body), 404, "not_found")
    answer = acme.api.act("remove-former-phone", **body)
    assert answer.json() == {"id": ann.pk, "phone": NOW, "former_phones": [HAD_TOO]}
    assert_error(acme.api.act("remove-former-phone", **body), 404, "not_found")
    assert_error(acme.api.act("remove-former-phone", **body | {"phone": NOW}), 404, "not_found")
    [listed] = acme.api.act("list-contacts").json()["data"]
    assert listed["former_phones"] == [HAD_TOO]
    shown = acme.api.act("get-contact", phone=HAD_TOO, include=["former_phones"]).json()
    assert shown["former_phones"] == [HAD_TOO]
    assert_error(acme.api.act("get-contact", phone=NOW, include=["x"]), 422,
                 "validation_failed", "include")  # fmt: skip
    assert acme.api.create(HAD).headers["Qyvo-Result"] == "created"
