"""Tenants take turns at a worker: a large job of one tenant delays no other tenant."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django_tasks_db.models import DBTaskResult

from contacts.importing import engine, record_file, storage, uploads
from contacts.jobs import bulk_actions, lock, turns
from contacts.models import BulkAction, Contact, Import
from tests.support.imports_api import counted, errors, post
from tests.support.sql import assert_links_match_tags
from tests.support.turns import finished, rows, states

pytestmark = [pytest.mark.both, pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk or batch of a few rows each."""
    monkeypatch.setattr(turns, "SECONDS", 0)
    monkeypatch.setattr(engine, "CHUNK", 10)
    monkeypatch.setattr(engine.Importer, "__init__", few_rows(engine.Importer.__init__))


def few_rows(init: Any) -> Any:
    return lambda *given, **more: init(*given, **more | {"batch_size": 10})


def work_off(limit: int = 200) -> list[str]:
    """Does the tasks of the queue as a worker does; returns the tenants in the order of turns."""
    had: list[str] = []
    given = dict(turns.RUNS)

    def noted(model: Any) -> Any:
        def run(pk: str) -> None:
            had.append(model.objects.get(pk=pk).tenant.slug)
            given[model](pk)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for model in given:
            patch.setitem(turns.RUNS, model, noted(model))
        while task := DBTaskResult.objects.ready().first():
            task.claim("me")
            task.task.call(*task.args_kwargs["args"])
            task.set_successful(None)
            assert len(had) < limit
    return had


