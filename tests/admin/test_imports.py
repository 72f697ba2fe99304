"""Imports in the admin: a file is uploaded, looked at, tried, brought in, and watched."""

import gzip
import io
import json
import re
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command, load_command_class
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.admin.import_forms import OptionsForm
from contacts.admin.imports import FAILURES, ImportAdmin
from contacts.api.imports import ImportOptions
from contacts.importing import record_file, storage, uploads
from contacts.importing.formats import decoding, gzipped
from contacts.importing.formats.csv import CSVFormat
from contacts.importing.options import OPTIONS
from contacts.importing.preview import NO_PHONE, SHOWN
from contacts.models import Contact, Import, ImportBatch, ImportFailure, MetadataField
from tenants.models import Tenant
from tests.support.admin import errors, listed, logged_in, text_of, url
from tests.support.admin_imports import (
    CSV,
    drafted,
    fields_of,
    looked_at,
    page_of,
    press,
    upload,
    work,
)  # fmt: skip
from tests.support.api import PHONE, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
POLLING = 'hx-trigger="every 2s"'
IMPORTS = "/api/v1/imports"
ATTACK = "<script>alert(1)</script>"


# The options


@in_one_test(
    ("option", "bad"),
    [
        ("region", "xx"),
        ("encoding", "no-such"),
        ("delimiter", ";;"),
        ("clear_marker", "x" * 256),
        ("header_line", "-1"),
        ("sheet", "x" * 256),
        ("map", "Town"),
        ("map", "Town=no_field\0"),
    ],
)
def test_every_door_refuses_a_bad_option_with_the_same_sentence(
    staff: Client, acme: SimpleNamespace, tmp_path: Path, option: str, bad: str
) -> None:
    file = tmp_path / "shop.csv"
    file.write_text(CSV)
    answer = acme.api.send(CSV, f"{IMPORTS}?{urlencode({option: bad})}", content_type="text/csv")
    [sentence] = answer.json()["errors"][option]
    name = option.replace("_", "-")
    with pytest.raises(CommandError) as stop:
        call_command("import_contacts", str(file), f"--{name}={bad}", tenant="acme")
    assert str(stop.value) == f"--{name}: {sentence}"
    if option != "map":  # the admin's form has choices for it
        assert errors(upload(staff, **{option: bad}))[option] == [sentence]
    assert not Import.objects.exists()


def test_every_door_takes_each_option(acme: SimpleNamespace) -> None:
    """The API and the command read one table; the admin's forms show a part of it."""
    parser = load_command_class("contacts", "import_contacts").create_parser("manage.py", "")
    of_command = {action.dest for action in parser._actions}
    assert of_command > {*OPTIONS}
    assert {*ImportOptions().fields} == {*OPTIONS, "file_name"}
    assert {*OptionsForm.base_fields} == {*ImportAdmin.options} < {*OPTIONS}


# Uploading


def test_an_upload_is_a_draft_that_nobody_brings_in(
    staff: Client, acme: SimpleNamespace, data_dir: Path
) -> None:
    assert "enctype" in text_of(staff.get(url(Import, "add")))
    job = drafted(staff)
    assert (job.tenant, job.state, job.file_name) == (acme.tenant, "draft", "shop.csv")
    assert job.actor.startswith("user:")
    assert uploads.requeue_interrupted() == 0
    assert work(job).state == "draft"
    assert not Import.objects.unfinished().exists()
    assert storage.upload_of(job).read_text() == CSV
    assert staff.get(url(Import, "change", job.pk)).headers["Location"] == page_of("preview", job)
    assert listed(staff, Import) == {"shop.csv"}


