"""Files in an S3-compatible store: machines that share no disk, and a store that fails."""

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django_tasks_db.models import DBTaskResult

from contacts.exporting import background, cleanup
from contacts.importing import cleanup as imports
from contacts.importing import engine, erasures, uploads
from contacts.importing.storage import errors_of, spool_folder
from contacts.jobs import turns
from contacts.jobs.files import data_folder, store
from contacts.jobs.lock import JobIsRunning, locked
from contacts.models import Contact, Export, Import
from qyvo.environment import files_at
from tests.support.admin import text_of
from tests.support.admin_imports import drafted, looked_at, page_of
from tests.support.admin_imports import work as run
from tests.support.api import assert_error
from tests.support.imports_api import IMPORTS, counted, post
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE, free_port, s3_at, serving, worker

pytestmark = pytest.mark.django_db
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hunter2"}
CSV = "phone,name,email\n+33612345678,Zoé,\n12,Bob,\n+33612345679,Ann,\n"
ERRORS = "phone,name,email,line,error\r\n12,Bob,,3,"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    port = free_port()
    with s3_at(port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3", endpoint_url=s3_url, region_name="us-east-1").Bucket("files")
    bucket.create()
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def files_url(s3_url: str, bucket: Any) -> str:
    return f"s3://files/of/qyvo?endpoint_url={s3_url}&region=us-east-1"


@pytest.fixture
def stored(settings: Any, files_url: str, data_dir: Path) -> Any:
    """Puts the files of this process into the store; called again, into another one."""

    def put(url: str) -> None:
        settings.STORAGES = settings.STORAGES | {"files": files_at(url)}

    put(files_url)
    yield put
    assert left_in(data_dir) == []


def left_in(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def keys(bucket: Any) -> set[str]:
    return {each.key for each in bucket.objects.all()}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite serves one machine")
@pytest.mark.django_db(transaction=True)
def test_two_servers_and_two_workers_share_only_the_database_and_the_store(
    acme: SimpleNamespace, tmp_path: Path, files_url: str, bucket: Any, settings: Any
) -> None:
    shared = {"FILES_URL": files_url, "SECRET_KEY": settings.SECRET_KEY, "RATELIMIT_DEFAULT": ""}
    folders = [tmp_path / "a", tmp_path / "b"]

    def work() -> None:
        with ExitStack() as workers:
            log = tmp_path / "worker.log"
            started = [
                workers.enter_context(worker(folder, log, "--once", **shared)) for folder in folders
            ]
            assert [process.wait(PATIENCE) for process in started] == [0, 0], log.read_text()

    with ExitStack() as running:
        servers = [
            running.enter_context(
                serving(tmp_path / f"{folder.name}.log", 1, DATA_DIR=str(folder), **shared)
            )
            for folder in folders
        ]
        headers = {"Authorization": f"Bearer {acme.plaintext}"}
        a, b = [
            running.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60))
            for url in servers
        ]
        content = CSV + "".join(f"+3361200{n:04},P{n},\n" for n in range(3000))
        kind = {"Content-Type": "text/csv"}
        job = a.post(IMPORTS, content=gzip.compress(content.encode()), headers=kind).json()
        asked = b.post("/api/v1/exports", json={"format": "ndjson"}).json()
        assert left_in(*folders) == []
        work()
        assert counted(b.get(f"{IMPORTS}/{job['id']}").json()) == [3002, 0, 0, 0, 1]
        errors = b.get(f"{IMPORTS}/{job['id']}/errors")
        assert errors.text.startswith(ERRORS)
        assert errors.content == a.get(f"{IMPORTS}/{job['id']}/errors").content
        files = [web.get(f"/api/v1/exports/{asked['id']}/file") for web in (a, b)]
        assert files[0].text.count("\n") in (0, 3002)  # the export may run first
        assert files[0].content == files[1].content
        assert files[0].headers["Content-Length"] == str(len(files[0].content))
        assert left_in(*folders) == []
    prefix = "of/qyvo/"
    assert keys(bucket) == {
        f"{prefix}imports/{job['id']}.errors.csv", f"{prefix}exports/{asked['id']}.file",
        f"{prefix}turns/{acme.tenant.pk}",
    }  # fmt: skip
    assert "hunter2" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))


def test_a_draft_is_looked_at_tried_and_imported(staff: Client, stored: Any, bucket: Any) -> None:
    job = drafted(staff, CSV)
    assert keys(bucket) == {f"of/qyvo/imports/{job.pk}/upload"}
    assert looked_at(staff, job)["preview"].rows[1].cells[0] == "12"
    for dry_run in (True, False):
        assert uploads.begin(job, "user:1", dry_run=dry_run)
        job = run(job)
        assert (job.created, job.failed, job.problem) == (2, 1, "")
        page: Any = staff.get(page_of("errors", job))
        assert b"".join(page.streaming_content).decode().startswith(ERRORS)
    assert Contact.objects.count() == 2


