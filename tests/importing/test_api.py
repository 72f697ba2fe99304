"""Imports over HTTP: the file goes in, a worker brings it in, the answers tell how far it is."""

import csv
import gzip
import io
import json
import os
import random
import shutil
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from contacts.api.examples import EXAMPLES
from contacts.importing import storage, uploads
from contacts.importing.error_file import ErrorFile
from contacts.jobs import files, lock
from contacts.models import Contact, Import, ImportFailure
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.imports_api import (
    CSV,
    IMPORTS,
    counted,
    errors,
    outcome,
    post,
    work,
    worked,
)
from tests.support.openapi import operations, shape, without_volatile

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def post_form(api: Api, content: str | bytes = CSV, query: str = "", **fields: Any) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile("shop.csv", raw)
    return api.client.post(IMPORTS + query, {"file": file} | fields, headers=api.headers)


# What goes in


def test_a_file_is_taken_at_once_and_brought_in_by_the_worker(api: Api) -> None:
    answer = post(api)
    job = answer.json()
    assert (answer.status_code, job["state"], job["rows"]) == (202, "queued", None)
    assert answer.headers["Location"] == f"{IMPORTS}/{job['id']}"
    assert job["columns"] == {"Mobile": "phone", "Full name": "name", "Tags": "tags"}
    assert not Contact.objects.exists()
    job = outcome(api, answer)
    assert (job["state"], job["rows"], counted(job)) == ("done", 2, [1, 0, 0, 0, 1])
    assert job["finished_at"]
    contact = Contact.objects.get()
    assert (contact.phone, contact.name, contact.tags) == ("+33612345678", "Zoé", ["vip"])
    assert contact.source == "csv_import"
    assert Import.objects.get().actor.startswith("token:qyvo_")


def test_failed_records_can_be_fetched_mended_and_sent_again(api: Api) -> None:
    job = outcome(api, post(api))
    [header, bob] = errors(api, job)
    assert header == ["Mobile", "Full name", "Tags", "Town", "line", "error"]
    assert bob[:5] == ["12", "Bob", "", "", "3"]
    assert "international form" in bob[5]
    out = io.StringIO()
    csv.writer(out).writerows([header, [PHONE, *bob[1:]]])
    again = outcome(api, post(api, out.getvalue()))
    assert counted(again) == [1, 0, 0, 0, 0]
    assert errors(api, again) == [header]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (CSV, "text/csv; charset=utf-8"),
        (CSV.encode("utf-16"), "text/csv"),
        (gzip.compress(CSV.encode(), mtime=0), "application/gzip"),
        (CSV.replace(",", ";").encode("cp1252"), "application/octet-stream"),
        (
            '{"Mobile": "+33 6 12 34 56 78", "Tags": ["vip"]}\n\n{"Mobile": "12"}',
            "application/x-ndjson",
        ),
    ],
)
def test_any_kind_of_file_is_taken(api: Api, content: str | bytes, kind: str) -> None:
    job = outcome(api, post(api, content, kind=kind))
    assert (job["state"], counted(job)) == ("done", [1, 0, 0, 0, 1])
    assert Contact.objects.get().tags == ["vip"]
    assert len(errors(api, job)) == 2


def test_a_form_does_what_the_body_alone_does(api: Api) -> None:
    job = outcome(api, post_form(api, rest_to_metadata="true", mode="upsert"))
    assert (job["file_name"], counted(job)) == ("shop.csv", [1, 0, 0, 0, 1])
    assert Contact.objects.get().metadata == {"Town": "Lyon"}


