"""Files of contacts: how they are read, what they change, and that a kill loses nothing."""

import codecs
import csv
import gzip
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError
from hypothesis import given
from hypothesis import strategies as st

from contacts.db import pacing
from contacts.importing.engine import fingerprint
from contacts.importing.error_file import failed_records
from contacts.importing.findings import findings
from contacts.importing.options import STORED
from contacts.importing.pools import chunks
from contacts.importing.record_file import RecordFile
from contacts.importing.records import UnreadableFile
from contacts.importing.row import read_options
from contacts.importing.storage import spool_folder
from contacts.jobs.lock import locked_folder
from contacts.management.commands.import_contacts import OF_COMMAND
from contacts.models import Contact, Import, ImportFailure, Tag
from contacts.values.formulas import neutral, original
from contacts.writing import edit
from tests.support.api import PHONE
from tests.support.cases import in_one_test
from tests.support.examples import FEW
from tests.support.factories import ContactFactory
from tests.support.imports import HEADER, bring, counts, write
from tests.support.sql import all_rows, assert_links_match_tags, statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "contacts.csv"


def stored(*fields: str) -> list[tuple[Any, ...]]:
    return list(Contact.objects.order_by("phone").values_list("phone", *fields))


ROWS = [
    ["+1 415 555 0123", "Zoë", "zoe@example.com", "vip, b", "Köln"],
    ["0033612345678", 'Line\none, "two"', "", "", ""],
]
EXPECTED = [
    ("+14155550123", "Zoë", "zoe@example.com", ["vip", "b"], {"city": "Köln"}),
    ("+33612345678", 'Line\none, "two"', "", [], {}),
]


# How files are read


@in_one_test("delimiter", [",", ";", "\t", "|"])
@in_one_test("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@in_one_test("is_gzip", [False, True])
def test_a_csv_is_read_however_it_was_written(
    acme: SimpleNamespace, file: Path, delimiter: str, encoding: str, is_gzip: bool
) -> None:
    write(file, HEADER, *ROWS, encoding=encoding, delimiter=delimiter)
    if is_gzip:
        file.write_bytes(gzip.compress(file.read_bytes()))
    status, printed = bring(file, "--rest-to-metadata")
    assert (status, counts(printed)["created"]) == (0, 2)
    assert stored("name", "email", "tags", "metadata") == EXPECTED
    assert set(Contact.objects.values_list("source", flat=True)) == {"csv_import"}
    assert_links_match_tags()


@pytest.mark.parametrize("is_gzip", [False, True])
def test_ndjson_is_read_with_its_types(acme: SimpleNamespace, file: Path, is_gzip: bool) -> None:
    records = [
        {"phone": 14155550123, "name": "Zoë", "tags": ["vip", "b"], "metadata": {"n": 1.5}},
        {"phone": "+33612345678", "vip": True, "name": None},
    ]
    text = codecs.BOM_UTF8 + "\n\n".join(map(json.dumps, records)).encode()
    file.write_bytes(gzip.compress(text) if is_gzip else text)
    status, printed = bring(file, "--rest-to-metadata", "--region", "US")
    assert (status, counts(printed)["created"]) == (0, 2)
    assert stored("name", "tags", "metadata") == [
        ("+14155550123", "Zoë", ["vip", "b"], {"n": 1.5}),
        ("+33612345678", "", [], {"vip": True}),
    ]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"phone,name\r+14155550123,Ann\r", []),  # old Macintosh
        ("phone\tname\n+14155550123\tAnn\n".encode("utf-16-le"), []),
        ("phone,name\n+14155550123,Ann".encode("utf-16-be"), []),
        (b"phone\tname\n+14155550123\tAnn\n", ["--delimiter", r"\t"]),
        (b"\n\n,,\nphone,name\r\n\r\n+14155550123,Ann\r\n", []),
    ],
)
def test_unusual_files_are_read_too(
    acme: SimpleNamespace, file: Path, content: bytes, options: list[str]
) -> None:
    file.write_bytes(content)
    assert bring(file, *options)[0] == 0
    assert stored("name") == [(PHONE, "Ann")]


