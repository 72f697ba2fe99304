"""What the preview of an import begins with: the columns of an earlier import, or guesses."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from contacts.admin.import_forms import GUESSED
from contacts.importing import cleanup
from contacts.importing.preview import NO_PHONE
from contacts.importing.record_file import FileHead
from contacts.importing.row import NO_CONSENT_DATE
from contacts.models import Contact, Import
from tenants.models import Tenant
from tests.support.admin import errors, logged_in, permit, text_of
from tests.support.admin_imports import (
    drafted,
    fields_of,
    looked_at,
    page_of,
    press,
    work,
)  # fmt: skip
from tests.support.api import PHONE
from tests.support.factories import UserFactory
from tests.support.imports_api import outcome, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
FIRST, SECOND = "+33612345678", "+33612345679"
SHOP = f"Wer,Erreichbar,Werbung,Seit\n{FIRST},Zoé,x,03.04.2026\n12,Bob,x,04.04.2026\n"
CHOSEN = {"Wer": "phone", "Erreichbar": "name", "Werbung": "tags", "Seit": "metadata.Seit"}


def staff_of(tenant: Tenant) -> Client:
    user = UserFactory.create(tenant=tenant, is_staff=True)
    permit(user)
    return logged_in(user)


def note_of(client: Client, job: Import) -> str:
    return looked_at(client, job)["preview"].columns_note


def brought_in(client: Client, content: str | bytes, **changes: Any) -> Import:
    job = drafted(client, content)
    answer = press(client, job, "run", **changes)
    assert answer.status_code == 302, errors(answer)
    return work(job)


# Columns of an earlier import


@pytest.mark.both
def test_a_mended_error_file_comes_back_with_its_columns_for_its_tenant_alone(
    staff: Client, globex: SimpleNamespace
) -> None:
    first = brought_in(staff, SHOP, **CHOSEN, dates="dmy", region="FR")
    assert (first.created, first.failed) == (1, 1)
    answer: Any = staff.get(page_of("errors", first))
    error_file = b"".join(answer.streaming_content)
    assert error_file.startswith(b"Wer,Erreichbar,Werbung,Seit,line,error")
    job = drafted(staff, error_file.replace(b"12", SECOND.encode()))
    assert fields_of(staff, job) == CHOSEN | {"line": "", "error": ""}
    day = f"{first.started_at:%Y-%m-%d}"
    note = f"Columns as in the import of shop.csv on {day}."
    assert note in text_of(staff.get(page_of("preview", job)))
    assert looked_at(staff, job)["form"]["dates"].value() == "dmy", "cells are read as before"
    press(staff, job, "run")
    assert work(job).created == 1
    assert Contact.objects.get(phone=SECOND).name == "Bob"
    other_order = "Seit,Werbung,Erreichbar,Wer\n,,,\n"
    assert note_of(staff, drafted(staff, other_order)).startswith("Columns as in the import of")
    theirs = staff_of(globex.tenant)
    stranger = drafted(theirs, other_order)
    assert (note_of(theirs, stranger), {*fields_of(theirs, stranger).values()}) == ("", {""})
    for past in Import.objects.filter(tenant=first.tenant, is_draft=False):
        cleanup.delete(past)
    assert note_of(staff, drafted(staff, other_order)) == ""


def test_what_a_program_maps_is_remembered_and_what_it_does_not_map_changes_nothing(
    staff: Client, acme: SimpleNamespace
) -> None:
    content = f"Wer,Name\n{PHONE},Ann\n"
    outcome(acme.api, post(acme.api, content, "?map=Wer=phone&map=Name="))
    known = f"Mobile,Town\n{PHONE},Lyon\n"
    brought_in(staff, known, Town="tags")
    outcome(acme.api, post(acme.api, known))
    assert fields_of(staff, drafted(staff, content)) == {"Wer": "phone", "Name": ""}
    assert fields_of(staff, drafted(staff, known)) == {"Mobile": "phone", "Town": "tags"}
    again = outcome(acme.api, post(acme.api, known))
    assert again["columns"] == {"Mobile": "phone"}, "a program gets what it asks for"


def test_the_row_of_known_columns_is_the_header_in_the_encoding_of_that_import(
    staff: Client,
) -> None:
    content = f"Telefon;Miasto;\nNumer;Nazwa;Miasto\n{FIRST};Petrică;\n".encode("cp1250")
    job = drafted(staff, content)
    press(staff, job, "update", header_line="2", encoding="cp1250")
    assert fields_of(staff, job) == {"Numer": "phone", "Nazwa": "", "Miasto": ""}, "guessed anew"
    press(staff, job, "run", Nazwa="name")
    assert work(job).created == 1
    shown = looked_at(staff, drafted(staff, content))["preview"]
    assert (shown.source.header_line, shown.source.encoding) == (2, "cp1250")
    assert shown.fields == {"Numer": "phone", "Nazwa": "name"}
    assert shown.problem == ""


def test_columns_that_only_later_records_have_do_not_hide_the_earlier_import(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preview reads the first records only, and an import all of them."""
    monkeypatch.setattr(FileHead, "searched_records", 1)
    content = json.dumps([{"Wer": FIRST, "Wo": "Lyon"}, {"Wer": SECOND, "Wann": "2026"}])
    assert brought_in(staff, content, Wer="phone", Wo="name").created == 2
    assert fields_of(staff, drafted(staff, content)) == {"Wer": "phone", "Wo": "name"}


