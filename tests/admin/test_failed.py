"""The page of failed jobs: what has failed in the user's tenant, why, and one click to go on."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils.translation import trans_real
from django_tasks_db.models import DBTaskResult

from contacts.admin.failed import LEFT
from contacts.exporting import background
from contacts.importing import ending, uploads
from contacts.importing.engine import Importer
from contacts.jobs import bulk_actions, turns
from contacts.jobs.files import data_folder
from contacts.jobs.lock import locked
from contacts.models import BulkAction, Contact, Export, Import
from tests.support.admin import logged_in, staff_of
from tests.support.factories import ContactFactory
from tests.support.imports_api import post

pytestmark = [pytest.mark.both, pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

PAGE = reverse("admin:failed_jobs")
NONE = "No job has failed."
DOWN = RuntimeError("the disk is full")


def retry_of(kind: str, job: Any) -> str:
    return reverse("admin:retry_job", args=[kind, job.pk])


def fail(*_: Any, **__: Any) -> None:
    raise DOWN


def jobs_of(member: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An import, a deletion and an export that a fault has stopped, and a file that was refused."""
    ContactFactory.create(tenant=member.tenant)
    answer = post(member.api, "phone\n+14155550123\n", f"?file_name={member.tenant.slug}.csv")
    job = Import.objects.get(pk=answer.json()["id"])
    export = background.plan(
        member.tenant, "user:1", "csv", {"tag": "", "updated_since": None, "filter": {}}
    )
    pks = [*member.tenant.contacts.values_list("pk", flat=True)]
    action = bulk_actions.plan(member.tenant, "user:1", BulkAction.Kind.DELETE, "", pks)
    with monkeypatch.context() as patch:
        patch.setattr(Importer, "run_in", fail)
        patch.setattr(background, "write", fail)
        patch.setattr(bulk_actions, "run_batch", fail)
        for run, row in ((uploads.run, job), (background.run, export)):
            with pytest.raises(RuntimeError):
                run(row.pk)
        with pytest.raises(RuntimeError):
            bulk_actions.run_for_a_turn(action.pk)
    refused = Import.objects.create(tenant=member.tenant, file_name=f"bad-{member.tenant.slug}.pdf")
    ending.refuse(refused, "This is a PDF, not a file of contacts.")
    return SimpleNamespace(job=job, export=export, action=action, refused=refused)


def work_off() -> None:
    """Does the tasks of the queue as a worker does."""
    while task := DBTaskResult.objects.ready().first():
        task.claim("me")
        task.task.call(*task.args_kwargs["args"])
        task.set_successful(None)