def test_a_key_that_comes_late_in_ndjson_is_a_column_too(acme: SimpleNamespace, file: Path) -> None:
    records: list[dict[str, Any]] = [{"phone": f"+1415555{n:04}"} for n in range(1500)]
    records[-1] |= {"name": "Ann", "tags": ["a"], "late": 1}
    file.write_text("\n".join(map(json.dumps, records)))
    assert bring(file, "--rest-to-metadata")[0] == 0
    assert stored("name", "tags", "metadata")[-1] == ("+14155551499", "Ann", ["a"], {"late": 1})


@pytest.mark.parametrize(
    "record",
    ['{"phone": "+14155550123", "metadata": {"a": NaN}}', '{"phone": "+14155550123", "n": 1e400}',
     '{"phone": "+14155550123", "n": ' + "[" * 100_000, '{"phone": "+14155550123", "\\ud800": 1}',
     '{"phone": "+14155550123", "name": "\\ud800"}'],
    ids=range(5),
)  # fmt: skip
def test_a_poisoned_record_fails_alone_or_is_left_out(
    acme: SimpleNamespace, file: Path, record: str
) -> None:
    file.write_text(f'{record}\n{{"phone": "+33612345678"}}\n')
    status, printed = bring(file, "--rest-to-metadata")
    assert counts(printed)["created"] + counts(printed)["failed"] == 2
    assert stored()[-1] == ("+33612345678",)
    assert status == counts(printed)["failed"]


def test_chunks_end_by_weight_too() -> None:
    assert list(chunks(["x" * 3_000_000] * 5, lambda: 100, 4_000_000)) == [
        ["x" * 3_000_000] * 2,
        ["x" * 3_000_000] * 2,
        ["x" * 3_000_000],
    ]
    assert list(chunks("abcde", lambda: 2, 100)) == [["a", "b"], ["c", "d"], ["e"]]


def test_columns_are_shown_and_can_be_mapped(acme: SimpleNamespace, file: Path) -> None:
    write(
        file, ["Cell no", "Phone", "Town", "Rest", "Name"], ["+14155550123", "x", "Rome", "r", "n"]
    )
    options = ["--map", "Cell no=phone", "--map", "Phone=", "--map", "Town=metadata.city"]
    status, printed = bring(file, *options, "--rest-to-metadata")
    assert status == 0
    assert printed.splitlines()[:6] == [
        "encoding utf-8, delimiter “,”, header in line 1",
        "Cell no → phone", "Town → metadata.city", "Rest → metadata.Rest", "Name → name",
        "left out: Phone",
    ]  # fmt: skip
    assert stored("name", "metadata") == [("+14155550123", "n", {"city": "Rome", "Rest": "r"})]


@in_one_test(
    ("cell", "reason"),
    [
        ("1.41556E+10", "turned the phone into a number such as 1.4E+10"),
        ("4,4207946E+11", "its digits are lost"),
        ("14155550123.0", "The + is missing in front"),
        ("14155550123", "The + is missing in front"),
        ("415-555-0123", "international form"),
        ("", "The phone is required."),
        ("call me", "A phone cannot contain “c”"),
    ],
)
def test_what_a_spreadsheet_ruined_is_told_apart(
    acme: SimpleNamespace, file: Path, cell: str, reason: str
) -> None:
    write(file, ["phone", "name"], [cell, "Ann"])
    status, printed = bring(file, "--dry-run")
    assert status == 1
    assert reason in printed
    assert printed.splitlines()[-1].startswith("line 2: ")


def test_national_numbers_need_the_calls_or_the_tenants_region(
    acme: SimpleNamespace, file: Path
) -> None:
    write(file, ["phone"], ["06 12 34 56 78"])
    assert bring(file)[0] == 1
    assert bring(file, "--region", "FR")[0] == 0
    assert stored() == [("+33612345678",)]
    acme.tenant.default_region = "DE"
    acme.tenant.save()
    assert bring(write(file, ["phone"], ["030 1234567"]))[0] == 0
    assert stored() == [("+33612345678",), ("+49301234567",)]


