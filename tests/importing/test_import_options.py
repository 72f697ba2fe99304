"""The options of an import, its warnings and its hint: through the command, the API and the admin
alike."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError
from django.test import Client

from contacts.models import Contact, Import
from tests.support.admin_imports import drafted, press
from tests.support.api import PHONE, Api
from tests.support.factories import ContactFactory
from tests.support.imports import bring
from tests.support.imports_api import worked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
Options = dict[str, Any]
Door = Callable[[str, Options], Import]
IMPORTS = "/api/v1/imports"


def stored(*fields: str) -> list[tuple[Any, ...]]:
    return list(Contact.objects.order_by("phone").values_list("phone", *fields))


def test_phones_may_have_their_country_code_without_plus(door: Door) -> None:
    text = "phone,name\n6591234567,Tan\n14155550123,Sam\n33612345679.0,Bob\n"
    door(text, {"phones_have_country_code": True})
    assert stored() == [(PHONE,), ("+33612345679",), ("+6591234567",)]


def test_tags_are_added_and_all_contacts_get_the_tags_of_the_import(
    acme: SimpleNamespace, door: Door
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["old", "vip"])
    text = f"phone,tags\n{PHONE},new;vip\n+33612345678,\n"
    door(text, {"tags": "add", "tag": ["fair 2026", "old"]})
    assert stored("tags") == [
        (PHONE, ["old", "vip", "new", "fair 2026"]), ("+33612345678", ["fair 2026", "old"]),
    ]  # fmt: skip


def test_a_tag_of_the_import_takes_no_tags_away(acme: SimpleNamespace, door: Door) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["old"])
    text = f"phone,tags\n{PHONE},\n+33612345678,new\n"
    door(text, {"tag": ["fair 2026"]})
    assert stored("tags") == [(PHONE, ["old", "fair 2026"]), ("+33612345678", ["new", "fair 2026"])]


def test_dates_are_read_in_their_order_and_time_zone(door: Door) -> None:
    text = f"phone,since\n{PHONE},07/05/2026 10:14\n"
    door(text, {"map": ["since=opted_in_at"], "dates": "dmy", "timezone": "Europe/Paris"})
    [(_, time)] = stored("opted_in_at")
    assert time.isoformat() == "2026-05-07T08:14:00+00:00"


def test_a_broken_cell_is_told_as_a_warning_and_the_contact_comes_in(door: Door) -> None:
    job = door(f"phone,name,email\n{PHONE},Ann,ann@@example\n+33612345678,Bob,\n", {})
    assert stored("name", "email") == [(PHONE, "Ann", ""), ("+33612345678", "Bob", "")]
    assert (job.created, job.failed, job.warnings) == (2, 0, 1)
    assert job.warned() == [(2, "The email must be a valid address.")]


def test_a_file_without_header_comes_in_by_the_numbers_of_its_columns(door: Door) -> None:
    text = f"Ann;{PHONE}\nBob;+33612345678\n"
    job = door(text, {"header_line": 0, "map": ["Column 2=phone", "Column 1=name"]})
    assert stored("name") == [(PHONE, "Ann"), ("+33612345678", "Bob")]
    assert job.options["read_as"]["header_line"] is None


def test_the_header_is_in_the_line_that_the_user_says(door: Door) -> None:
    text = f"Phone;;\nNr;Wer;Phone\n1;Ann;{PHONE}\n"
    job = door(text, {"header_line": 2, "map": ["Wer=name"]})
    assert stored("name") == [(PHONE, "Ann")]
    assert job.options["read_as"]["header_line"] == 2


def test_strict_fails_the_record_instead(door: Door) -> None:
    job = door(f"phone,name,email\n{PHONE},Ann,ann@@example\n+33612345678,Bob,\n", {"strict": True})
    assert stored("name") == [("+33612345678", "Bob")]
    assert (job.created, job.failed, job.warnings) == (1, 1, 0)


def test_the_api_shows_warnings_while_it_runs_and_afterwards(acme: SimpleNamespace) -> None:
    rows = "".join(f"+1415555{n:04},bad\n" for n in range(Import.SHOWN_WARNINGS + 5))
    api: Api = acme.api
    for query in ("?dry_run=true", ""):
        answer = api.send(f"phone,email\n{rows}", f"{IMPORTS}{query}", content_type="text/csv")
        assert answer.json()["warnings"] == 0
        worked(Import.objects.latest("pk"))
        shown = api.get(answer.headers["Location"]).json()
        assert shown["warnings"] == Import.SHOWN_WARNINGS + 5
        assert [warning["line"] for warning in shown["warning_list"]] == [
            *range(2, 2 + Import.SHOWN_WARNINGS)
        ]
        assert shown["warning_list"][0]["warning"] == "The email must be a valid address."


def test_the_admin_shows_warnings_in_preview_and_result(staff: Client) -> None:
    job = drafted(staff, f"phone,email\n{PHONE},ann@@example\n")
    page = staff.get(f"/admin/contacts/import/{job.pk}/preview/").content.decode()
    assert "1 with warnings" in page
    assert "The email must be a valid address." in page
    press(staff, job, "run")
    worked(job)
    page = staff.get(f"/admin/contacts/import/{job.pk}/change/").content.decode()
    assert "Line 2: The email must be a valid address." in page


AMBIGUOUS = "phone\n" + "".join(f"65982345{n}\n" for n in range(10, 20)) + "+33612345678\n"


@pytest.mark.parametrize(
    ("text", "region", "is_told"),
    [(AMBIGUOUS, "US", True), (AMBIGUOUS, "", False), ("phone\n4155550123\n", "US", False)],
)
def test_a_dry_run_says_that_phones_have_two_readings(
    acme: SimpleNamespace, staff: Client, tmp_path: Path, text: str, region: str, is_told: bool
) -> None:
    acme.tenant.default_region = region
    acme.tenant.save()
    path = tmp_path / "people.csv"
    path.write_text(text)
    assert ("in two ways" in bring(path, "--dry-run")[1]) is is_told
    answer = acme.api.send(text, f"{IMPORTS}?dry_run=true", content_type="text/csv")
    worked(Import.objects.latest("pk"))
    hint = acme.api.get(answer.headers["Location"]).json()["hint"]
    assert (hint is not None) is is_told
    job = drafted(staff, text)
    page = staff.get(f"/admin/contacts/import/{job.pk}/preview/").content.decode()
    assert ("in two ways" in page) is is_told
    assert "in two ways" not in bring(path, "--phones-have-country-code", "--dry-run")[1]


def test_an_import_that_an_earlier_version_has_queued_still_runs(acme: SimpleNamespace) -> None:
    acme.api.send(f"phone,tags\n{PHONE},a\n", IMPORTS, content_type="text/csv")
    job = Import.objects.get()
    new = ("phones_have_country_code", "tags", "tag", "dates", "timezone", "strict")
    job.options = {name: value for name, value in job.options.items() if name not in new}
    job.save()
    worked(job)
    assert stored("tags") == [(PHONE, ["a"])]


@pytest.mark.parametrize("value", ['["vip", "new"]', ["vip", "new"], "vip, new"])
def test_the_api_takes_tags_as_json_text_and_an_empty_list_as_metadata(
    api: Api, value: Any
) -> None:
    answer = api.create("https://wa.me/14155550123", tags=value, metadata=[])
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["phone"], answer.json()["tags"]) == (PHONE, ["vip", "new"])
    assert Contact.objects.get().metadata == {}
    assert api.act("update-contact", phone=PHONE, metadata=[]).status_code == 200


@pytest.mark.parametrize(
    ("said", "field"),
    [("Sí", "opted_in_at"), ("x", "opted_in_at"), ("NÃO", "opted_out_at"), ("0", "opted_out_at")],
)
def test_programs_map_yes_and_no_to_consent_and_say_since_when(
    acme: SimpleNamespace, tmp_path: Path, said: str, field: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f'phone,name,ok\n{PHONE},"Müller, Jürgen",{said}\n')
    with pytest.raises(CommandError, match="Say from which date"):
        bring(path, "--map=ok=consent")
    with path.open("rb") as file:
        form = {"file": file, "map": "ok=consent"}
        answer = acme.api.client.post(IMPORTS, form, headers=acme.api.headers)
    assert "consent_since" in answer.json()["errors"]["map"][0]
    options = ("--map=ok=consent", "--consent-since=2026-05-07", "--timezone=Asia/Tokyo")
    assert bring(path, *options, "--names-last-first")[0] == 0
    assert stored("name", field) == [
        (PHONE, "Jürgen Müller", datetime(2026, 5, 6, 15, tzinfo=UTC)),
    ]  # fmt: skip
