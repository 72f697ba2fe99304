"""Exports in the background: the right contacts, turns, faults, and files that do not stay."""

import json
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from contacts import erasing
from contacts.api.examples import EXAMPLES, ROMAIN
from contacts.exporting import background, cleanup, export, storage
from contacts.exporting.csv import Csv
from contacts.jobs import turns
from contacts.models import Export, MetadataField
from tenants.models import Tenant
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.openapi import operations, shape
from tests.support.sheets import cells_of

pytestmark = [pytest.mark.both, pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

EXPORTS = "/api/v1/exports"


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Any]:
    return [
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555{n:04}", name=f"P{n}", tags=["x"])
        for n in range(10)
    ]


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn writes one page of three contacts if another tenant waits."""
    monkeypatch.setattr(turns, "SECONDS", 0)
    monkeypatch.setattr(export, "PAGE", 3)


def ask(api: Api, **body: Any) -> Any:
    return api.send(json.dumps(body), EXPORTS)


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = ask(api, **body)
    assert answer.status_code == 202, answer.json()
    assert answer.headers["Location"] == f"{EXPORTS}/{answer.json()['id']}"
    return answer.json()


def state(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"{EXPORTS}/{job['id']}").json()


def work(limit: int = 100) -> list[str]:
    """Does what a worker does that starts; returns the tenants in the order of turns."""
    DBTaskResult.objects.all().delete()
    background.requeue_interrupted()
    had: list[str] = []
    runs: dict[Any, Any] = turns.RUNS
    given = runs[Export]

    def noted(pk: str) -> None:
        had.append(Export.objects.get(pk=pk).tenant.slug)
        given(pk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runs, Export, noted)
        while task := DBTaskResult.objects.ready().first():
            task.claim("me")
            task.task.call(*task.args_kwargs["args"])
            task.set_successful(None)
            assert len(had) < limit
    return had


def content(api: Api, job: dict[str, Any]) -> bytes:
    answer = api.get(state(api, job)["file"])
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def files() -> list[str]:
    return sorted(path.name for path in turns.data_folder("exports").iterdir())


def test_an_export_is_queued_then_done_and_its_file_is_that_of_the_command(
    acme: SimpleNamespace, people: Any, tmp_path: Path
) -> None:
    for form, kind in export.FORMATS.items():
        job = made(acme.api, format=form)
        assert (job["state"], job["total"], job["file"]) == ("queued", None, None)
        assert_error(acme.api.get(f"{EXPORTS}/{job['id']}/file"), 409, "not_finished")
        work()
        told = state(acme.api, job)
        assert (told["state"], told["total"], told["written"]) == ("done", 10, 10)
        answer = acme.api.get(told["file"])
        assert answer.headers["Content-Type"] == kind.content_type
        assert f'.{kind.extension}"' in answer.headers["Content-Disposition"]
        path = tmp_path / form
        call_command("export_contacts", "--tenant=acme", f"--format={form}", f"-o{path}")
        if kind.is_streamed:
            assert b"".join(answer.streaming_content) == path.read_bytes()
        else:  # a workbook has the time at which it was made
            found = cells_of(b"".join(answer.streaming_content))
            assert found == cells_of(path.read_bytes())
    assert len(files()) == len(export.FORMATS), "and no folder"


def test_the_csv_of_the_api_is_plain(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="=1+1")
    job = made(acme.api)
    work()
    assert content(acme.api, job).splitlines()[1].startswith(b"+14155550123,=1+1,")


@in_one_test(
    "filters",
    [{}, {"tag": "vip"}, {"tag": "nobody"}, {"updated_since": True},
     {"tag": "vip", "updated_since": True}, {"tag": None, "updated_since": ""}],
)  # fmt: skip
def test_the_filters_choose_the_contacts_that_list_contacts_lists(
    acme: SimpleNamespace, globex: SimpleNamespace, people: Any, filters: dict[str, Any]
) -> None:
    for contact in people[::2]:
        acme.api.act("add-tag", contact_id=contact.pk, tag="vip")
    ContactFactory.create(tenant=globex.tenant, phone=PHONE, tags=["vip"])
    if filters.get("updated_since"):
        people[4].refresh_from_db()
        filters = filters | {"updated_since": people[4].updated_at.isoformat()}
    listed = {row["phone"] for row in acme.api.act("list-contacts", **filters).json()["data"]}
    job = made(acme.api, format="ndjson", **filters)
    work()
    lines = content(acme.api, job).splitlines()
    assert {json.loads(line)["phone"] for line in lines} == listed
    told = state(acme.api, job)
    assert (told["total"], told["written"]) == (len(listed), len(listed))


@pytest.mark.parametrize(
    "body", [{"tag": "x" * 256}, {"updated_since": "yesterday"}, {"updated_since": 5}, {"tag": []}]
)
def test_filters_are_refused_with_the_sentences_of_list_contacts(
    acme: SimpleNamespace, body: dict[str, Any]
) -> None:
    expected = acme.api.act("list-contacts", **body)
    answer = ask(acme.api, **body)
    assert (answer.status_code, answer.json()) == (422, expected.json())
    assert not Export.objects.exists()


@pytest.mark.parametrize("form", ["pdf", 5, ["csv"], {}])
def test_an_unknown_format_is_refused(acme: SimpleNamespace, form: Any) -> None:
    assert_error(ask(acme.api, format=form), 422, "validation_failed", "format")


def test_another_tenant_and_an_outsider_see_nothing(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, people: Any
) -> None:
    job = made(acme.api)
    work()
    for path in (f"{EXPORTS}/{job['id']}", f"{EXPORTS}/{job['id']}/file", f"{EXPORTS}/x"):
        assert_error(globex.api.get(path), 404, "not_found")
        assert_error(outsider.api.get(path), 422, "no_workspace")
    assert_error(ask(outsider.api), 422, "no_workspace")


@pytest.mark.parametrize("form", export.FORMATS)
def test_tenants_take_turns_and_each_file_is_whole(
    acme: SimpleNamespace, globex: SimpleNamespace, people: Any, short_turns: None, form: str
) -> None:
    ContactFactory.create_batch(7, tenant=globex.tenant, name="<r> =A1\tZoé</r>")
    jobs = {member.tenant.slug: made(member.api, format=form) for member in (acme, globex)}
    assert work() == ["acme", "globex", "acme", "globex", "acme", "globex", "acme"]
    for member in (acme, globex):
        contacts = export.select_ids(member.tenant.contacts.all())
        expected = b"".join(export.export(contacts, export.FORMATS[form]))
        found = content(member.api, jobs[member.tenant.slug])
        assert parts_of(found) == parts_of(expected)
    assert files() == sorted(f"{job['id']}.file" for job in jobs.values())


def parts_of(text: bytes) -> Any:
    """`text` itself; of a workbook, its parts without the time at which it was written."""
    if not text.startswith(b"PK"):
        return text
    with ZipFile(BytesIO(text)) as book:
        return {name: book.read(name) for name in book.namelist() if name != "docProps/core.xml"}


def test_a_contact_that_is_deleted_between_two_turns_leaves_no_gap_in_a_workbook(
    acme: SimpleNamespace, globex: SimpleNamespace, people: Any, short_turns: None
) -> None:
    job, _ = made(acme.api, format="xlsx"), made(globex.api)
    people[1].delete()
    background.run(job["id"])
    people[4].delete()
    work()
    text = content(acme.api, job)
    assert [row[0] for row in cells_of(text)[1:]] == [
        contact.phone for contact in people if contact.name not in ("P1", "P4")
    ]
    assert b'<dimension ref="A1:I9"/>' in parts_of(text)["xl/worksheets/sheet1.xml"]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("page", [1, 3])
def test_an_export_that_was_killed_continues_and_is_whole(
    acme: SimpleNamespace,
    people: Any,
    short_turns: None,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    page: int,
) -> None:
    read = export.pages
    broken = iter([*[False] * page, True])

    def pages(ids: bytes, tenant: Tenant, defined: Any) -> Any:
        for found in read(ids, tenant, defined):
            if next(broken, False):
                raise OSError("No space left on device")
            yield found

    monkeypatch.setattr(background, "pages", pages)
    MetadataField.objects.create(tenant=acme.tenant, label="City", key="city")
    job = made(acme.api, format=form)
    with pytest.raises(OSError, match="No space"):
        background.run_export.call(job["id"])
    MetadataField.objects.all().delete()  # the header of the CSV is written
    assert "continues when a worker starts" in state(acme.api, job)["problem"]
    work()
    told = state(acme.api, job)
    assert (told["state"], told["problem"], told["written"]) == ("done", None, 10)
    text = content(acme.api, job)
    lines = [line.split(",") for line in text.decode(errors="replace").split("\r\n")]
    rows = cells_of(text) if form == "xlsx" else lines
    assert [row[0] for row in rows[1:11]] == [contact.phone for contact in people]
    if form == "csv":
        assert {len(row) for row in rows[:11]} == {len(export.COLUMNS) + 1}


@pytest.mark.parametrize("damage", ["gone", "longer"])
def test_what_was_written_after_the_position_was_stored_does_not_count(
    acme: SimpleNamespace, globex: SimpleNamespace, people: Any, short_turns: None, damage: str
) -> None:
    job, _ = made(acme.api), made(globex.api)
    background.run(job["id"])
    assert state(acme.api, job)["state"] == "writing"
    part = storage.folder_of(Export.objects.get(pk=job["id"])) / "part"
    if damage == "gone":
        part.unlink()
    else:  # a worker was killed in its next turn, and later pages are shorter now
        part.write_bytes(part.read_bytes() + b"x" * 10_000)
    work()
    expected = export.export(export.select_ids(acme.tenant.contacts.all()), Csv())
    assert content(acme.api, job) == b"".join(expected)


def test_a_workbook_that_excel_could_not_hold_is_refused_with_a_sentence(
    acme: SimpleNamespace,
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, metadata={"a": "x" * 40_000})
    job = made(acme.api, format="xlsx")
    work()
    told = state(acme.api, job)
    assert (told["state"], told["file"]) == ("refused", None)
    assert told["problem"].startswith(f"The metadata of {PHONE} has more than 32,767 characters")
    assert_error(acme.api.get(f"{EXPORTS}/{job['id']}/file"), 404, "not_found")
    assert files() == []


# Files contain people


def test_erasing_a_person_deletes_the_files_that_may_contain_this_person(
    acme: SimpleNamespace, globex: SimpleNamespace, people: Any
) -> None:
    done, theirs = made(acme.api), made(globex.api)
    work()
    waiting = made(acme.api)
    erasing.erase(acme.tenant, people[3].phone)
    told = state(acme.api, done)
    assert (told["state"], told["file"]) == ("expired", None)
    assert told["problem"] == cleanup.ERASED
    assert_error(acme.api.get(f"{EXPORTS}/{done['id']}/file"), 404, "not_found")
    work()
    assert people[3].phone.encode() not in content(acme.api, waiting)
    assert len(content(acme.api, waiting).splitlines()) == 10
    assert state(globex.api, theirs)["state"] == "done"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_export_that_is_being_written_while_a_person_is_erased_leaves_no_file(
    acme: SimpleNamespace, people: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(export, "PAGE", 20)  # the one page is read before the erasure
    read = export.pages

    def pages(ids: bytes, tenant: Tenant, defined: Any) -> Any:
        for found in read(ids, tenant, defined):
            erasing.erase(acme.tenant, people[3].phone)
            yield found

    monkeypatch.setattr(background, "pages", pages)
    job = made(acme.api, format=form)
    work()
    assert state(acme.api, job)["state"] == "expired"
    assert files() == []


def test_an_erasure_at_the_moment_of_the_end_leaves_no_file(
    acme: SimpleNamespace, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the file was moved to its place, and before the row says that it is done."""
    end = background.end

    def late(job: Export, **values: Any) -> None:
        erasing.erase(acme.tenant, people[3].phone)
        end(job, **values)

    monkeypatch.setattr(background, "end", late)
    job = made(acme.api)
    work()
    assert state(acme.api, job)["state"] == "expired"
    assert files() == []