@in_one_test(
    ("content", "options", "sentence"),
    [
        ("", [], "The file is empty."),
        ("a,b\n1,2\n", [], "No column is known to be the phone"),
        ("+14155550123,Ann\n", [], "No row names the columns"),
        ("phone\n1\n", ["--map", "x=phone"], "There is no column “x”"),
        ("phone\n1\n", ["--map", "phone=x"], "There is no field “x”"),
        ("phone\n1\n", ["--map", "phone"], "A map is COLUMN=FIELD"),
        ("phone\n1\n", ["--region", "xx"], "--region: Use a two-letter country code"),
        ("phone\n1\n", ["--encoding", "ascii2"], "There is no encoding “ascii2”"),
        ("phone\n1\n", ["--encoding", "hex"], "There is no encoding “hex”"),
        ("phone\n1\n", ["--delimiter", "::"], "The delimiter is one character"),
        ("x" * 3_000_000, [], "A line is longer than"),
        (",".join(f"c{n}" for n in range(1001)), [], "There are more than 1,000 columns"),
        ("phone,a\x00b\n1,2\n", [], "The name of column 2 cannot be"),
        ("PK\x03\x04\r\x00\r\n", [], "workbook cannot be read"),
        ("phone\n1\n", ["--errors", "/nonexistent/x.csv"], "No such file or directory"),
        ("phone\n1\n", ["--batch-size", "0"], "--batch-size"),
        ("phone\n1\n", ["--resume"], "There is no interrupted import"),
    ],
)
def test_what_cannot_run_at_all_ends_with_status_2_and_writes_nothing(
    acme: SimpleNamespace, file: Path, content: str, options: list[str], sentence: str
) -> None:
    file.write_text(content)
    with pytest.raises(CommandError) as stop:
        bring(file, *options)
    assert sentence in str(stop.value)
    assert stop.value.returncode == 2
    assert not Contact.objects.exists()
    assert not Import.objects.unfinished().exists()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_or_tenant_that_is_not_there_ends_with_status_2(
    acme: SimpleNamespace, file: Path
) -> None:
    with pytest.raises(CommandError) as stop:
        bring(file)
    assert stop.value.returncode == 2
    write(file, ["phone"])
    with pytest.raises(CommandError, match="There is no tenant “nobody”") as stop:
        bring(file, tenant="nobody")
    assert stop.value.returncode == 2


def test_a_damaged_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    with pytest.raises(UnreadableFile, match="gzip file is damaged"):
        RecordFile(path)


# What they change


@pytest.fixture
def ann(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ann", email="ann@example.com", tags=["a", "b"],
        metadata={"city": "Rome", "n": 1}, locale="it",
    )  # fmt: skip


def test_a_blank_cell_leaves_the_field_alone_and_the_marker_clears_it(
    ann: Contact, file: Path
) -> None:
    header = ["phone", "name", "email", "tags", "locale"]
    fields = ("name", "email", "tags", "locale", "metadata", "source")
    before = stored(*fields)
    for blank in ("", "  "):
        _, printed = bring(write(file, header, [PHONE, blank, "", "", ""]))
        assert counts(printed)["unchanged"] == 1
        assert stored(*fields) == before
    bring(write(file, header, [PHONE, "", "new@example.com", "--", "--"]))
    assert stored(*fields) == [
        (PHONE, "Ann", "new@example.com", [], "", {"city": "Rome", "n": 1}, "api")
    ]
    bring(write(file, header, [PHONE, "!", "", "--", ""]), "--clear-marker", "!")
    assert stored("name", "email", "tags")[0] == (PHONE, "", "new@example.com", ["--"])
    assert_links_match_tags()


def test_metadata_is_merged_and_cleared_as_a_whole(ann: Contact, file: Path) -> None:
    write(file, ["phone", "city", "metadata"], [PHONE, "Oslo", '{"n": 2, "deep": {"x": [1]}}'])
    assert bring(file, "--rest-to-metadata")[0] == 0
    assert stored("metadata") == [(PHONE, {"city": "Oslo", "n": 2, "deep": {"x": [1]}})]
    _, printed = bring(file, "--rest-to-metadata")
    assert counts(printed)["unchanged"] == 1
    bring(write(file, ["phone", "metadata"], [PHONE, "--"]))
    assert stored("metadata") == [(PHONE, {})]