@in_one_test(
    ("fields", "field", "reason"),
    [
        ({"file": ""}, "file", "required"),
        ({"region": "XX"}, "region", "two-letter"),
        ({"mode": "x"}, "mode", "valid choice"),
        ({"encoding": "hex"}, "encoding", "no encoding"),
        ({"delimiter": "ab"}, "delimiter", "one character"),
        ({"content": b"PK\x03\x04"}, "file", "workbook cannot be read"),
        ({"content": b"+14155550123,Ann\n"}, "file", "No row names the columns"),
        ({"content": gzip.compress(b"phone\n", mtime=0)[:-9]}, "file", "gzip file is damaged"),
        ({"encoding": "utf-16"}, "file", "file are not utf-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_form_error(
    staff: Client, data_dir: Path, fields: dict[str, Any], field: str, reason: str
) -> None:
    found = errors(upload(staff, **fields))
    assert list(found) == [field]
    assert reason in found[field][0]
    assert not Import.objects.exists()
    assert not list(data_dir.glob("imports/*"))


def test_a_form_larger_than_a_file_may_be_is_refused(staff: Client, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 100
    assert upload(staff).status_code == 400
    assert not Import.objects.exists()


def test_a_superuser_says_for_whom_a_file_is(
    superuser: Client, globex: SimpleNamespace, staff: Client
) -> None:
    assert "tenant" in errors(upload(superuser))
    assert drafted(superuser, tenant=globex.tenant.pk).tenant == globex.tenant
    assert drafted(staff, tenant=globex.tenant.pk).tenant != globex.tenant


# Looking


def test_the_preview_shows_the_columns_and_each_bad_record_with_the_sentences_of_the_import(
    staff: Client,
) -> None:
    text = "Mobile,Full name,Mail,Town\n+33612345678,Zoé,x,Lyon\n12,Bob,,,rest\n"
    job = drafted(staff, text, strict="on")
    assert fields_of(staff, job) == {
        "Mobile": "phone", "Full name": "name", "Mail": "email", "Town": "",
    }  # fmt: skip
    shown = looked_at(staff, job)["preview"]
    assert [(row.line, row.cells) for row in shown.rows] == [
        (2, ["+33612345678", "Zoé", "x", "Lyon"]), (3, ["12", "Bob", "", ""]),
    ]  # fmt: skip
    press(staff, job, "try")
    sentences = list(work(job).failures.order_by("line").values_list("error", flat=True))
    assert [row.error for row in shown.rows] == sentences
    page = text_of(staff.get(page_of("preview", job)))
    assert "2 with errors" in page
    assert sentences[0] in page
    assert "<code>rest</code>" in page


def test_the_preview_shows_the_first_records_only(staff: Client) -> None:
    rows = "".join(f"+1415555{n:04},{n}\n" for n in range(100, 200))
    shown = looked_at(staff, drafted(staff, f"phone,name\n{rows}"))["preview"]
    assert [row.line for row in shown.rows] == list(range(2, SHOWN + 2))
    assert shown.bad == 0


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Téléphone;Nom\n12;Zoé\n".encode("cp1252"), "cp1252"),
        (gzip.compress("Téléphone\tNom\n12\tZoé\n".encode(), mtime=0), "utf-8"),
        ("Téléphone,Nom\n12,Zoé\n".encode("utf-16"), "utf-16"),
        ('{"Téléphone": 12, "Nom": "Zoé"}\n'.encode(), "utf-8"),
    ],
)
def test_any_kind_of_file_is_shown(staff: Client, content: bytes, encoding: str) -> None:
    job = drafted(staff, content)
    shown = looked_at(staff, job)["preview"]
    assert (shown.source.encoding, shown.source.header) == (encoding, ["Téléphone", "Nom"])
    assert [row.cells for row in shown.rows] == [["12", "Zoé"]]
    assert fields_of(staff, job)["Nom"] == "last_name"


def test_values_of_ndjson_are_shown_as_cells(staff: Client) -> None:
    records = [{"phone": PHONE, "tags": ["a", "b"], "metadata": {"n": [1]}}, {"later": None}]
    content = "\n".join([*map(json.dumps, records), "no json"])
    shown = looked_at(staff, drafted(staff, content))["preview"]
    assert shown.source.header == ["phone", "tags", "metadata", "later"]
    assert shown.rows[0].cells == [PHONE, "a,b", '{"n":[1]}', ""]
    assert [row.error[:10] for row in shown.rows] == ["", "The phone ", "Not JSON: "]
    assert shown.rows[2].rest == ["no json"]


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_large_file_the_start_is_read_only(
    staff: Client, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "HEAD", gzipped.BLOCK)
    read: list[int] = []
    blocks = decoding.TextFile.blocks

    def counted(text: decoding.TextFile) -> Any:
        for block in blocks(text):
            read.append(len(block))
            yield block

    content = "phone,name\n" + f"{PHONE},Zoé\n" * 400_000
    raw = content.encode()
    job = drafted(staff, gzip.compress(raw, mtime=0) if packed else raw)
    monkeypatch.setattr(decoding.TextFile, "blocks", counted)
    shown = looked_at(staff, job)["preview"]
    assert (shown.source.encoding, len(shown.rows), shown.bad) == ("utf-8", SHOWN, 0)
    assert sum(read) < 20 * gzipped.BLOCK < len(raw) / 4


def test_of_much_ndjson_the_first_keys_are_columns_and_later_ones_come_in_too(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_file.FileHead, "searched_records", 2)
    numbers = [f"+1415555{n:04}" for n in range(100, 103)]
    records = [{"phone": numbers[0]}, {"phone": numbers[1]}, {"phone": numbers[2], "name": "Zoé"}]
    job = drafted(staff, "\n".join(map(json.dumps, records)))
    assert fields_of(staff, job) == {"phone": "phone"}
    assert "from the first 2 records" in text_of(staff.get(page_of("preview", job)))
    press(staff, job, "run")
    assert work(job).created == 3
    assert Contact.objects.get(phone=numbers[2]).name == "Zoé"


def test_a_file_that_cannot_be_read_further_says_so_at_its_page(staff: Client) -> None:
    job = drafted(staff, f'phone\n{PHONE}\n"+1415' + "1\n" * 150 + "x" * 3_000_000)
    page = text_of(staff.get(page_of("preview", job)))
    assert "A line is longer than" in page
    assert "The first record" in page
    assert "A line is longer than" in text_of(press(staff, job, "run"))
    assert Import.objects.get().state == "draft"


def test_cells_and_names_of_columns_are_escaped(staff: Client) -> None:
    content = f'phone,"{ATTACK}"\n{PHONE},{ATTACK}\n12,{ATTACK},{ATTACK}\n'
    job = drafted(staff, content, name=f"{ATTACK}.csv")
    Import.objects.update(file_name=ATTACK)
    pages = [staff.get(page_of("preview", job))]
    pages.append(press(staff, job, "update", **{ATTACK: "metadata.", "key_1": ATTACK}))
    press(staff, job, "try", **{ATTACK: "metadata.", "key_1": ATTACK})
    work(job)
    pages.append(staff.get(url(Import, "change", job.pk)))
    pages.append(staff.get(url(Import, "changelist")))
    assert all(ATTACK not in page.content.decode() for page in pages)
    assert "&lt;script&gt;" in pages[0].content.decode()


def test_a_column_without_a_name_is_shown_and_left_out(staff: Client) -> None:
    job = drafted(staff, f"phone,,name\n{PHONE},x,Zoé\n")
    page = text_of(staff.get(page_of("preview", job)))
    assert "No name: not imported" in page
    assert fields_of(staff, job) == {"phone": "phone", "name": "name"}
    press(staff, job, "run", rest_to_metadata="on")
    press(staff, job, "run")
    work(job)
    assert Contact.objects.get().metadata == {}


def test_what_is_known_of_people_who_were_erased_is_not_shown(
    staff: Client, acme: SimpleNamespace
) -> None:
    text = f"phone,name,email\n{PHONE},Zoé,\n+1 415 555 0123,Zoé,bad\n+1415,Bob,\n"
    job = drafted(staff, text, strict="on")
    call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=io.StringIO())
    rows = looked_at(staff, job)["preview"].rows
    assert [row.cells for row in rows] == [[""] * 3, [""] * 3, ["+1415", "Bob", ""]]
    assert "Erased on" in rows[0].error
    press(staff, job, "run")
    assert work(job).failed == 3