@pytest.mark.parametrize("door", [post_form, post])
def test_what_is_said_of_a_file_holds(api: Api, door: Any) -> None:
    options: dict[str, Any] = {
        "map": ["Town=metadata.city", "Full name=", "Mobile=phone"], "region": "FR",
        "mode": "upsert", "clear_marker": "none", "delimiter": ",", "encoding": "utf-8",
        "file_name": "mine.csv", "dry_run": "false",
    }  # fmt: skip
    api.create("+33612345679", name="kept", tags="gone")
    content = CSV + "06 12 34 56 79,x,none,Paris\r\n"
    if door is post:
        query = httpx.QueryParams(options)
        job = outcome(api, post(api, content, f"?{query}"))
    else:
        job = outcome(api, post_form(api, content, **options))
    assert (job["state"], counted(job)) == ("done", [1, 1, 0, 0, 1])
    assert job["columns"] == {"Mobile": "phone", "Tags": "tags", "Town": "metadata.city"}
    assert list(Contact.objects.order_by("phone").values_list("name", "tags", "metadata")) == [
        ("", ["vip"], {"city": "Lyon"}),
        ("kept", [], {"city": "Paris"}),
    ]


def test_a_dry_run_counts_and_tells_the_errors_and_writes_no_contact(api: Api) -> None:
    api.create("+33612345678", name="before")
    job = outcome(api, post(api, query="?dry_run=true"))
    assert (job["state"], job["dry_run"], counted(job)) == ("done", True, [0, 1, 0, 0, 1])
    assert [row[4] for row in errors(api, job)] == ["line", "3"]
    assert Contact.objects.get().name == "before"


@in_one_test(
    ("query", "form", "is_dry"),
    [
        ("?dry_run", {}, True),
        ("?dry_run=", {}, True),
        ("?mode=upsert&dry_run&strict", {"dry_run": ""}, True),
        ("?dry_run=yes", {"dry_run": ""}, True),
        ("?dry_run", {"dry_run": "false"}, False),
        ("", {"dry_run": ""}, False),
    ],
)
def test_a_switch_without_a_value_is_on_in_the_address(
    api: Api, query: str, form: dict[str, str], is_dry: bool
) -> None:
    doors = [post_form(api, query=query, **form), *([] if form else [post(api, query=query)])]
    for answer in doors:
        job = outcome(api, answer)
        assert job["dry_run"] is is_dry
        options = Import.objects.get(pk=job["id"]).options
        assert (options["strict"], options["rest_to_metadata"]) == ("strict" in query, False)
    assert Contact.objects.exists() is not is_dry


def test_the_keys_of_ndjson_are_told_as_cells_that_can_be_sent_again(api: Api) -> None:
    records = [{"phone": "12", "tags": ["a", "b"], "metadata": {"n": [1, None]}, "name": None}]
    content = "\n".join([*map(json.dumps, records), "not json"])
    job = outcome(api, post(api, content, kind="application/x-ndjson"))
    [header, row, text] = errors(api, job)
    assert header == ["phone", "tags", "metadata", "name", "line", "error"]
    assert row[:5] == ["12", "a,b", '{"n":[1,null]}', "", "1"]
    assert (text[4], text[6]) == ("2", "not json")
    out = io.StringIO()
    csv.writer(out).writerows([header, [PHONE, *row[1:]]])
    assert counted(outcome(api, post(api, out.getvalue()))) == [1, 0, 0, 0, 0]
    contact = Contact.objects.get()
    assert (contact.tags, contact.metadata) == (["a", "b"], {"n": [1, None]})


# What is refused


