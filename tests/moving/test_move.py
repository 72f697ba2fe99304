"""`move_from_qyvo`: all contacts of a hosted account come in, whatever happens on the way."""

import io
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from contacts import erasing
from contacts.importing.engine import Importer
from contacts.importing.storage import errors_of, spool_folder
from contacts.jobs.files import data_folder
from contacts.models import Change, Contact, Import
from contacts.moving import mcp
from tests.support.commands import lines
from tests.support.hosted import TOKEN, Hosted, hosting, person
from tests.support.sql import assert_links_match_tags

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the command has waited, which takes no time here."""
    waited: list[float] = []
    monkeypatch.setattr(mcp, "sleep", waited.append)
    return waited


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Hosted]:
    monkeypatch.setenv("QYVO_HOSTED_TOKEN", TOKEN)
    with hosting([person(number) for number in range(250)]) as hosted:
        yield hosted


def bring(hosted: Hosted, *options: str, tenant: str = "acme") -> tuple[int, list[str]]:
    """The exit status of the command, and the lines that it prints."""
    out = io.StringIO()
    words = ["--tenant", tenant, "--base-url", hosted.url, *options]
    status = 0
    try:
        call_command("move_from_qyvo", *words, stdout=out, stderr=io.StringIO())
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, out.getvalue().splitlines()


def left_over() -> list[str]:
    return [path.name for path in data_folder("imports").iterdir() if path.is_dir()]


@pytest.mark.both
def test_contacts_come_in_with_tags_metadata_and_consent(
    acme: SimpleNamespace, globex: SimpleNamespace, hosted: Hosted
) -> None:
    hosted.contacts = [
        person(1, name="Zoé 山田 أحمد", email="Zoe@example.com", locale="fr",
               tags=[{"id": 1, "name": "vip"}, {"id": 2, "name": "fr-FR, new"}],
               metadata={"city": "Köln", "n": [1, 2.5, None], "--": "--"}),
        person(2, name="--", tags=[], opted_in_at="2026-04-15T10:32:00.000000Z"),
        person(3, opted_in_at="2026-04-15T10:32:00+00:00", opted_out_at="2026-05-01 08:00:00"),
        person(4, opted_out_at="2999-01-01T00:00:00Z"),
    ]  # fmt: skip
    status, printed = bring(hosted)
    assert (status, printed[0]) == (0, "account 4, read 4")
    assert printed[1] == "created 4, updated 0, unchanged 0, superseded 0, failed 0"
    zoe, dashes, out, future = acme.tenant.contacts.order_by("phone")
    assert (zoe.name, zoe.email, zoe.locale) == ("Zoé 山田 أحمد", "Zoe@example.com", "fr")
    assert zoe.tags == ["vip", "fr-FR", "new"]
    assert zoe.metadata == {"city": "Köln", "n": [1, 2.5, None], "--": "--"}
    assert (dashes.name, dashes.tags, dashes.opted_out_at) == ("--", [], None)
    assert f"{dashes.opted_in_at:%Y-%m-%d %H:%M}" == "2026-04-15 10:32"
    assert f"{out.opted_out_at:%Y-%m-%d %H:%M}" == "2026-05-01 08:00"
    assert future.opted_out_at, "a clock that is wrong opts nobody in"
    opted_out = Change.objects.filter(kind="opted_out").order_by("pk")
    assert [change.contact_id for change in opted_out] == [out.pk, future.pk]
    assert_links_match_tags()
    assert not globex.tenant.contacts.exists()
    assert not left_over()
    del hosted.contacts[3]
    assert bring(hosted)[1][1] == "created 0, updated 0, unchanged 3, superseded 0, failed 0"


def test_nobody_who_has_opted_out_here_is_opted_in(acme: SimpleNamespace, hosted: Hosted) -> None:
    hosted.contacts = [person(1, opted_in_at="2026-04-15T10:32:00Z")]
    acme.api.create(phone="+14155550001")
    acme.api.act("record-consent", phone="+14155550001", status="opted_out",
                 at="2026-01-01T00:00:00Z")  # fmt: skip
    assert acme.tenant.contacts.get().opted_out_at
    bring(hosted)
    assert acme.tenant.contacts.get().opted_out_at


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_answers_are_json_or_events_and_structured_or_text(
    acme: SimpleNamespace, hosted: Hosted, streams: bool, structured: bool
) -> None:
    hosted.streams, hosted.structured, hosted.most = streams, structured, 40
    assert bring(hosted)[0] == 0
    assert acme.tenant.contacts.count() == 250
    assert hosted.pages() == [1, 2, 3, 4, 5, 6, 7]


def test_the_rate_limit_a_fault_and_a_session_that_ends_only_delay(
    acme: SimpleNamespace, hosted: Hosted, waits: list[float]
) -> None:
    def disturb(page: int) -> None:
        if page == 1:
            hosted.answers = [(429, {"Retry-After": "23"}), (503, {}), (429, {"Retry-After": "0"})]
        elif page == 2:
            hosted.session = "two"

    hosted.before = disturb
    assert bring(hosted)[0] == 0
    assert waits == [23, 4, 0, 0]
    assert acme.tenant.contacts.count() == 250


def test_contacts_that_move_between_pages_are_not_lost(
    acme: SimpleNamespace, hosted: Hosted
) -> None:
    def change(page: int) -> None:
        if len(hosted.pages()) == 2:
            del hosted.contacts[0]  # the first one of the second page is now on the first page

    moved = hosted.contacts[100]["phone"]
    hosted.before = change
    status, printed = bring(hosted)
    assert (status, printed[0]) == (0, "account 249, read 249")
    assert hosted.pages() == [1, 2, 3, 1, 2, 3]
    assert acme.tenant.contacts.filter(phone=moved).exists()
    assert not acme.tenant.contacts.filter(phone="+14155550000").exists(), "it is gone there"


def test_an_account_that_never_stands_still_is_brought_and_the_difference_told(
    acme: SimpleNamespace, hosted: Hosted
) -> None:
    def change(page: int) -> None:
        if page == 2:
            del hosted.contacts[0]

    hosted.before = change
    status, printed = bring(hosted)
    assert (status, printed[0]) == (1, "account 247, read 250")
    assert acme.tenant.contacts.count() == 250, "each contact that was shown, once"
    assert "Run the command again" in printed[-1]


def interrupt(hosted: Hosted, at: int) -> None:
    """Begins a move, which ends before this page."""
    hosted.before = lambda page: hosted.answers.extend([(403, {})] * (page == at - 1))
    with pytest.raises(CommandError, match=r"refuses the token \(403\)"):
        bring(hosted)
    hosted.before = lambda page: None
    hosted.called.clear()


def test_a_move_that_was_interrupted_goes_on(acme: SimpleNamespace, hosted: Hosted) -> None:
    interrupt(hosted, at=3)
    [job] = Import.objects.all()
    assert bring(hosted)[0] == 0
    assert hosted.pages() == [3]
    assert acme.tenant.contacts.count() == 250
    assert [*Import.objects.values_list("pk", "state", "created")] == [(job.pk, "done", 250)]
    assert not left_over()


def test_a_move_whose_pages_are_complete_goes_on_with_the_import(
    acme: SimpleNamespace, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Importer, "write", broken)
        with pytest.raises(CommandError, match="disk"):
            bring(hosted)
    hosted.called.clear()
    assert bring(hosted) == (0, [
        "account 250, read 250", "created 250, updated 0, unchanged 0, superseded 0, failed 0",
    ])  # fmt: skip
    assert not hosted.called


def broken(*given: object) -> None:
    raise OSError("The disk is gone.")


def test_the_pages_of_two_accounts_do_not_mix(acme: SimpleNamespace, hosted: Hosted) -> None:
    interrupt(hosted, at=3)
    hosted.token = "other"
    hosted.contacts = [person(1000)]
    bring(hosted, "--token", "other")
    assert hosted.pages() == [1]
    assert acme.tenant.contacts.count() == 1


def test_an_interrupted_move_keeps_no_page_with_an_erased_person(
    acme: SimpleNamespace, hosted: Hosted
) -> None:
    interrupt(hosted, at=3)
    [job] = Import.objects.all()
    erasing.erase(acme.tenant, "+14155550001")
    files = [path for path in spool_folder(job).iterdir() if path.is_file()]
    assert not any(b"14155550001" in path.read_bytes() for path in files)
    assert bring(hosted)[0] == 1
    assert (hosted.pages(), acme.tenant.contacts.count()) == ([1, 2, 3], 249)


def test_a_dry_run_counts_and_leaves_nothing(acme: SimpleNamespace, hosted: Hosted) -> None:
    hosted.contacts = [person(1), person(2, phone="12"), person(3, phone="+5215512345678"),
                       person(4, phone="+525512345678")]  # fmt: skip
    status, printed = bring(hosted, "--dry-run")
    assert status == 1
    assert printed[1] == "dry run: created 2, updated 0, unchanged 0, superseded 1, failed 1"
    assert (Contact.objects.count(), Import.objects.count(), left_over()) == (0, 0, [])
    status, printed = bring(hosted)
    assert printed[1] == "created 2, updated 0, unchanged 0, superseded 1, failed 1"
    job = Import.objects.get()
    assert str(errors_of(job)) in printed[-1]
    assert ",12," in errors_of(job).read_text()


def test_a_move_is_undone_by_its_change_set(acme: SimpleNamespace, hosted: Hosted) -> None:
    bring(hosted)
    assert acme.tenant.contacts.count() == 250
    lines("undo", "--change-set", Import.objects.get().pk)
    assert not acme.tenant.contacts.exists()


def test_erased_people_do_not_come_back(acme: SimpleNamespace, hosted: Hosted) -> None:
    hosted.contacts = [person(1), person(2)]
    acme.api.create(phone="+14155550001")
    erasing.erase(acme.tenant, "+14155550001")
    status, printed = bring(hosted)
    assert status == 1
    assert printed[1] == "created 1, updated 0, unchanged 0, superseded 0, failed 1"
    assert acme.tenant.contacts.get().phone == "+14155550002"
    assert "+14155550001" not in errors_of(Import.objects.get()).read_text()
    assert bring(hosted, "--allow-erased")[0] == 0


def test_details_are_read_one_by_one_only_if_asked(acme: SimpleNamespace, hosted: Hosted) -> None:
    hosted.contacts = [person(1), person(2)]
    for contact in hosted.contacts:
        del contact["metadata"]
    bring(hosted, "--details")
    assert acme.tenant.contacts.get(phone="+14155550002").metadata == {"of": "2"}


def test_a_list_without_consent_is_refused(acme: SimpleNamespace, hosted: Hosted) -> None:
    for contact in hosted.contacts:
        del contact["opted_out_at"]
    with pytest.raises(CommandError, match=r"does not show opted_out_at; try --details"):
        bring(hosted)
    assert (Contact.objects.count(), Import.objects.count(), left_over()) == (0, 0, [])


def test_an_empty_account_is_no_import(acme: SimpleNamespace, hosted: Hosted) -> None:
    hosted.contacts = []
    assert bring(hosted)[1][0] == "account 0, read 0"
    assert (Import.objects.count(), left_over()) == (0, [])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--base-url", "http://www.qyvo.io"], "must begin with https"),
        (["--base-url", "https://user:pass@www.qyvo.io"], "without user"),
        (["--base-url", "www.qyvo.io"], "such as https://www.qyvo.io"),
        (["--token", "wrong"], r"refuses the token \(401\)"),
        (["--token", " "], "QYVO_HOSTED_TOKEN"),
        (["--tenant", "nobody"], "There is no tenant"),
    ],
)
def test_a_wrong_argument_changes_nothing(
    acme: SimpleNamespace, hosted: Hosted, monkeypatch: pytest.MonkeyPatch,
    options: list[str], problem: str,
) -> None:  # fmt: skip
    if options[0] == "--token" and not options[1].strip():
        monkeypatch.delenv("QYVO_HOSTED_TOKEN")
    with pytest.raises(CommandError, match=problem):
        bring(hosted, *options)
    assert (Contact.objects.count(), Import.objects.count(), left_over()) == (0, 0, [])


def test_the_token_does_not_follow_a_redirect(acme: SimpleNamespace, hosted: Hosted) -> None:
    with hosting([]) as other:
        hosted.answers = [(307, {"Location": f"{other.url}/mcp"})]
        with pytest.raises(CommandError, match=f"has moved to {other.url}"):
            bring(hosted)
        assert not other.called


def test_the_token_may_come_from_standard_input(
    acme: SimpleNamespace, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QYVO_HOSTED_TOKEN")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))
    assert bring(hosted, "--token", "-")[0] == 0