def test_an_upload_in_a_draft_is_told_to_who_erases_somebody(staff: Client) -> None:
    job, out = drafted(staff), io.StringIO()
    call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=out)
    assert (
        f"The upload {job.pk} still contains the phone, until you import or delete it."
        in out.getvalue()
    )


# Choosing


def test_a_field_of_the_tenant_is_a_choice_for_each_column(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for tenant, key in ((acme.tenant, "city"), (globex.tenant, "secret")):
        MetadataField.objects.create(tenant=tenant, label=key.capitalize(), key=key)
    job = drafted(staff, "Phone,Name,City\n+33612345678,Zoé,Lyon\n")
    assert fields_of(staff, job)["City"] == "metadata.city"
    choices = dict(looked_at(staff, job)["form"].fields["field_1"].choices)
    assert choices["Your fields"] == [("metadata.city", "City")]


def test_a_changed_mapping_is_kept_and_shown(staff: Client) -> None:
    job = drafted(staff, "Line,Name,Town,Plan\n+33612345678,Zoé,Lyon,pro\n12,Bob,,\n")
    assert NO_PHONE in text_of(staff.get(page_of("preview", job)))
    changes = {"Line": "phone", "Name": "", "Town": "metadata.Town", "Plan": "metadata."}
    answer = press(staff, job, "update", **changes, key_3=" kind=a ")
    assert answer.headers["Location"] == page_of("preview", job)
    assert fields_of(staff, job) == {
        "Line": "phone", "Name": "", "Town": "metadata.Town", "Plan": "metadata.kind=a",
    }  # fmt: skip
    assert looked_at(staff, job)["preview"].bad == 1
    press(staff, job, "run")
    work(job)
    contact = Contact.objects.get()
    assert (contact.name, contact.metadata) == ("", {"Town": "Lyon", "kind=a": "pro"})


@in_one_test("button", ["try", "run"])
@in_one_test(
    ("changes", "sentence"),
    [
        ({"Mobile": ""}, NO_PHONE),
        ({"Town": "metadata."}, "Name the key."),
        ({"Town": "metadata.", "key_2": "x" * 256}, "255"),
        ({"Town": "fax"}, "valid choice"),
        ({"region": "XX"}, "two-letter"),
        ({"mode": "x"}, "valid choice"),
        ({"encoding": "utf-16"}, "file are not utf-16"),
        ({"delimiter": "ab"}, "one character"),
    ],
)
def test_what_cannot_be_is_said_at_the_page_and_nothing_begins(
    staff: Client, button: str, changes: dict[str, str], sentence: str
) -> None:
    job = drafted(staff, f"Mobile,Name,Town\n{PHONE},Zoé,Lyon\n")
    answer = press(staff, job, button, **changes)
    assert answer.status_code == 200
    assert sentence in text_of(answer)
    assert "Zoé" in text_of(answer)
    job.refresh_from_db()
    assert (job.state, job.options["map"]) == ("draft", {})


def test_columns_left_out_become_metadata_together_and_back(staff: Client) -> None:
    job = drafted(staff, f"Mobile,Mail,Town,Plan\n{PHONE},z@x.example,Lyon,pro\n")
    press(staff, job, "update", Town="tags", Mail="")
    press(staff, job, "update", rest_to_metadata="on")
    shown = {"Mobile": "phone", "Mail": "email", "Town": "tags", "Plan": "metadata.Plan"}
    assert fields_of(staff, job) == shown, "what is left out is known by its name again, first"
    press(staff, job, "update", Mail="")
    assert fields_of(staff, job) == shown | {"Mail": ""}
    press(staff, job, "update", rest_to_metadata="")
    assert fields_of(staff, job) == shown | {"Mail": "", "Plan": ""}


@pytest.mark.parametrize("button", ["try", "run"])
def test_a_file_that_is_read_in_another_way_is_shown_before_it_is_brought_in(
    staff: Client, button: str
) -> None:
    job = drafted(staff, f"Mobile|Name;Town\n{PHONE}|Zoé;Lyon\n", delimiter=";")
    assert fields_of(staff, job) == {"Mobile|Name": "", "Town": ""}
    stale = looked_at(staff, job)["form"].shape
    answer = press(staff, job, button, delimiter="|")
    assert answer.headers["Location"] == page_of("preview", job)
    assert "check its columns" in text_of(staff.get(page_of("preview", job)))
    assert fields_of(staff, job) == {"Mobile": "phone", "Name;Town": ""}
    again = press(staff, job, button, seen=stale)
    assert again.headers["Location"] == page_of("preview", job), "another tab shows others"
    job.refresh_from_db()
    assert job.state == "draft"
    assert press(staff, job, button).headers["Location"] == url(Import, "change", job.pk)


def test_options_of_the_preview_hold(staff: Client, acme: SimpleNamespace) -> None:
    acme.api.create("+33612345678", name="Zoé", tags="gone")
    job = drafted(staff, "Mobile,Tags\n06 12 34 56 78,none\n06 12 34 56 79,x\n")
    assert looked_at(staff, job)["preview"].bad == 2
    press(staff, job, "run", region="FR", mode="update-only", clear_marker="none")
    assert work(job).counts() == {
        "created": 0, "updated": 1, "unchanged": 0, "superseded": 0, "failed": 1,
    }  # fmt: skip
    assert Contact.objects.get().tags == []


def test_a_file_of_a_thousand_columns_can_be_mapped(staff: Client) -> None:
    names = [f"c{n}" for n in range(999)]
    job = drafted(staff, f"phone,{','.join(names)}\n{PHONE},{','.join(names)}\n")
    press(staff, job, "update", rest_to_metadata="on")
    answer = press(staff, job, "run", c7="name")
    assert answer.headers["Location"] == url(Import, "change", job.pk)
    assert work(job).created == 1
    contact = Contact.objects.get()
    assert (contact.name, len(contact.metadata)) == ("c7", 998)


# Trying


def test_a_dry_run_leaves_the_draft_with_its_file_to_be_brought_in(
    staff: Client, data_dir: Path
) -> None:
    job = drafted(staff)
    press(staff, job, "try", **{"Cell phone nr": "phone"})
    job.refresh_from_db()
    assert (job.state, job.dry_run) == ("queued", True)
    assert (work(job).state, job.rows, job.created, job.failed) == ("draft", 2, 1, 1)
    assert not Contact.objects.exists()
    left = {path.name for path in data_dir.rglob("imports/**/*")}
    assert left == {job.pk, "upload", f"{job.pk}.lock", f"{job.pk}.errors.csv"}
    page = text_of(staff.get(url(Import, "change", job.pk)))
    assert "Check finished. Nothing is imported yet." in page
    assert page_of("run", job) in page
    assert page_of("errors", job) in page
    answer = staff.post(page_of("run", job))
    assert answer.headers["Location"] == url(Import, "change", job.pk)
    assert not storage.errors_of(job).exists(), "of the dry run"
    assert (work(job).state, job.dry_run, job.created, job.failed) == ("done", False, 1, 1)
    assert Contact.objects.get().name == "Zoé"
    assert [path.name for path in data_dir.glob("imports/*")] == [f"{job.pk}.errors.csv"]


def test_what_a_dry_run_has_told_goes_when_the_mapping_changes(staff: Client) -> None:
    job = drafted(staff, CSV.replace("Cell phone nr", "Mobile"))
    press(staff, job, "try")
    work(job)
    press(staff, job, "update")
    job.refresh_from_db()
    assert (job.failed, job.failures.count()) == (1, 1), "nothing has changed"
    press(staff, job, "update", Town="metadata.Town")
    job.refresh_from_db()
    assert (job.failed, job.failures.count(), job.rows) == (0, 0, None)
    assert not storage.errors_of(job).exists()
    assert staff.get(url(Import, "change", job.pk)).headers["Location"] == page_of("preview", job)


def test_a_dry_run_that_is_refused_can_be_mended_without_another_upload(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, limit in ((decoding, "HEAD"), (CSVFormat, "max_in_request")):
        monkeypatch.setattr(owner, limit, 64 * 1024)
    content = b"phone,name\n" + f"{PHONE},Zoe\n".encode() * 8_000 + b"12,\x80\n"
    job = drafted(staff, content, encoding="utf-8")
    press(staff, job, "try")
    assert work(job).state == "draft"
    page = text_of(staff.get(url(Import, "change", job.pk)))
    assert "Some bytes of the file are not utf-8" in page
    assert "The check failed" in page
    assert "Download the error file" not in page
    press(staff, job, "update", encoding="cp1252")
    press(staff, job, "try")
    assert (work(job).problem, job.failed) == ("", 1)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_draft_is_begun_once(staff: Client, dry_run: bool) -> None:
    job = drafted(staff, CSV.replace("Cell phone nr", "Mobile"))
    assert uploads.begin(job, "user:1", dry_run=dry_run)
    assert not uploads.begin(job, "user:2", dry_run=not dry_run)
    assert not uploads.change_draft(job, options={})
    for page in ("preview", "run"):
        answer = staff.post(page_of(page, job), {"run": "1"})
        assert answer.headers["Location"] == url(Import, "change", job.pk)
    for _ in range(2):
        assert work(job).created == 1
    assert (job.is_draft, job.actor) == (dry_run, "user:1")
    assert Contact.objects.exists() == (not dry_run)


def test_a_draft_begun_while_its_dry_run_ends_is_not_forgotten(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker cannot have the folder then, and lets its task go."""
    job = drafted(staff, CSV.replace("Cell phone nr", "Mobile"))
    uploads.begin(job, "user:1", dry_run=True)
    queued: list[str] = []
    monkeypatch.setattr(uploads, "enqueue", lambda job: queued.append(job.pk))
    clear = storage.clear

    def and_somebody_begins(draft: Import, folder: Path) -> None:
        uploads.begin(draft, "user:1", dry_run=False)
        uploads.run_import.call(draft.pk)
        clear(draft, folder)

    monkeypatch.setattr("contacts.importing.engine.clear", and_somebody_begins)
    work(job)
    assert (queued, job.state) == ([job.pk], "queued")


def test_a_dry_run_killed_at_its_end_is_a_draft_with_its_file(staff: Client) -> None:
    job = drafted(staff, CSV.replace("Cell phone nr", "Mobile"))
    press(staff, job, "try")
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.setattr("contacts.importing.engine.clear", lambda *given: sys.exit())
        uploads.run_import.call(job.pk)
    assert uploads.requeue_interrupted() == 0
    staff.post(page_of("run", job))
    assert (work(job).state, job.created) == ("done", 1)


# Watching


def test_the_page_of_an_import_tells_how_far_it_is(staff: Client, acme: SimpleNamespace) -> None:
    job = drafted(staff, CSV.replace("Cell phone nr", "Mobile"))
    press(staff, job, "run")
    page = url(Import, "change", job.pk)
    assert POLLING in text_of(staff.get(page))
    assert "Queued" in text_of(staff.get(page))
    assert "Waiting: no worker is running" not in text_of(staff.get(page))
    Import.objects.update(started_at=timezone.now() - timedelta(minutes=1))
    assert (
        "no worker is running. Ask your administrator to start <code>manage.py worker</code>"
        in text_of(staff.get(page))
    )
    Import.objects.update(state="reading", rows=12_000)
    assert "12,000 records read" in text_of(staff.get(page))
    Import.objects.update(state="writing", rows=20_000)
    ImportBatch.objects.create(tenant=acme.tenant, job=job, number=0, created=4_000, failed=1_000)
    text = text_of(staff.get(page))
    assert "<strong>5,000</strong> of 20,000 records" in text
    assert '<progress max="20000" value="5000"' in text
    assert "<dt>Created</dt><dd>4,000</dd>" in text
    assert POLLING in text
    ImportBatch.objects.all().delete()
    Import.objects.update(state="queued", rows=None)
    work(job)
    text = text_of(staff.get(page))
    assert POLLING not in text
    assert "<strong>2</strong> of 2 records" in text
    assert "Mobile → phone" in text
    assert f"Line 3: {job.failures.get().error}" in text
    [link] = re.findall(r'href="([^"]+/errors/)"', text)
    file = b"".join(staff.get(link).streaming_content).decode()  # type: ignore[attr-defined]
    assert file.splitlines()[1].startswith("12,Bob,,3,")
    storage.errors_of(job).unlink()
    assert staff.get(link).status_code == 404
    assert "Download the error file" not in text_of(staff.get(page))


def test_the_page_of_a_refused_import_says_why(staff: Client, acme: SimpleNamespace) -> None:
    job = Import.objects.create(
        tenant=acme.tenant, state="refused", problem="The file is empty.", options={"mode": ""}
    )
    assert "The file is empty." in text_of(staff.get(url(Import, "change", job.pk)))


def test_an_import_that_came_over_http_has_the_same_page(
    staff: Client, acme: SimpleNamespace
) -> None:
    acme.api.send(CSV.replace("Cell phone nr", "Mobile"), "/api/v1/imports?dry_run=true",
                  content_type="text/csv")  # fmt: skip
    job = work(Import.objects.get())
    text = text_of(staff.get(url(Import, "change", job.pk)))
    assert "Check: done" in text
    assert page_of("run", job) not in text, "its file is gone"


# The number of statements


def statements(client: Client, address: str, counted: Any) -> int:
    client.get(address)
    with counted() as found:
        assert client.get(address).status_code == 200
    return len(found)


def test_pages_cost_a_constant_number_of_statements(
    staff: Client, acme: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    def counted() -> Any:
        return django_assert_max_num_queries(20)

    rows = "".join(f"+1415555{n:04}\n12\n" for n in range(100, 130))
    few, many = drafted(staff, "phone\n12\n"), drafted(staff, "phone\n" + rows)
    costs = {statements(staff, page_of("preview", job), counted) for job in (few, many)}
    assert len(costs) == 1, costs
    for job in (few, many):
        press(staff, job, "run")
        work(job)
    costs = {statements(staff, url(Import, "change", job.pk), counted) for job in (few, many)}
    assert len(costs) == 1, costs
    before = statements(staff, url(Import, "changelist"), counted)
    for _ in range(5):
        drafted(staff)
    assert statements(staff, url(Import, "changelist"), counted) == before


def test_the_page_shows_the_first_failures_only(staff: Client, acme: SimpleNamespace) -> None:
    job = Import.objects.create(
        tenant=acme.tenant, state="done", rows=90, failed=90, options={"mode": "upsert"}
    )
    ImportFailure.objects.bulk_create(
        ImportFailure(tenant=acme.tenant, job=job, line=line, error="Bad.")
        for line in range(90, 0, -1)
    )
    text = text_of(staff.get(url(Import, "change", job.pk)))
    assert re.findall(r"<li>Line (\d+): Bad.</li>", text) == [str(n + 1) for n in range(FAILURES)]
    assert "The first records that failed" in text


# Deleting


def test_an_import_is_deleted_with_its_files_unless_it_runs(staff: Client, data_dir: Path) -> None:
    draft, done, waiting = (drafted(staff, "phone\n12\n") for _ in range(3))
    for job in (done, waiting):
        press(staff, job, "run")
    work(done)
    selected = {"action": "delete_selected", "post": "yes"}
    assert staff.post(url(Import, "delete", waiting.pk), {"post": "yes"}).status_code == 403
    both = selected | {"_selected_action": [done.pk, waiting.pk]}
    staff.post(url(Import, "changelist"), both)
    assert Import.objects.count() == 3
    staff.post(url(Import, "changelist"), selected | {"_selected_action": [done.pk]})
    assert staff.post(url(Import, "delete", draft.pk), {"post": "yes"}).status_code == 302
    assert Import.objects.get() == waiting
    assert [path.name for path in data_dir.glob("imports/*")] == [waiting.pk]
    work(waiting)
    staff.post(url(Import, "delete", waiting.pk), {"post": "yes"})
    assert not list(data_dir.glob("imports/*"))


@pytest.mark.usefixtures("without_guard")
def test_one_that_is_deleted_while_its_page_is_made_is_answered_as_one_that_is_not_there(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Import.objects.create(tenant=acme.tenant, state="done", options={"mode": "upsert"})
    get_object = ImportAdmin.get_object

    def and_then_it_goes(*args: Any) -> Import:
        found = get_object(*args)
        Import.objects.all().delete()
        return found

    monkeypatch.setattr(ImportAdmin, "get_object", and_then_it_goes)
    answers = [staff.get(url(Import, "change", job.pk), follow=True) for _ in range(2)]
    for answer in answers:
        assert answer.redirect_chain == [(reverse("admin:index"), 302)]
        assert "doesn’t exist" in text_of(answer)


def test_old_drafts_are_swept(staff: Client, data_dir: Path) -> None:
    old, young = drafted(staff), drafted(staff)
    Import.objects.filter(pk=old.pk).update(started_at=timezone.now() - timedelta(days=31))
    call_command("prune_imports", "--older-than", "30d", stdout=io.StringIO())
    assert Import.objects.get() == young
    assert [path.name for path in data_dir.glob("imports/*")] == [young.pk]


def test_a_draft_whose_file_is_gone_says_so(staff: Client) -> None:
    job = drafted(staff)
    storage.upload_of(job).unlink()
    answer = staff.get(page_of("preview", job), follow=True)
    assert "upload it again" in text_of(answer)
    assert staff.post(url(Import, "delete", job.pk), {"post": "yes"}).status_code == 302


def test_a_tenant_with_imports_can_be_deleted(superuser: Client, acme: SimpleNamespace) -> None:
    for button in ("update", "try", "run"):
        job = drafted(superuser, "phone\n12\n", tenant=acme.tenant.pk)
        press(superuser, job, button)
        work(job)
    acme.user.delete()
    superuser.post(url(Tenant, "delete", acme.tenant.pk), {"post": "yes"})
    assert not Tenant.objects.exists()


# Whose


def pages(job: Import) -> list[str]:
    return [page_of(name, job) for name in ("preview", "run", "errors", "change")]


@pytest.fixture
def strangers(staff: Client, outsider: SimpleNamespace) -> list[Client]:
    """To Globex: Acme's staff, staff of no tenant, somebody who is not staff, and nobody."""
    placeless = UserFactory.create(tenant=None, is_staff=True)
    placeless.user_permissions.set(Permission.objects.all())
    return [staff, logged_in(placeless), logged_in(outsider.user), Client()]


def test_an_import_is_for_its_tenants_staff_alone(
    strangers: list[Client], superuser: Client, globex: SimpleNamespace
) -> None:
    """In every state, by reading and by writing, nobody else reaches it."""
    jobs = [drafted(superuser, "phone\n12\n", tenant=globex.tenant.pk) for _ in range(3)]
    for job, button in zip(jobs[1:], ("try", "run"), strict=True):
        press(superuser, job, button)
        work(job)
    before = list(Import.objects.order_by("pk").values())
    for address in [page for job in jobs for page in pages(job)]:
        for client in strangers:
            for answer in (client.get(address), client.post(address, {"run": "1"})):
                where = answer.headers.get("Location", "").partition("?")[0]
                assert answer.status_code in (302, 403, 405), address
                assert where in ("", reverse("admin:index"), reverse("admin:login")), address
    assert listed(strangers[0], Import) == set()
    assert list(Import.objects.order_by("pk").values()) == before
    theirs = UserFactory.create(tenant=globex.tenant, is_staff=True)
    theirs.user_permissions.set(Permission.objects.all())
    assert looked_at(logged_in(theirs), jobs[0])["preview"].bad == 1
    for job in jobs[1:]:
        assert b"".join(superuser.get(page_of("errors", job)).streaming_content)  # type: ignore[attr-defined]


def test_an_import_that_is_not_there_is_answered_as_django_answers(staff: Client) -> None:
    for pk in ("01J1Y3V8K5Z2H8Q4W6E1R9T3YV", "x"):
        for name in ("preview", "errors", "change"):
            answer = staff.get(reverse(f"admin:contacts_import_{name}", args=[pk]))
            assert answer.headers["Location"] == reverse("admin:index")


def test_running_wants_a_post_of_the_page_itself(staff: Client, acme: SimpleNamespace) -> None:
    job = drafted(staff, "phone\n12\n")
    assert staff.get(page_of("run", job)).status_code == 405
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(UserFactory.create(tenant=acme.tenant, is_staff=True, is_superuser=True))
    for name in ("run", "preview"):
        assert forger.post(page_of(name, job), {"run": "1"}).status_code == 403
    job.refresh_from_db()
    assert job.state == "draft"


@pytest.mark.parametrize("rights", [["view_import"], ["view_import", "delete_import"]])
def test_staff_who_may_not_add_imports_watch_only(
    staff: Client, acme: SimpleNamespace, rights: list[str]
) -> None:
    job = drafted(staff, "phone\n12\n")
    press(staff, job, "try")
    work(job)
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    viewer = logged_in(user)
    text = text_of(viewer.get(url(Import, "change", job.pk)))
    assert page_of("run", job) not in text
    assert page_of("preview", job) not in text
    assert b"".join(viewer.get(page_of("errors", job)).streaming_content)  # type: ignore[attr-defined]
    for answer in (
        upload(viewer), viewer.get(page_of("preview", job)), viewer.post(page_of("run", job)),
        viewer.post(page_of("preview", job), {"run": "1"}),
    ):  # fmt: skip
        assert answer.status_code == 403
    nobody = logged_in(UserFactory.create(tenant=acme.tenant, is_staff=True))
    assert {nobody.get(page).status_code for page in pages(job)} == {403, 405}


def test_the_api_knows_a_draft_only_when_it_is_begun(staff: Client, acme: SimpleNamespace) -> None:
    job = drafted(staff, "phone\n12\n")
    here = f"/api/v1/imports/{job.pk}"

    def is_unknown() -> None:
        for address in (here, f"{here}/errors"):
            assert_error(acme.api.get(address), 404, "not_found")

    is_unknown()
    press(staff, job, "try")
    is_unknown()
    work(job)
    is_unknown()
    staff.post(page_of("run", job))
    assert acme.api.get(here).json()["state"] == "queued"
    work(job)
    assert acme.api.get(here).json()["state"] == "done"
    assert b"".join(acme.api.get(f"{here}/errors").streaming_content)