def test_an_import_gives_way_and_continues_where_it_was(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        large = post(acme.api, rows(100, 60)).json()
        small = post(globex.api, rows(100, 5)).json()
    had = work_off()
    assert had[:2] == ["acme", "globex"], "it gave way after a chunk"
    assert finished() == [small["id"], large["id"]]
    for cast, job, number in ((acme, large, 60), (globex, small, 5)):
        told = cast.api.get(f"/api/v1/imports/{job['id']}").json()
        assert (told["state"], told["rows"]) == ("done", number)
        assert counted(told) == [number - 1, 0, 0, 0, 1]
        assert len(errors(cast.api, told)) == 2
    assert acme.tenant.contacts.get(phone="+14155550159").name == "Ann\n59"
    assert_links_match_tags()
    assert not list(turns.data_folder("imports").glob("*/"))


def test_a_dry_run_that_gave_way_counts_each_row_once(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        jobs = [post(cast.api, rows(1, 60), "?dry_run=true").json() for cast in (acme, globex)]
    had = work_off()
    assert had[:4] == ["acme", "globex", "acme", "globex"]
    for cast, job in zip((acme, globex), jobs, strict=True):
        told = cast.api.get(f"/api/v1/imports/{job['id']}").json()
        assert (told["state"], told["rows"], counted(told)) == ("done", 60, [59, 0, 0, 0, 1])
        assert len(errors(cast.api, told)) == 2
    assert not Contact.objects.exists()


@pytest.mark.parametrize("killed", ["reading", "writing"])
def test_an_import_killed_after_it_gave_way_continues(
    acme: SimpleNamespace, globex: SimpleNamespace, data_dir: Path, short_turns: None,
    killed: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its spool is longer than the position at which it gave way."""
    for dry_run in ("true", "false"):
        post(globex.api, rows(200, 5))
        job = post(acme.api, rows(1, 60), f"?dry_run={dry_run}").json()
        row = Import.objects.get(pk=job["id"])
        for _ in range(20):
            uploads.run(row.pk)
            row.refresh_from_db()
            if row.state == killed:
                break
        assert row.state == killed
        with monkeypatch.context() as patch:
            patch.setattr(turns.Turn, "is_over", dying_after(2))
            with pytest.raises(SystemExit):
                uploads.run(row.pk)
        Import.objects.filter(tenant=globex.tenant).delete()
        uploads.run(row.pk)
        told = acme.api.get(f"/api/v1/imports/{job['id']}").json()
        assert (told["state"], told["rows"], counted(told)) == ("done", 60, [59, 0, 0, 0, 1])


def dying_after(number: int) -> Any:
    left = iter(range(number))

    def is_over(turn: turns.Turn) -> bool:
        if next(left, None) is None:
            raise SystemExit
        return False

    return is_over


def test_looking_for_the_keys_of_ndjson_gives_way_too(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    records = [{"mobile": "12", "name": "Ann"}] * 3 + [{"phone": "+14155550123", "name": "Bob"}] * 3
    content = "\n\n".join(map(json.dumps, records))
    with django_capture_on_commit_callbacks(execute=True):
        for cast in (acme, globex):
            post(cast.api, content, kind="application/x-ndjson")
    had = work_off()
    assert had[:12] == ["acme", "globex"] * 6, "a record in a turn"
    job = Import.objects.get(tenant=acme.tenant)
    assert job.options["fields"] == {"mobile": "phone", "name": "name", "phone": "phone"}
    assert (job.state, job.rows, job.failed, job.superseded) == ("done", 6, 3, 2)
    assert acme.tenant.contacts.get().name == "Bob"


@pytest.mark.parametrize("erased", [False, True])
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_writing_the_error_file_gives_way_too(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None, dry_run: str, erased: bool
) -> None:
    """The file leaves out a person who is erased while it waits."""
    wrong = [f"+1415555{n:04},bad" for n in range(4)]
    content = "\n".join(["phone,email", *wrong[:2], "+14155559999,", *wrong[2:], ""])
    query = f"?dry_run={dry_run}&strict=true"
    job, _ = [post(cast.api, content, query).json() for cast in (acme, globex)]
    row = Import.objects.get(pk=job["id"])
    unfinished = storage.spool_folder(row) / "errors"
    while not (unfinished.exists() and "+14155550001" in unfinished.read_text()):
        uploads.run(row.pk)
        assert not storage.errors_of(row).exists()
    if erased:
        call_command(
            "erase_contact", "+14155550000", "--tenant", "acme", "--yes", stdout=io.StringIO()
        )
    while states()["acme"] != "done":
        uploads.run(row.pk)
    told = acme.api.get(f"/api/v1/imports/{job['id']}").json()
    assert (told["rows"], counted(told)) == (5, [1, 0, 0, 0, 4])
    phones = ["'+14155550000", "'+14155550001", "'+14155550002", "'+14155550003"]
    assert [line[0] for line in errors(acme.api, told)] == [
        "phone", "" if erased else phones[0], *phones[1:],
    ]  # fmt: skip
    left = {path.name for path in turns.data_folder("imports").glob(f"{row.pk}*")}
    assert left == {f"{row.pk}.errors.csv"}


def test_tenants_take_turns_however_many_jobs_one_has(
    acme: SimpleNamespace, globex: SimpleNamespace, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for n in range(6):
            post(acme.api, rows(n, 3))
        post(globex.api, rows(1, 3))
        post(globex.api, rows(2, 3))
    assert work_off() == ["acme", "globex", "acme", "globex", *["acme"] * 4]
    assert {*states().values()} == {"done"}


def test_of_one_tenants_imports_the_later_wins(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        post(acme.api, rows(1, 40))
        post(acme.api, "phone,name\n+14155550001,Last\n")
        post(globex.api, rows(1, 40))
    work_off()
    assert acme.tenant.contacts.get(phone="+14155550001").name == "Last"


def test_bulk_actions_and_imports_take_turns(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(bulk_actions, "BATCH", 2)
    monkeypatch.setattr(bulk_actions, "AT_ONCE", 0)
    pks = [acme.tenant.contacts.create(phone=f"+1415555{n:04}").pk for n in range(10)]
    with django_capture_on_commit_callbacks(execute=True):
        action = bulk_actions.plan(acme.tenant, "user:1", BulkAction.Kind.SET_LOCALE, "fr", pks)
        bulk_actions.start(action)
        post(globex.api, rows(1, 30))
    had = work_off()
    assert had[:4] == ["acme", "globex", "acme", "globex"]
    assert acme.tenant.contacts.filter(locale="fr").count() == 10
    assert BulkAction.objects.get().done == 10
    assert {*states().values()} == {"done"}


def test_a_job_does_not_give_way_if_no_other_tenant_waits(
    acme: SimpleNamespace, short_turns: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        post(acme.api, rows(1, 60))
        post(acme.api, rows(1, 60))
    assert work_off() == ["acme", "acme"]


def test_a_job_of_another_worker_is_left_alone(
    acme: SimpleNamespace, globex: SimpleNamespace, short_turns: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        busy = post(globex.api, rows(1, 30)).json()
        post(acme.api, rows(1, 30))
    with lock.locked_folder(turns.data_folder("imports") / busy["id"]):
        assert work_off()[:2] == ["globex", "acme"]
    assert states() == {"globex": "queued", "acme": "done"}


def test_a_job_that_has_stopped_with_a_problem_gets_no_turns(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail in every turn. It is tried again when a worker starts."""
    broken, good = [post(acme.api, rows(n, 3)).json() for n in (1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr("contacts.importing.uploads.Importer.write", None)
        with pytest.raises(TypeError):
            turns.run_next(Import, broken["id"])
    turns.run_next(Import, good["id"])
    assert [*Import.objects.order_by("pk").values_list("state", flat=True)] == ["writing", "done"]
    assert uploads.requeue_interrupted() == 1
    turns.run_next(Import, good["id"])
    assert {*Import.objects.values_list("state", flat=True)} == {"done"}


# What a small file can unpack to


def test_a_file_unpacks_to_four_times_the_largest_upload_at_most(
    acme: SimpleNamespace, settings: Any, tmp_path: Path
) -> None:
    settings.IMPORT_MAX_BYTES = 1_000_000
    path = tmp_path / "bomb.csv.gz"
    sentence = "unpacks to more than 4,000,000 bytes; split it"
    for size, fits in ((3_900_000, True), (4_100_000, False)):
        path.write_bytes(gzip.compress(b"phone\n+14155550123\n".ljust(size, b"\n")))
        given = str(path), "--tenant", "acme", "--dry-run"
        if fits:
            call_command("import_contacts", *given)
            continue
        with pytest.raises(CommandError, match=sentence):
            call_command("import_contacts", *given)
        job = post(acme.api, path.read_bytes(), kind="application/gzip").json()
        turns.run_next(Import, job["id"])
        assert sentence in acme.api.get(f"/api/v1/imports/{job['id']}").json()["problem"]


def test_blank_lines_in_a_cell_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\n\nphone,name\n\n1,"a\n\n\r\n\nb"\n\n\n2,c\n\r\n3,"\n"\n')
    source = record_file.RecordFile(path)
    found = [(record.line, record.cells["name"]) for record in source.records()]
    assert found == [(5, "a\n\n\r\n\nb"), (12, "c"), (14, "\n")]
    assert [record.line for record in source.records(first_line=12)] == [12, 14]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("phone;name\n1;Zoé\n", {"is_json": False, "delimiter": ";", "header": ["phone", "name"]}),
        ('{"phone": "1", "name": "Zoé"}\n', {"is_json": True, "delimiter": "", "keys": ["phone"]}),
    ],
)
def test_an_import_that_an_earlier_version_began_is_read_on(
    tmp_path: Path, text: str, found: dict[str, Any]
) -> None:
    """The spool folder has what that version found out about the file."""
    path = tmp_path / "upload"
    path.write_bytes(text.encode("cp1252"))
    head = {"encoding": "cp1252", "newline": "\n", "keys": [], "since": 1} | found
    source = record_file.RecordFile(path, found=head)
    assert source.header == ["phone", "name"]
    assert [record.cells for record in source.records()] == [{"phone": "1", "name": "Zoé"}]
    assert source.encoding == "cp1252"