@in_one_test(
    ("content", "query", "field", "sentence"),
    [
        (b"", "", "file", "The file is required."),
        (b"\n\n", "", "file", "The file is empty."),
        (b"PK\x03\x04", "", "file", "workbook cannot be read"),
        (b"a,b\n1,2\n", "", "map", "map a column, as COLUMN=phone"),
        (b"phone\n1\n", "?map=Cell=phone", "map", "There is no column"),
        (b"phone\n1\n", "?map=phone=fax", "map", "There is no field"),
        (b"phone\n1\n", "?map=phone", "map", "COLUMN=FIELD"),
        (b"phone\n1\n", "?map=%00=phone", "map", "U+0000"),
        (b"phone\n1\n", "?mode=replace", "mode", "Send one of"),
        (b"phone\n1\n", "?region=XX", "region", "two-letter"),
        (b"phone\n1\n", "?dry_run=perhaps", "dry_run", "true or false"),
        (b"phone\n1\n", "?encoding=hex", "encoding", "There is no encoding"),
        (b"phone\n1\n", "?delimiter=::", "delimiter", "one character"),
        (b"phone\n1\n", "?delimiter=%00", "delimiter", "U+0000"),
        (b"phone\n1\n", "?encoding=%00", "encoding", "U+0000"),
        (b'"ab\n",' * 1_000_000, "", "file", "No row names the columns"),
        (b"phone\n1\n", "?file_name=a%00", "file_name", "U+0000"),
        (b"phone\n1\n", f"?clear_marker={'x' * 256}", "clear_marker", "255"),
    ],
)
def test_what_cannot_be_brought_in_is_refused_at_once(
    api: Api, data_dir: Path, content: bytes, query: str, field: str, sentence: str
) -> None:
    body = assert_error(post(api, content, query), 422, "validation_failed", field)
    assert sentence in body["errors"][field][0]
    assert not Import.objects.exists()
    assert not list(data_dir.glob("imports/*"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(b"a\n1\n", mtime=0), "map a column, as COLUMN=phone"),
        (
            gzip.compress(b"phone\n" + random.Random(1).randbytes(90_000).hex().encode(), mtime=0)[
                :80_000
            ],
            "gzip file is damaged",
        ),
        (b'{"a": 1}\n', "map a column, as COLUMN=phone"),
        (b"phone\n" + b"+14155550123\n" * 200 + b"x" * 3_000_000, "A line is longer than"),
    ],
)
def test_what_only_a_long_look_can_tell_ends_as_refused(
    api: Api, data_dir: Path, content: bytes, problem: str
) -> None:
    job = outcome(api, post(api, content, kind="application/octet-stream"))
    assert job["state"] == "refused"
    assert problem in job["problem"]
    assert_error(api.get(f"{IMPORTS}/{job['id']}/errors"), 404, "not_found")
    assert not list(data_dir.glob("imports/*"))


def test_a_gzip_that_unpacks_to_too_much_is_refused(api: Api, settings: Any) -> None:
    bomb = gzip.compress(b"phone\n" + b"+14155550123\n" * 2_000_000)
    settings.IMPORT_MAX_BYTES = 1_000_000
    job = outcome(api, post(api, bomb, kind="application/gzip"))
    assert (job["state"], job["problem"]) == (
        "refused", "The gzip file unpacks to more than 4,000,000 bytes; split it.",
    )  # fmt: skip


@pytest.mark.parametrize("door", [post, post_form])
def test_a_larger_file_than_is_allowed_is_413(
    api: Api, settings: Any, data_dir: Path, door: Any
) -> None:
    settings.IMPORT_MAX_BYTES = 100_000
    large = b"phone\n" + b"x" * 100_000
    body = assert_error(door(api, large), 413, "payload_too_large")
    assert "100,000 bytes" in body["error"]
    assert door(api, large[:99_000]).status_code == 202
    assert len(list(data_dir.glob("imports/*"))) == 1


def test_another_kind_of_body_is_415_that_names_the_right_ones(api: Api) -> None:
    for kind in ("image/png", "application/x-www-form-urlencoded", ""):
        body = assert_error(post(api, kind=kind), 415, "unsupported_media_type")
        for name in ("multipart/form-data", "text/csv", "application/x-ndjson", "text/vcard"):
            assert name in body["error"]


def test_a_broken_form_is_400(api: Api) -> None:
    body = assert_error(post(api, "x", kind="multipart/form-data"), 400, "bad_request")
    assert body["error"].endswith(". Let your HTTP client make the form and its Content-Type.")
    kind = "multipart/form-data; boundary=x"
    assert_error(post(api, "--y\r\n\r\n", kind=kind), 422, "validation_failed", "file")
    half = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nphone\n+1'
    assert_error(post(api, half, kind=kind), 422, "validation_failed", "file")
    assert_error(post_form(api, file="text"), 422, "validation_failed", "file")