def test_staff_see_the_failed_jobs_of_their_tenant_and_have_them_tried_again(
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    staff: Client,
    superuser: Client,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    mine, theirs = jobs_of(acme, monkeypatch), jobs_of(globex, monkeypatch)

    shown = staff.get(PAGE).content.decode()
    assert re.findall(r"(Import|Export|Bulk action): <a", shown) == [
        "Import", "Bulk action", "Export", "Import",
    ]  # fmt: skip
    for text in ("bad-acme.pdf", "This is a PDF", uploads.STOPPED, bulk_actions.STOPPED):
        assert text in shown
    assert shown.count("Upload another file") == 1
    assert "globex" not in shown.lower()
    assert theirs.action.pk not in shown
    all_shown = superuser.get(PAGE).content.decode()
    assert all_shown.count(">Acme Co., started") == all_shown.count(">Globex, started") == 4

    for kind, job in (("import", theirs.job), ("export", theirs.export), ("bulk", theirs.action)):
        assert staff.get(retry_of(kind, job)).headers["Location"] == PAGE
        assert staff.post(retry_of(kind, job)).headers["Location"] == PAGE
        assert type(job).objects.get(pk=job.pk).problem, "it has not been tried again"

    question = staff.get(retry_of("bulk", mine.action)).content.decode()
    assert "<strong>0</strong> of 1 contact done" in question
    assert acme.tenant.contacts.exists(), "a look"
    DBTaskResult.objects.all().delete()
    for kind, job in (("import", mine.job), ("export", mine.export), ("bulk", mine.action)):
        with django_capture_on_commit_callbacks(execute=True):
            answer = staff.post(retry_of(kind, job))
        assert str(job.pk) in answer.headers["Location"], "the page with the progress"
        assert staff.post(retry_of(kind, job)).headers["Location"] == PAGE, "once is enough"
    assert staff.post(retry_of("import", mine.refused)).headers["Location"] == PAGE
    assert DBTaskResult.objects.count() == LogEntry.objects.count() == 3
    with django_capture_on_commit_callbacks(execute=True):
        work_off()
    assert Import.objects.get(pk=mine.job.pk).state == "done"
    assert Export.objects.get(pk=mine.export.pk).state == "done"
    assert BulkAction.objects.get(pk=mine.action.pk).is_over
    assert [*acme.tenant.contacts.values_list("phone", flat=True)] == ["+14155550123"]
    assert globex.tenant.contacts.exists()
    assert "bad-acme.pdf" in staff.get(PAGE).content.decode()


def test_a_job_whose_worker_was_killed_is_shown_and_another_worker_goes_on_with_it(
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    staff: Client,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for member in (acme, globex):
            post(member.api, "phone\n+14155550123\n", f"?file_name={member.tenant.slug}.csv")
    mine, theirs = acme.tenant.imports.get(), globex.tenant.imports.get()
    assert NONE in staff.get(PAGE).content.decode(), "both wait for a worker"
    for task in DBTaskResult.objects.ready():
        task.claim("a worker that is killed")
    with locked(data_folder("imports") / mine.pk):
        assert NONE in staff.get(PAGE).content.decode(), "a worker runs it"
    shown = staff.get(PAGE).content.decode()
    assert (LEFT in shown, "acme.csv" in shown, "globex" in shown.lower()) == (True, True, False)
    assert staff.post(retry_of("import", theirs)).headers["Location"] == PAGE
    with django_capture_on_commit_callbacks(execute=True):
        assert mine.pk in staff.post(retry_of("import", mine)).headers["Location"]
    assert staff.post(retry_of("import", mine)).headers["Location"] == PAGE, "once is enough"
    assert NONE in staff.get(PAGE).content.decode()
    turns.requeue_left_alone()
    assert DBTaskResult.objects.ready().count() == 2
    with django_capture_on_commit_callbacks(execute=True):
        work_off()
    assert [*Import.objects.values_list("state", flat=True)] == ["done", "done"]


def test_only_who_may_start_a_job_may_have_it_tried_again(
    acme: SimpleNamespace, outsider: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(acme, monkeypatch)
    assert Client().get(PAGE).headers["Location"].startswith("/admin/login/")
    nobody = logged_in(staff_of(acme.tenant, "view_tag"))
    assert nobody.get(PAGE).status_code == 403
    assert PAGE not in nobody.get(reverse("admin:index")).content.decode()
    assert NONE in logged_in(staff_of(None)).get(PAGE).content.decode()
    viewer = logged_in(staff_of(acme.tenant, "view_import", "view_bulkaction"))
    shown = viewer.get(PAGE).content.decode()
    assert PAGE in shown, "in the menu"
    assert uploads.STOPPED in shown
    for text in ("Retry ", "Upload another file", background.STOPPED):
        assert text not in shown
    for kind, job in (("import", jobs.job), ("export", jobs.export), ("bulk", jobs.action)):
        assert viewer.post(retry_of(kind, job)).status_code == 403
        assert type(job).objects.get(pk=job.pk).problem
    changer = logged_in(staff_of(acme.tenant, "view_bulkaction", "change_contact"))
    assert changer.post(retry_of("bulk", jobs.action)).status_code == 403, "it deletes contacts"
    assert viewer.get(reverse("admin:retry_job", args=["tag", "x"])).status_code == 404
    assert viewer.get(reverse("admin:retry_job", args=["import", "x"])).status_code == 302
    assert Contact.objects.exists()


def test_the_page_speaks_the_language_of_the_user_and_the_log_english(
    acme: SimpleNamespace, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = jobs_of(acme, monkeypatch)
    monkeypatch.setattr(trans_real.DjangoTranslation, "gettext", lambda self, text: f"_{text}")
    assert "_Failed jobs" in staff.get(PAGE).content.decode()
    answer = staff.post(retry_of("bulk", failed.action), follow=True)
    assert "_The job is in the queue again." in answer.content.decode()
    logged = LogEntry.objects.values_list("object_repr", "change_message")
    assert [*logged] == [("Delete", "Retried.")]