# Guesses


def test_a_guess_is_for_people_and_goes_when_they_say_no(
    staff: Client, acme: SimpleNamespace
) -> None:
    content = f"Reach,Post\n{FIRST},a@x.example\n"
    assert "map a column" in str(post(acme.api, content).json()), "a program must say it"
    job = drafted(staff, content)
    page = text_of(staff.get(page_of("preview", job)))
    assert (page.count(GUESSED), NO_PHONE in page) == (2, False)
    press(staff, job, "update", Reach="", Post="phone")
    assert fields_of(staff, job) == {"Reach": "", "Post": "phone"}
    press(staff, job, "update", Reach="phone", Post="")
    assert GUESSED not in text_of(staff.get(page_of("preview", job)))
    press(staff, job, "run")
    assert work(job).created == 1
    assert Contact.objects.get().email == ""


# Consent


@pytest.mark.both
def test_yes_and_no_become_consent_from_a_date_and_other_decisions_stay(
    staff: Client, acme: SimpleNamespace
) -> None:
    phones = [f"+3361234567{n}" for n in range(6)]
    for phone, status in {phones[4]: "opted_out", phones[5]: "opted_in"}.items():
        acme.api.create(phone)
        acme.api.act("record-consent", phone=phone, status=status, at="2026-06-01T00:00:00Z")
    acme.api.act("delete-contact", phone=phones[4])
    words = ["Ja", "nein", "", "vielleicht", "yes", "no"]
    rows = "".join(f"{phone},{word}\n" for phone, word in zip(phones, words, strict=True))
    job = drafted(staff, f"Mobile,Werbung ok?\n{rows}")
    asked = {"Werbung ok?": "consent"}
    assert NO_CONSENT_DATE in text_of(press(staff, job, "run", **asked))
    assert "in the future" in text_of(press(staff, job, "run", **asked, consent_since="2999-01-01"))
    asked_too_much = press(staff, job, "run", **asked, consent_since="0001-01-01")
    assert "between 1971" in text_of(asked_too_much)
    assert "Send a date" in text_of(press(staff, job, "run", **asked, consent_since="May"))
    press(staff, job, "run", **asked, consent_since="2026-05-07")
    work(job)
    assert (job.created, job.updated, job.failed, job.warnings) == (5, 0, 0, 1)
    stored = Contact.objects.order_by("phone").values_list("opted_in_at", "opted_out_at")
    day, later = datetime(2026, 5, 7, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    assert [*stored] == [
        (day, None), (None, day), (None, None), (None, None), (day, later), (later, None),
    ]  # fmt: skip
    again = looked_at(staff, drafted(staff, f"Mobile,Werbung ok?\n{rows}"))
    assert again["form"]["consent_since"].value() == "", "the next file has another date"
    assert again["preview"].problem == NO_CONSENT_DATE


# Names


def test_names_with_the_last_name_first_are_turned_unless_staff_say_no(staff: Client) -> None:
    content = f'Mobile,Wer\n{FIRST},"Müller, Jürgen"\n{SECOND},"Acme, Inc."\n{PHONE},"Lee, Ann"\n'
    job = drafted(staff, content)
    form = looked_at(staff, job)["form"]
    assert form["names_last_first"].value() is True
    assert "Most cells of “Wer”" in form["names_last_first"].help_text
    press(staff, job, "run", Wer="name")
    work(job)
    assert {*Contact.objects.values_list("name", flat=True)} == {
        "Jürgen Müller", "Acme, Inc.", "Ann Lee",
    }  # fmt: skip
    brought_in(staff, content, names_last_first="")
    assert Contact.objects.filter(name="Müller, Jürgen").exists()
    assert looked_at(staff, drafted(staff, content))["form"]["names_last_first"].value() is False