def test_errors_are_not_there_before_the_end(api: Api) -> None:
    where = post(api).headers["Location"]
    assert_error(api.get(f"{where}/errors"), 409, "not_finished")


# Whose


def test_an_import_is_its_tenants_alone(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    job = outcome(acme.api, post(acme.api))
    here = f"{IMPORTS}/{job['id']}"
    assert errors(acme.api, acme.api.get(here).json())
    for address in (here, f"{here}/errors"):
        assert_error(globex.api.get(address), 404, "not_found")
        assert_error(outsider.api.get(address), 422, "no_workspace")
        assert_error(Api().get(address), 401, "unauthenticated")
    assert_error(post(outsider.api), 422, "no_workspace")
    assert_error(post(Api()), 401, "unauthenticated")
    outcome(globex.api, post(globex.api))
    assert [acme.tenant.contacts.count(), globex.tenant.contacts.count()] == [1, 1]


@pytest.mark.parametrize("name", ["01J1Y3V8K5Z2H8Q4W6E1R9T3YV", "x", "%00", "é"])
def test_an_import_that_is_not_there_is_404(api: Api, name: str) -> None:
    for address in (f"{IMPORTS}/{name}", f"{IMPORTS}/{name}/errors"):
        assert_error(api.get(address), 404, "not_found")


# What the documentation says


def test_the_examples_are_what_the_server_answers(api: Api) -> None:
    schema = Api().get("/api/v1/openapi.json").json()
    api.create("+33612345678", name="Zoé")

    def check(name: str, answer: Any) -> None:
        shown = EXAMPLES[name][1] | {"started_at": "", "finished_at": ""}
        given = answer.json() | {"started_at": "", "finished_at": ""}
        assert without_volatile(given) == without_volatile(shown)
        described = operations(schema)[name]["responses"][str(answer.status_code)]
        shape(schema, described).validate(answer.json())

    answer = post(api, str(EXAMPLES["create-import"][0]))
    check("create-import", answer)
    work()
    check("get-import", api.get(answer.headers["Location"]))
    file = b"".join(api.get(f"{answer.headers['Location']}/errors").streaming_content)
    assert file.decode() == EXAMPLES["get-import-errors"][1]


# People who asked to be forgotten


def test_nothing_is_left_of_somebody_erased(
    acme: SimpleNamespace, globex: SimpleNamespace, data_dir: Path
) -> None:
    """In what waits, what has run, and what failed for another reason."""
    rows = ["+33612345678,bad", "06 12 34 56 78,nobody@x.example", f"{PHONE},bad", "+1415,bad"]
    content = "\n".join(["Phone,Email", *rows, "+33612345678,me@x.example"])
    done = [outcome(cast.api, post(cast.api, content, "?strict=true")) for cast in (acme, globex)]
    assert len(errors(acme.api, done[0])) == 5
    waiting = post(acme.api, content, "?strict=true")
    call_command("erase_contact", "+33 6 12 34 56 78", "--tenant", "acme", "--yes")
    assert [row[0] for row in errors(acme.api, done[0])] == [
        "Phone", f"'{PHONE}", "'+1415",
    ]  # fmt: skip
    assert len(errors(globex.api, done[1])) == 5
    job = outcome(acme.api, waiting)
    assert counted(job) == [0, 0, 0, 0, 5]
    told = errors(acme.api, job)
    assert [row[:3] for row in told[1:]] == [
        ["", "", "2"], ["06 12 34 56 78", "nobody@x.example", "3"], [f"'{PHONE}", "bad", "4"],
        ["'+1415", "bad", "5"], ["", "", "6"],
    ]  # fmt: skip
    assert "Erased on" in told[5][3]


@pytest.mark.parametrize("point", ["errors", "publish", "finish", "rmtree"])
def test_a_worker_killed_at_the_very_end_loses_nothing(
    api: Api, data_dir: Path, point: str
) -> None:
    """Where no process can be killed exactly: it stops there."""
    places = {
        "errors": "contacts.importing.error_file.ErrorFile.write",
        "publish": "contacts.importing.error_file.ErrorFile.publish",
        "finish": "contacts.importing.ending.finish",
        "rmtree": "contacts.importing.storage.shutil.rmtree",
    }
    answer = post(api)
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.setattr(places[point], lambda *given, **more: sys.exit())
        work()
    assert uploads.requeue_interrupted() == (0 if point == "rmtree" else 1)
    job = outcome(api, answer)
    assert (job["state"], counted(job)) == ("done", [1, 0, 0, 0, 1])
    assert len(errors(api, job)) == 2
    assert [path.name for path in data_dir.glob("imports/*")] == [f"{job['id']}.errors.csv"]


def test_a_lock_holds_while_others_come_and_the_folder_goes(data_dir: Path) -> None:
    folder = files.data_folder("imports") / "x"
    with lock.locked_folder(folder):
        with pytest.raises(lock.JobIsRunning), lock.locked_folder(folder):
            pass
        shutil.rmtree(folder)
    assert not list(data_dir.glob("imports/*"))
    with lock.locked_folder(folder), pytest.raises(lock.JobIsRunning), lock.locked_folder(folder):
        pass


def test_half_a_surrogate_pair_fails_its_record_alone(api: Api) -> None:
    content = '{"phone": "+14155550123"}\n{"phone": "+1", "name": "\\ud800"}'
    job = outcome(api, post(api, content, kind="application/x-ndjson"))
    assert (job["state"], counted(job)) == ("done", [1, 0, 0, 0, 1])
    assert errors(api, job)[1][1] == "\\ud800"


def test_a_person_erased_while_the_error_file_is_written_is_not_in_it(
    acme: SimpleNamespace, data_dir: Path
) -> None:
    answer = post(acme.api, f"phone,email\n{PHONE},bad\n+1415,bad\n", "?strict=true")
    write = ErrorFile.write

    def and_then_somebody_is_erased(errors: ErrorFile) -> None:
        write(errors)
        if not acme.tenant.erasures.exists():
            call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=io.StringIO())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ErrorFile, "write", and_then_somebody_is_erased)
        job = outcome(acme.api, answer)
    assert [row[:2] for row in errors(acme.api, job)[1:]] == [["", ""], ["'+1415", "bad"]]


