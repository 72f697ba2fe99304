"""Former phones in files: each becomes a former phone of the contact of its row, or is left out
with a warning."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError

from contacts import erasing
from contacts.models import Change, Import, OptOut
from contacts.writing import delete, former_phones, undo
from tests.support.changes import logged
from tests.support.concurrency import all_at_once
from tests.support.former_phones import HAD, HAD_TOO, NOW, merged, of
from tests.support.imports import bring, counts
from tests.support.undo import held, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db]
OTHER = "+14155550333"
TAKEN = "A former phone was left out: another contact has it or had it."
IN_FILE = "A former phone was left out: another row of the file has it, too."


@pytest.fixture
def run(acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path) -> Any:
    """Imports a text into acme; returns the import. Another tenant has the phones, too."""
    merged(globex.tenant, NOW, HAD)

    def through(text: str, *options: str) -> Import:
        path = tmp_path / "people.csv"
        path.write_text(text)
        bring(path, *options)
        return Import.objects.latest("pk")

    return through


def people(tenant: Any) -> dict[str, list[str]]:
    """The former phones of each contact, by its phone."""
    return {contact.phone: of(contact) for contact in tenant.contacts.order_by("phone")}


def warnings(job: Import) -> list[tuple[int, str]]:
    return [tuple(warned) for warned in job.warning_list]


def test_a_former_phone_belongs_to_the_contact_of_its_row(
    acme: SimpleNamespace, globex: SimpleNamespace, run: Callable[..., Import]
) -> None:
    job = run(f'phone,name,former_phones\n{NOW},Ann,"{HAD},{HAD_TOO}, {NOW}"\n{OTHER},Bob,\n')
    assert (job.created, job.failed, job.warnings) == (2, 0, 0)
    assert people(acme.tenant) == {NOW: [HAD, HAD_TOO], OTHER: []}
    assert acme.tenant.contacts.find(phone=HAD).name == "Ann"
    assert logged(tenant=acme.tenant, contact_id=acme.tenant.contacts.get(phone=NOW).pk) == [
        ("created", {}),
        ("updated", {"former_phones": {"added": [HAD, HAD_TOO], "removed": []}}),
    ]
    before = Change.objects.count()
    job = run(f"phone,name,former_phones\n{HAD},Ann,{NOW} ::: {HAD_TOO}\n")
    assert (job.unchanged, job.warnings, Change.objects.count()) == (1, 0, before)
    assert people(globex.tenant) == {NOW: [HAD]}


def test_a_contact_that_only_gets_a_former_phone_is_updated_for_a_sync(
    acme: SimpleNamespace, run: Callable[..., Import], tmp_path: Path
) -> None:
    acme.tenant.contacts.update_or_create(phone=NOW, defaults={"name": "Ann"})
    before = acme.tenant.contacts.get().updated_at
    text = f'{{"phone": "{NOW}", "name": "Ann", "former_phones": ["{HAD}"]}}\n'
    path = tmp_path / "tried.ndjson"
    path.write_text(text)
    assert counts(bring(path, "--dry-run")[1])["updated"] == 1
    assert people(acme.tenant) == {NOW: []}
    job = run(text)
    assert (job.updated, job.unchanged) == (1, 0)
    assert acme.tenant.contacts.get().updated_at > before
    assert people(acme.tenant) == {NOW: [HAD]}


@pytest.mark.parametrize("current", [False, True])
def test_a_phone_of_another_contact_costs_the_former_phone_only(
    acme: SimpleNamespace, run: Callable[..., Import], current: bool
) -> None:
    merged(acme.tenant, OTHER, HAD)
    taken = OTHER if current else HAD
    text = f'phone,name,former_phones\n{NOW},Ann,"{taken},{HAD_TOO}"\n'
    job = run(text, "--strict")
    assert (job.failed, job.failures.get().error) == (1, TAKEN)
    job = run(text)
    assert (job.created, warnings(job)) == (1, [(2, TAKEN)])
    assert people(acme.tenant) == {NOW: [HAD_TOO], OTHER: [HAD]}


def test_no_chance_decides_who_of_a_file_gets_a_phone(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    """Whatever the batches are: the phone of a row stays its own, else the first row counts."""
    text = f"phone,former_phones\n{NOW},{OTHER};{HAD}\n{HAD_TOO},{HAD}\n{OTHER},\n"
    job = run(text, "--batch-size", "1")
    assert warnings(job) == [(2, IN_FILE), (3, IN_FILE)]
    assert people(acme.tenant) == {NOW: [HAD], HAD_TOO: [], OTHER: []}


def test_rows_of_one_phone_add_their_former_phones(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    job = run(f"phone,former_phones\n{NOW},{HAD}\n{NOW},\n{NOW},{HAD_TOO}\n")
    assert (job.created, job.superseded, job.warnings) == (1, 2, 0)
    assert people(acme.tenant) == {NOW: [HAD, HAD_TOO]}


def test_what_is_no_phone_and_what_would_take_phones_away_is_a_warning(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    job = run(f"phone,name,former_phones\n{NOW},Ann,12\n{OTHER},Bob,--\n{HAD},Cy,n/a\n")
    [(line, first), (line_too, second)] = warnings(job)
    assert (line, line_too) == (2, 3)
    assert first.startswith("A former phone is wrong: ")
    assert "only added" in second
    assert (job.created, job.failed) == (3, 0)
    assert people(acme.tenant) == {NOW: [], OTHER: [], HAD: []}


def test_only_contacts_that_the_mode_writes_get_former_phones(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    acme.tenant.contacts.update_or_create(phone=NOW, defaults={})
    run(f"phone,former_phones\n{NOW},{HAD}\n{OTHER},{HAD_TOO}\n", "--mode", "create-only")
    assert people(acme.tenant) == {NOW: [], OTHER: [HAD_TOO]}
    run(f"phone,former_phones\n{NOW},{HAD}\n+14155550444,+14155550555\n", "--mode", "update-only")
    assert people(acme.tenant) == {NOW: [HAD], OTHER: [HAD_TOO]}


def test_an_undo_of_the_import_releases_the_former_phones(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    acme.tenant.contacts.update_or_create(phone=NOW, defaults={"name": "Ann"})
    before = held(acme.tenant)
    run(f"phone,name,former_phones\n{NOW},Ann Lee,{HAD}\n{OTHER},Bob,{HAD_TOO}\n")
    undo.ChangeSet(last_set(), type(acme.tenant).objects.filter(pk=acme.tenant.pk)).take_back()
    assert held(acme.tenant) == before
    assert people(acme.tenant) == {NOW: []}


def test_who_has_opted_out_stays_out_with_all_phones(
    acme: SimpleNamespace, run: Callable[..., Import]
) -> None:
    merged(acme.tenant, HAD, opted_out_at="2026-01-01T00:00:00Z")
    delete.delete_many(acme.tenant.contacts.filter(phone=HAD))
    merged(acme.tenant, OTHER, opted_out_at="2026-01-01T00:00:00Z")
    run(f"phone,former_phones\n{NOW},{HAD}\n{OTHER},{HAD_TOO}\n")
    assert acme.tenant.contacts.get(phone=NOW).opted_out_at
    assert {*OptOut.objects.of(acme.tenant.pk, [HAD, HAD_TOO, NOW])} == {HAD, HAD_TOO}


def test_a_row_with_a_former_phone_of_an_erased_person_is_a_row_of_this_person(
    acme: SimpleNamespace, run: Callable[..., Import], tmp_path: Path
) -> None:
    merged(acme.tenant, HAD)
    erasing.erase(acme.tenant, HAD)
    job = run(f"phone,name,former_phones\n{NOW},Ann,{HAD}\n12,Ann,{HAD}\n")
    assert (job.created, job.failed) == (0, 2)
    assert people(acme.tenant) == {}
    assert HAD not in (tmp_path / "people.csv.acme.errors.csv").read_text()


def test_a_batch_is_tried_again_for_each_of_its_phones_that_somebody_gets_meanwhile(
    acme: SimpleNamespace, run: Callable[..., Import], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, tries = former_phones.insert_many, []

    def after_another_writer(*args: Any) -> None:
        tries.append(args)
        if len(tries) <= 2:
            raise IntegrityError
        insert(*args)

    monkeypatch.setattr(former_phones, "insert_many", after_another_writer)
    job = run(f"phone,former_phones\n{NOW},{HAD};{HAD_TOO}\n")
    assert (len(tries), job.created, job.failed) == (3, 1, 0)
    assert people(acme.tenant) == {NOW: [HAD, HAD_TOO]}


@pytest.mark.django_db(transaction=True)
def test_a_phone_that_many_want_at_once_gets_one_owner(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    def call(number: int) -> Any:
        if number == 3:
            return acme.tenant.contacts.update_or_create(phone=HAD, defaults={"name": "Cy"})
        path = tmp_path / f"{number}.csv"
        path.write_text(f"phone,former_phones\n+1415555044{number},{HAD};{HAD_TOO}\n")
        return bring(path)

    all_at_once(call, 4)
    owners = people(acme.tenant)
    assert {f"+1415555044{number}" for number in range(3)} <= {*owners}
    assert sorted([*owners, *chain(*owners.values())]).count(HAD) == 1
    assert [*chain(*owners.values())].count(HAD_TOO) == 1