def test_a_turn_continues_on_another_machine(
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    stored: Any,
    bucket: Any,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SECONDS", 0)
    monkeypatch.setattr(engine, "CHUNK", 1)
    job, waiting = [post(cast.api, CSV, "?dry_run=true").json()["id"] for cast in (acme, globex)]
    steps = 0
    while (row := Import.objects.get(pk=job)).is_running:
        settings.DATA_DIR = tmp_path / str(steps)
        uploads.run(job)
        assert left_in(settings.DATA_DIR) == []
        steps += 1
    assert steps > 2
    assert (row.state, row.created, row.failed) == ("done", 2, 1)
    assert not any(f"{job}/" in key for key in keys(bucket))
    assert turns.last_turn(acme.tenant.pk) > turns.last_turn(globex.tenant.pk) == 0
    assert [each.pk for each in turns.waiting_jobs()] == [waiting]


@pytest.mark.both
def test_a_job_is_locked_for_other_machines(stored: Any, settings: Any, tmp_path: Path) -> None:
    def tried(machine: str) -> Any:
        settings.DATA_DIR = tmp_path / machine
        return locked(data_folder("imports") / "x")

    with tried("a"):
        if connection.vendor == "postgresql":
            with pytest.raises(JobIsRunning), tried("b"):
                pass
        with pytest.raises(JobIsRunning), tried("a"):
            pass
    with tried("b"):
        pass


@pytest.mark.parametrize("fault", ["refused", "no bucket"])
def test_a_store_that_fails_gives_503_and_the_import_is_tried_again(
    acme: SimpleNamespace, staff: Client, stored: Any, files_url: str, fault: str
) -> None:
    job = post(acme.api, CSV).json()["id"]
    broken = {"refused": f"s3://files?endpoint_url=http://127.0.0.1:{free_port()}&region=x"}
    stored(broken.get(fault, files_url.replace("//files", "//other")))
    assert_error(post(acme.api, CSV), 503, "unavailable")
    uploads.run_import.call(job)
    row = Import.objects.get()
    assert row.problem == turns.STORE_PROBLEM
    later = DBTaskResult.objects.get(task_path=turns.try_again.module_path)
    assert later.run_after is not None
    staff.raise_request_exception = False
    page = staff.post("/admin/contacts/import/add/", {"mode": "upsert", "file": file_of(CSV)})
    assert (page.status_code, Import.objects.count()) == (503, 1)
    stored(files_url)
    turns.try_again.call("Import", job)
    row.refresh_from_db()
    assert (row.state, row.problem, row.created) == ("done", "", 2)


def file_of(text: str) -> Any:
    return SimpleUploadedFile("people.csv", text.encode())


def test_an_object_that_is_gone_is_told(
    acme: SimpleNamespace, staff: Client, stored: Any, bucket: Any
) -> None:
    job, draft = post(acme.api, CSV).json()["id"], drafted(staff, CSV)
    bucket.objects.all().delete()
    assert uploads.GONE in text_of(staff.get(page_of("preview", draft), follow=True))
    uploads.run_import.call(job)
    told_job = acme.api.get(f"{IMPORTS}/{job}").json()
    assert (told_job["state"], told_job["problem"]) == ("refused", uploads.GONE)
    assert_error(acme.api.get(f"{IMPORTS}/{job}/errors"), 404, "not_found")


def test_files_are_deleted_when_their_time_is_over(
    acme: SimpleNamespace, globex: SimpleNamespace, stored: Any, bucket: Any
) -> None:
    for cast in (acme, globex):
        uploads.run_import.call(post(cast.api, CSV).json()["id"])
        background.run_export.call(cast.api.send("{}", "/api/v1/exports").json()["id"])
    assert len([key for key in keys(bucket) if "turns" not in key]) == 4
    cleanup.erase(acme.tenant)
    job = Import.objects.get(tenant=acme.tenant)
    assert erasures.erase(acme.tenant, "+33612345678") == ([], [])
    assert store().has(errors_of(job))
    bucket.put_object(Key="of/qyvo/exports/orphan.file", Body=b"x")
    Export.objects.filter(tenant=globex.tenant).update(expires_at="2020-01-01T00:00Z")
    cleanup.delete_expired()
    left = [f"of/qyvo/imports/{each.pk}.errors.csv" for each in Import.objects.all()]
    assert {key for key in keys(bucket) if "turns" not in key} == {*left}
    imports.delete(job)
    assert not store().has(errors_of(job))


def test_what_a_killed_process_has_left_is_deleted(stored: Any, data_dir: Path) -> None:
    folder = data_folder("imports") / "x"
    folder.mkdir()
    (folder / "upload").touch()
    store().delete_leftovers()
    assert left_in(data_dir), "it may be a request that has just begun"
    os.utime(folder, (time.time() - 7200,) * 2)
    store().delete_leftovers()
    assert spool_folder(Import(pk="x")) == folder


def test_a_process_loads_the_client_of_the_store_only_if_a_store_is_set(tmp_path: Path) -> None:
    """And never, before a request needs them, the generator of the OpenAPI document and OAuth's
    views: 6 MiB."""
    code = (
        "import sys, django; django.setup(); from django.urls import get_resolver;"
        "get_resolver().url_patterns; from contacts.jobs.files import store; store();"
        "from contacts.management.commands import worker; print('boto3' in sys.modules,"
        " *{'drf_spectacular.generators', 'oauth2_provider.views'}.intersection(sys.modules))"
    )
    for url, loaded in (("", "False"), ("s3://bucket", "True")):
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "qyvo.settings", "ENV_FILE": os.devnull,
            "DATA_DIR": str(tmp_path), "FILES_URL": url, "SECRET_KEY": "x" * 50,
        }  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert run.stdout.split() == [loaded]