def test_somebody_erased_is_found_in_error_files_of_any_shape(
    acme: SimpleNamespace, data_dir: Path
) -> None:
    """Long cells, a line break in the header, a national spelling that E.164 does not hold."""
    head = f'"Phone\nnumber";Email;Note\n+1415;bad;{"x" * 200_000}\n'
    content = head + f"011 15 1234-5678;bad;\n{PHONE};bad;\n"
    answer = post(acme.api, content, "?region=AR&strict=true&map=Phone%0Anumber=phone")
    job = outcome(acme.api, answer)
    assert job["failed"] == 3
    out = io.StringIO()
    call_command("erase_contact", "+5491112345678", "--tenant", "acme", "--yes", stdout=out)
    where = data_dir / "imports" / f"{job['id']}.errors.csv"
    left = where.read_text()
    assert "1234" not in left
    assert PHONE in left
    assert left.startswith('"Phone\nnumber";Email;Note;line;error')
    where.write_bytes(b"\xff")
    with pytest.raises(CommandError, match="could not be read"):
        call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=out)
    post(acme.api)
    where.unlink()
    call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=out)
    assert "still contains the phone" in out.getvalue()


def test_what_is_kept_of_a_refused_file_holds_none_of_its_cells(api: Api, data_dir: Path) -> None:
    content = gzip.compress(b"+33612345678,Zoe,zoe@x.example\n")
    job = outcome(api, post(api, content, kind="application/gzip"))
    assert job["state"] == "refused"
    assert "Zoe" not in str(Import.objects.values())


def test_a_form_whose_options_are_files_is_refused(api: Api) -> None:
    for name in ("map", "encoding", "delimiter", "region", "mode", "dry_run"):
        given: Any = {name: SimpleUploadedFile("a.csv", b";")}
        assert_error(post_form(api, **given), 422, "validation_failed", name)