def test_a_file_expires_after_a_day_and_is_deleted_when_the_next_export_runs(
    acme: SimpleNamespace, people: Any
) -> None:
    job = made(acme.api)
    work()
    assert state(acme.api, job)["expires_at"] is not None
    past = timezone.now() - timedelta(seconds=1)
    Export.objects.update(expires_at=past)
    assert state(acme.api, job)["file"] is None
    assert_error(acme.api.get(f"{EXPORTS}/{job['id']}/file"), 404, "not_found")
    other = made(acme.api)
    work()
    assert state(acme.api, job)["state"] == "expired"
    assert files() == [f"{other['id']}.file"]


def test_the_files_of_a_deleted_tenant_and_of_killed_processes_are_deleted(
    acme: SimpleNamespace, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(acme.api)
    work()
    acme.user.delete()
    acme.tenant.delete()
    (turns.data_folder("exports") / "tmpworkbook").mkdir()
    cleanup.delete_expired()
    assert files() == ["tmpworkbook"], "it may be in use"
    monkeypatch.setattr(cleanup, "ORPHAN_AGE", -1)
    cleanup.delete_expired()
    assert files() == []


def test_prune_exports_deletes_old_exports_and_their_files(
    acme: SimpleNamespace, people: Any, capsys: pytest.CaptureFixture
) -> None:
    old, new = made(acme.api), made(acme.api)
    work()
    Export.objects.filter(pk=old["id"]).update(started_at=timezone.now() - timedelta(days=31))
    call_command("prune_exports", "--older-than", "30d")
    assert capsys.readouterr().out == "exports deleted: 1\n"
    assert [*Export.objects.values_list("pk", flat=True)] == [new["id"]]
    assert files() == [f"{new['id']}.file"]


def test_a_tenant_can_fill_neither_the_queue_nor_the_disk(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_RUNNING", 2)
    monkeypatch.setattr(cleanup, "MAX_FILES", 2)
    first, second = made(acme.api), made(acme.api)
    body = assert_error(ask(acme.api), 409, "not_finished")
    assert "exports are not finished yet" in body["message"]
    made(globex.api)
    work()
    third = made(acme.api)
    work()
    assert [state(acme.api, job)["state"] for job in (first, second, third)] == [
        "expired", "done", "done",
    ]  # fmt: skip


def test_the_chosen_contacts_of_the_admin_are_never_taken_for_all_contacts(
    acme: SimpleNamespace, people: Any
) -> None:
    ids = export.select_ids(acme.tenant.contacts.filter(name="P3"))
    job = background.plan_chosen(acme.tenant, "user:1", "csv", ids)
    lost = background.plan_chosen(acme.tenant, "user:1", "csv", ids)
    (storage.folder_of(lost) / "ids").unlink()
    work()
    assert len(content(acme.api, {"id": job.pk}).splitlines()) == 2
    told = state(acme.api, {"id": lost.pk})
    assert (told["state"], told["problem"]) == ("refused", background.GONE)


def test_the_answers_are_those_of_the_schema_and_like_its_examples(acme: SimpleNamespace) -> None:
    ContactFactory.create(
        tenant=acme.tenant, phone=ROMAIN["phone"], name=ROMAIN["name"], email=ROMAIN["email"],
        tags=ROMAIN["tags"],
    )  # fmt: skip
    schema = Api().get("/api/v1/openapi.json").json()
    body: Any = EXAMPLES["create-export"][0]
    job = made(acme.api, **body)
    shape(schema, operations(schema)["create-export"]["responses"]["202"]).validate(job)
    work()
    told = state(acme.api, job)
    shape(schema, operations(schema)["get-export"]["responses"]["200"]).validate(told)
    example = EXAMPLES["get-export"][1]
    assert list(told) == list(job) == list(example)
    same = ("state", "format", "filters", "total", "written", "problem")
    assert [told[name] for name in same] == [example[name] for name in same]
    assert content(acme.api, job).decode() == EXAMPLES["get-export-file"][1]