def test_metadata_that_grows_too_large_fails_its_row_alone(ann: Contact, file: Path) -> None:
    edit.change(ann, metadata={"x": "y" * 40_000})
    write(file, ["phone", "big"], [PHONE, "z" * 30_000], ["+14155550199", "z" * 30_000])
    _, dry = bring(file, "--rest-to-metadata", "--dry-run")
    status, printed = bring(file, "--rest-to-metadata")
    assert status == 1
    assert counts(printed) == counts(dry)
    assert (counts(printed)["created"], counts(printed)["failed"]) == (1, 1)
    assert "may have at most 65,536 bytes" in ImportFailure.objects.get().error
    ann.refresh_from_db()
    assert list(ann.metadata) == ["x"]


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        ("upsert", {"New", "Old"}, {"created": 1, "updated": 1}),
        ("create-only", {"New", "Ann"}, {"created": 1, "unchanged": 1}),
        ("update-only", {"Old"}, {"updated": 1, "failed": 1}),
    ],
)
def test_a_mode_leaves_new_or_known_contacts_alone(
    ann: Contact, file: Path, mode: str, names: set[str], expected: dict[str, int]
) -> None:
    write(file, ["phone", "name", "tags"], [PHONE, "Old", "c"], ["+14155550199", "New", "c"])
    _, dry = bring(file, "--mode", mode, "--dry-run")
    status, printed = bring(file, "--mode", mode)
    assert counts(dry) == counts(printed)
    assert {name: count for name, count in counts(printed).items() if count} == expected
    assert {name for _, name in stored("name")} == names
    assert status == ("failed" in expected)
    assert_links_match_tags()


def test_of_a_repeated_phone_the_last_row_counts_however_far_away(
    acme: SimpleNamespace, file: Path
) -> None:
    write(file, ["phone", "name", "tags"], [PHONE, "first", "lost"], ["+14155550199", "x", ""],
          ["001 415 555 0123", "second", ""], ["bad"], [PHONE, "last", "kept"])  # fmt: skip
    _, printed = bring(file, "--batch-size", "1")
    assert counts(printed) == {
        "created": 2, "updated": 0, "unchanged": 0, "superseded": 2, "failed": 1,
    }  # fmt: skip
    assert stored("name", "tags")[0] == (PHONE, "last", ["kept"])
    assert set(Tag.objects.values_list("name", flat=True)) == {"kept"}


def test_consent_is_touched_only_where_mapped_and_nobody_is_opted_in_again(
    acme: SimpleNamespace, file: Path
) -> None:
    moment = "2026-05-07T08:14:23+00:00"
    write(file, ["phone", "opted_in_at"], [PHONE, moment], ["+14155550199", moment])
    bring(file)
    assert {row[1] for row in stored("opted_in_at")} == {None}
    Contact.objects.filter(phone=PHONE).update(opted_out_at=moment)
    bring(file, "--map", "opted_in_at=opted_in_at")
    assert [row[1] is None for row in stored("opted_in_at")] == [True, False]
    write(file, ["phone", "opted_out_at"], [PHONE, "--"], ["+14155550199", moment])
    bring(file, "--map", "opted_out_at=opted_out_at")
    assert [row[1].isoformat() for row in stored("opted_out_at")] == [moment, moment]


def test_an_opt_out_is_not_lost_behind_a_later_row(acme: SimpleNamespace, file: Path) -> None:
    write(file, ["phone", "opted_in_at", "opted_out_at"], [PHONE, "", "2026-05-01T00:00:00Z"],
          [PHONE, "2025-01-01T00:00:00Z", ""])  # fmt: skip
    consent = [f"--map={name}={name}" for name in ("opted_in_at", "opted_out_at")]
    status, printed = bring(file, *consent)
    assert (status, counts(printed)["failed"], counts(printed)["superseded"]) == (0, 0, 1)
    assert [(row[1], row[2] is None) for row in stored("opted_in_at", "opted_out_at")] == [
        (None, False)
    ]