def test_an_import_put_into_the_queue_twice_runs_once(api: Api) -> None:
    post(api)
    job = Import.objects.get()
    assert [uploads.requeue_interrupted(), uploads.requeue_interrupted()] == [1, 1]
    for _ in range(2):
        uploads.run_import.call(job.pk)
        assert Import.objects.get().counts()["created"] == 1
    assert uploads.requeue_interrupted() == 0
    assert not storage.spool_folder(job).exists()


def test_a_dry_run_begun_anew_counts_once(api: Api) -> None:
    job = post(api, query="?dry_run=true").json()
    Import.objects.update(created=7, state="reading")
    row = Import.objects.get()
    ImportFailure.objects.create(tenant=row.tenant, job=row, line=3, error="before")
    work()
    assert counted(api.get(f"{IMPORTS}/{job['id']}").json()) == [1, 0, 0, 0, 1]


def test_an_import_that_breaks_says_so_and_goes_on_later(
    api: Api, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = post(api).headers["Location"]
    with monkeypatch.context() as patch:
        patch.setattr("contacts.importing.uploads.Importer.write", None)
        with pytest.raises(TypeError):
            work()
    job = api.get(where).json()
    assert (job["state"], job["problem"]) == ("writing", uploads.STOPPED)
    work()
    job = api.get(where).json()
    assert (job["state"], job["problem"], job["created"]) == ("done", None, 1)


def test_an_import_of_a_tenant_deleted_meanwhile_is_let_go(
    acme: SimpleNamespace, data_dir: Path
) -> None:
    pk = post(acme.api).json()["id"]
    Import.objects.all().delete()
    uploads.run_import.call(pk)
    assert not Contact.objects.exists()


def test_a_queue_that_is_down_keeps_the_import_for_later(
    api: Api, settings: Any, log: io.StringIO, django_capture_on_commit_callbacks: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_tasks.backends.dummy.DummyBackend.enqueue", lambda *given: 1 / 0)
        with django_capture_on_commit_callbacks(execute=True):
            answer = post(api)
    assert answer.status_code == 202
    assert "could not be put into the queue" in log.getvalue()
    del settings.TASKS
    assert outcome(api, answer)["state"] == "done"


def test_old_imports_and_files_that_nobody_knows_are_swept(
    acme: SimpleNamespace, globex: SimpleNamespace, data_dir: Path
) -> None:
    done, waiting, young = post(acme.api), post(globex.api), post(acme.api)
    uploads.run_import.call(done.json()["id"])
    old = timezone.now() - timedelta(days=31)
    Import.objects.exclude(pk=young.json()["id"]).update(started_at=old)
    for name in ("uploads/x", "imports/01J1Y3V8K5Z2H8Q4W6E1R9T3YV.errors.csv"):
        (data_dir / name).write_text("left")
        os.utime(data_dir / name, (old.timestamp(), old.timestamp()))
    (data_dir / "uploads/y").write_text("coming in")
    out = io.StringIO()
    busy = storage.spool_folder(Import.objects.get(pk=waiting.json()["id"]))
    with lock.locked_folder(busy):
        call_command("prune_imports", "--older-than", "30d", stdout=out)
    call_command("prune_imports", "--older-than", "30d", stdout=out)
    assert out.getvalue() == "imports deleted: 1\n" * 2
    assert [job.pk for job in Import.objects.all()] == [young.json()["id"]]
    left = {path.name for path in data_dir.glob("[iu]*/*")}
    assert left == {young.json()["id"], "y"}
    for wrong in ("30", "d", "1.5d"):
        with pytest.raises(CommandError, match="such as 30d"):
            call_command("prune_imports", "--older-than", wrong)


def test_an_upload_that_an_earlier_version_has_stored_is_imported(api: Api) -> None:
    """That version had no options `header_line` and `sheet`."""
    post(api)
    job = Import.objects.get()
    job.options = {k: v for k, v in job.options.items() if k not in ("header_line", "sheet")}
    job.save()
    assert worked(job).created == 1
