"""How much commands print: a summary, `--quiet`, `--verbosity 2`, progress, and `--help`."""

import io
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from contacts.importing.engine import Importer
from contacts.management import progress
from contacts.models import Contact
from tenants.management.base import BaseCommand
from tests.support.factories import ContactFactory
from tests.support.imports import write

pytestmark = pytest.mark.django_db

COMMANDS = sorted(name for name, app in get_commands().items() if app in ("contacts", "tenants"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*words: str, stderr: io.StringIO | None = None) -> tuple[list[str], list[str]]:
    """The lines on standard output and on standard error."""
    out, err = io.StringIO(), stderr or io.StringIO()
    with suppress(SystemExit):
        call_command(*words, stdout=out, stderr=err)
    return out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.fixture
def people(acme: SimpleNamespace) -> None:
    """Thirty contacts that `normalize_phones` changes, and thirty that it refuses to change."""
    for number in range(10, 40):
        ContactFactory.create(tenant=acme.tenant, phone=f"+44020794609{number}", tags=["a"])
        ContactFactory.create(tenant=acme.tenant, phone=f"+9{number}")


@pytest.mark.usefixtures("people")
def test_a_command_prints_twenty_lines_all_lines_or_errors_only() -> None:
    command = ["normalize_phones", "--tenant", "acme", "--dry-run"]
    out, err = run(*command)
    assert (len(out), err) == (18, [])
    assert out[-4:] == [
        "and 23 more: --verbosity 2 lists all",
        "and 23 more that were not changed: --verbosity 2 lists all",
        "dry run: phones changed: 30", "not changed, see above: 30",
    ]  # fmt: skip
    out, err = run(*command, "--verbosity", "2")
    assert (len(out), err) == (62, [])
    out, err = run(*command, "--quiet")
    assert (len(out), len(err)) == (0, 9)
    assert all("+9" in line for line in err[:7])
    assert run("retag", "--rename", "a=b", "--tenant", "acme", "--quiet") == ([], [])
    assert Contact.objects.with_tag("b").count() == 30


def test_an_import_prints_twenty_lines_all_lines_or_errors_only(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    header = ["phone", "email", "other", *(f"tag {number}" for number in range(9))]
    mapped = [f"--map=tag {number}=metadata.m{number}" for number in range(9)]
    bad = [["nonsense"] * 3 for _ in range(9)]
    warned = [[f"+1415555010{number}", "nonsense"] for number in range(9)]
    file = write(tmp_path / "x.csv", header, *bad, *warned)
    command = ["import_contacts", str(file), "--tenant", "acme", *mapped]
    out, err = run(*command, "--dry-run")
    assert (len(out), err) == (18, [])
    assert {"and 6 more columns: --verbosity 2 lists all", "and 6 more: --verbosity 2 lists 9"} < {
        *out
    }
    assert len(run(*command, "--dry-run", "--verbosity", "2")[0]) == 33
    out, err = run(*command, "--quiet")
    assert (out, len(err)) == ([], 1)
    assert err[0].startswith("failed records, with the reasons: ")


@pytest.mark.usefixtures("people")
def test_what_a_command_is_asked_for_is_printed_with_quiet_too(acme: SimpleNamespace) -> None:
    assert run("export_contacts", "--tenant", "acme")[1] == [], "too fast for lines of progress"
    out, _ = run("export_contacts", "--tenant", "acme", "--quiet")
    assert len(out) == 61
    [line], _ = run("create_token", acme.user.email, "--quiet")
    assert line.startswith("export QYVO_TOKEN=qyvo_")


@pytest.mark.usefixtures("people")
def test_progress_has_the_total_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["record_consent", "--tag", "a", "--status", "opted_out", "--tenant", "acme"]
    command += ["--batch-size", "10", "--dry-run"]
    for name in ("ON_TERMINAL", "IN_LOG"):
        monkeypatch.setattr(progress, name, 0)
    moments = iter(range(10_000))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    _, err = run(*command)
    assert [line.rpartition(",")[0] for line in err if line] == [
        f"{done} of 30 contacts, {share} %" for done, share in ((10, 33), (20, 66), (30, 100))
    ]
    assert all(line.endswith(" s left") for line in err)
    terminal = Terminal()
    run(*command, stderr=terminal)
    assert "\n" not in terminal.getvalue()
    assert "\r\x1b[K20 of 30 contacts, 66 %, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K"), "the line is gone in the end"
    assert run(*command, "--quiet") == ([], [])


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.6, "10 s"), (61, "1 min"), (3599, "1 h 0 min"), (8000, "2 h 13 min")]
)
def test_the_time_left_is_in_the_units_of_people(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_the_help_of_each_command_describes_all_options_and_has_an_example_that_it_takes() -> None:
    for name in COMMANDS:
        command = load_command_class(get_commands()[name], name)
        assert isinstance(command, BaseCommand), name
        parser = command.create_parser("manage.py", name)
        assert command.help, name
        assert all(action.help for action in parser._actions), name
        shown = parser.format_help()
        assert f"Example:\n  manage.py {name} {command.example}".rstrip() in shown
        parser.parse_args([*shlex.split(command.example), "--quiet"])  # raises if it is wrong


class Closed(io.StringIO):
    """An output that nobody reads after its first line, as of `| head -1`."""

    def write(self, text: str) -> int:
        if self.getvalue():
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.usefixtures("people")
def test_a_fix_that_stops_before_its_end_says_so_and_how_to_undo_it() -> None:
    command = ["retag", "--rename", "a=b", "--tenant", "acme", "--batch-size", "10"]
    for options, count in ((["--dry-run"], 0), ([], 10)):
        err = io.StringIO()
        with pytest.raises(BrokenPipeError):
            call_command(*command, *options, stdout=Closed(), stderr=err)
        assert Contact.objects.with_tag("b").count() == count
    stopped, undo = err.getvalue().splitlines()
    assert stopped == "Stopped before the end: a part was changed, and stays so."
    call_command(*undo.partition("manage.py ")[2].split(), stdout=io.StringIO())
    assert not Contact.objects.with_tag("b").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_import_that_stops_before_its_end_says_how_to_continue_it(
    acme: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    def run(importer: Importer) -> None:
        raise error

    monkeypatch.setattr(Importer, "run", run)
    file = write(tmp_path / "x.csv", ["phone"], ["+14155550100"])
    err = io.StringIO()
    with pytest.raises((KeyboardInterrupt, CommandError)):
        call_command("import_contacts", str(file), "--tenant", "acme", stderr=err)
    assert err.getvalue() == "To continue this import, add --resume to the command.\n"


def test_an_export_to_what_is_no_file_leaves_it_in_its_place(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        call_command("export_contacts", "--tenant", "acme", "--output", str(pipe))
        assert read.result().startswith("phone,")
    assert pipe.is_fifo()