def test_another_tenants_contacts_are_not_touched(
    acme: SimpleNamespace, globex: SimpleNamespace, file: Path
) -> None:
    other = ContactFactory.create(tenant=globex.tenant, phone=PHONE, name="Gus", tags=["x"])
    before = Contact.objects.filter(pk=other.pk).values().get()
    write(file, ["phone", "name", "tags"], [PHONE, "Ann", "x,y"])
    assert counts(bring(file)[1])["created"] == 1
    assert counts(bring(file, "--mode", "update-only")[1])["unchanged"] == 1
    assert Contact.objects.filter(pk=other.pk).values().get() == before
    assert_links_match_tags()


CELLS = {
    "phone": st.sampled_from([PHONE, "001 415 555 0123", "+33612345678", "+442079460958", "x", ""]),
    "name": st.sampled_from(["", "Ann", "--", "n" * 300]),
    "tags": st.sampled_from(["", "a", "b,a", "--"]),
    "city": st.sampled_from(["", "Rome"]),
}


@FEW
@given(
    rows=st.lists(st.fixed_dictionaries(CELLS), max_size=8),
    batch=st.integers(1, 4),
    mode=st.sampled_from(Import.Mode.values),
)
def test_a_dry_run_counts_what_the_real_run_counts_and_writes_nothing(
    acme: SimpleNamespace, tmp_path: Path, rows: list[dict[str, str]], batch: int, mode: str
) -> None:
    Contact.objects.all().delete()
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ann", tags=["a"])
    file = write(tmp_path / "x.csv", list(CELLS), *[list(row.values()) for row in rows])
    before = all_rows(Contact, Tag, Import, ImportFailure)
    options = ["--batch-size", str(batch), "--mode", mode, "--rest-to-metadata"]
    status, dry = bring(file, *options, "--dry-run")
    assert all_rows(Contact, Tag, Import, ImportFailure) == before
    real_status, real = bring(file, *options)
    assert (status, counts(dry)) == (real_status, counts(real))
    assert sum(counts(real).values()) == sum(any(row.values()) for row in rows)
    _, again = bring(file, *options)
    assert (counts(again)["created"], counts(again)["updated"]) == (0, 0)
    assert_links_match_tags()


def test_the_number_of_statements_does_not_grow_with_the_rows(
    acme: SimpleNamespace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch."""
    monkeypatch.setattr(pacing, "FIRST", 400)

    def cost(number: int, name: str) -> int:
        rows = [[f"+1415555{n:04}", name, f"t{n % 7}", "x"] for n in range(number)]
        write(file, ["phone", "name", "tags", "city"], *rows)
        return len(statements(lambda: bring(file, "--rest-to-metadata")))

    few = [cost(10, "a"), cost(10, "a"), cost(10, "b")]
    Contact.objects.all().delete()
    assert [cost(400, "a"), cost(400, "a"), cost(400, "b")] == few


# What could not be brought in


def test_failed_records_can_be_mended_and_brought_in_again_and_those_of_other_tenants_stay(
    acme: SimpleNamespace, globex: SimpleNamespace, file: Path
) -> None:
    rows = [
        ["+14155550123", "Ann", "a@b.example", "", "x"],
        ["+1415", "Bob, B.", "bad", "", "two\nlines"],
        ["+33612345678", "Eve", "", "", "", "one too many"],
    ]
    assert bring(write(file, HEADER, *rows, delimiter=";"), tenant="globex")[0] == 1
    of_globex = file.with_name("contacts.csv.globex.errors.csv").read_bytes()
    status, printed = bring(file)
    assert (status, counts(printed)["failed"]) == (1, 2)
    assert file.with_name("contacts.csv.globex.errors.csv").read_bytes() == of_globex
    errors = file.with_name("contacts.csv.acme.errors.csv")
    assert str(errors) in printed
    with errors.open(newline="") as opened:
        [header, bob, eve] = csv.reader(opened, delimiter=";")
    assert header == [*HEADER, "line", "error"]
    assert bob[:6] == ["'+1415", *rows[1][1:], "3"]
    assert "The email must be a valid address." in bob[6]
    assert "too short" in bob[6]
    assert eve[:6] == ["'+33612345678", *rows[2][1:5], "5"]
    assert "more cells than columns" in eve[6]
    bob[0], bob[2] = "+442079460958", "bob@b.example"
    write(errors, header, bob, eve[:7], delimiter=";")
    status, printed = bring(errors, "--rest-to-metadata")
    assert (status, counts(printed)["created"]) == (0, 2)
    assert stored("name", "metadata")[-1] == ("+442079460958", "Bob, B.", {"city": "two\nlines"})


def test_a_file_that_changed_meanwhile_loses_no_failure_in_silence(
    acme: SimpleNamespace, file: Path
) -> None:
    bring(write(file, ["phone"], ["bad"], ["worse"]))
    write(file, ["phone"], ["bad"])
    with pytest.raises(UnreadableFile, match="line 3 is gone"):
        list(failed_records(Import.objects.get(), RecordFile(file)))


def test_the_error_file_may_take_the_place_of_its_source(acme: SimpleNamespace, file: Path) -> None:
    write(file, ["line", "phone", "error"], ["7", PHONE, "a"], ["8", "bad", "b"])
    assert bring(file, "--errors", str(file), "--rest-to-metadata")[0] == 1
    assert stored("metadata") == [(PHONE, {"line": "7", "error": "a"})]
    rows = list(csv.reader(file.read_text().splitlines()))
    assert rows[0] == ["line", "phone", "error", "line", "error"]
    assert rows[1][:4] == ["8", "bad", "b", "3"]


def test_failed_records_of_ndjson_are_told_in_ndjson(acme: SimpleNamespace, file: Path) -> None:
    file.write_text('{"phone": "x", "a": [1]}\nnot json\n{"phone": "+14155550123"}\n[1]\n')
    status, printed = bring(file)
    assert (status, counts(printed)["failed"]) == (1, 3)
    errors = [
        json.loads(line) for line in Path(f"{file}.acme.errors.ndjson").read_text().splitlines()
    ]
    assert [error["line"] for error in errors] == [1, 2, 4]
    assert (errors[0]["phone"], errors[0]["a"]) == ("x", [1])
    assert errors[1]["text"] == "not json"
    assert errors[1]["error"] == "Not JSON: Expecting value at line 1, column 1."
    assert errors[2]["error"] == "The line is not a JSON object."


@given(st.text(st.sampled_from("'=+-@\t\r\n x＝"), max_size=5))
def test_a_neutral_cell_is_no_formula_and_can_be_undone(cell: str) -> None:
    assert original(neutral(cell)) == cell
    assert not neutral(cell).startswith(tuple("=+-@\t\r\n＝"))


@pytest.mark.django_db(transaction=True)
def test_an_import_that_runs_is_not_run_again(
    acme: SimpleNamespace, file: Path, settings: Any
) -> None:
    write(file, ["phone"], [PHONE])
    assert bring(file)[0] == 0
    job = Import.objects.get()
    Import.objects.update(state=Import.State.READING)
    with locked_folder(spool_folder(job)), pytest.raises(CommandError, match="is running") as stop:
        bring(file, "--resume")
    assert stop.value.returncode == 2
    assert bring(file, "--resume")[0] == 0


NEW_OPTIONS = ("header_line", "sheet")


@pytest.mark.django_db
@pytest.mark.parametrize("options", [[], ["--header-line=1"]])
def test_an_import_that_an_earlier_version_has_begun_can_be_resumed(
    acme: SimpleNamespace, file: Path, options: list[str]
) -> None:
    """That version had no options `header_line` and `sheet`, and stored less about the file."""
    write(file, ["phone"], [PHONE])
    bring(file)
    job = Import.objects.get()
    source = RecordFile(file)
    given = {name: job.options[name] for name in (*STORED, *OF_COMMAND)}
    given |= findings(source, read_options(source, given, ""))
    stored = {name: value for name, value in given.items() if name not in NEW_OPTIONS}
    stored["read_as"] = {key: given["read_as"][key] for key in ("encoding", "delimiter")}
    Import.objects.update(
        state=Import.State.READING, options=stored, fingerprint=fingerprint(source, stored)
    )
    if options:
        with pytest.raises(CommandError, match="no interrupted import"):
            bring(file, "--resume", *options)
    else:
        assert bring(file, "--resume")[0] == 0
        assert Import.objects.get().state == Import.State.DONE
