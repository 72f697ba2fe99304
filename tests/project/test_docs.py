"""The documentation is true: its commands run, its tables are complete, its links resolve."""

import ast
import io
import json
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from contacts.importing import uploads
from contacts.models import EVENTS, Webhook
from contacts.models.webhook import TEST_EVENT
from qyvo import api
from qyvo.environment import env
from qyvo.views import openapi
from tenants.roles import ROLES
from tests.support.admin_pages import PICTURES
from tests.support.documents import (
    ADDRESS,
    DOCUMENTS,
    PAGES,
    TEXT,
    blocks,
    first_column,
    prose,
    slugs,
    table,
    vector,
)
from tests.support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
ULID = r"\b01[0-9A-HJKMNP-TV-Z]{24}\b"
# Code words that begin so are paths of this repository.
FOLDERS = ("qyvo/", "tenants/", "contacts/", "templates/", "tests/", "docs/", ".ci/")
# Run by .ci/run itself and by tests/system/fresh_clone.py, which it runs.
RUN_BY_CI = {
    "make run",
    "make test",
    "DATABASE_URL=postgres://user:password@localhost/qyvo make run",
}


def commands() -> Iterator[str]:
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("curl"):
                if command := line.partition("  #")[0].partition(" #")[0].strip():
                    yield command
            else:
                break  # one request, to the end of its block


# Commands


@pytest.mark.django_db
def test_every_command_runs(capsys: pytest.CaptureFixture) -> None:
    seen = set()
    for command in commands():
        if command in RUN_BY_CI:
            seen.add(command)
            continue
        python, manage, *words = shlex.split(command)
        assert (python, manage) == (".venv/bin/python", "manage.py"), command
        call_command(*words)
    assert seen == RUN_BY_CI
    assert "export QYVO_TOKEN=qyvo_" in capsys.readouterr().out


@pytest.mark.django_db
def test_every_session_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acme: SimpleNamespace, settings: Any
) -> None:
    """`cat` shows a file that is there; the first one makes it."""
    acme.tenant.slug = "acme-co"
    acme.tenant.save()
    monkeypatch.chdir(tmp_path)
    settings.DATA_DIR = tmp_path / "data"
    run, change_set = 0, ""
    for step in re.split(r"^\$ ", "".join(blocks("console")), flags=re.MULTILINE)[1:]:
        command, _, shown = step.partition("\n")
        tool, *words = shlex.split(command)
        if tool == "cat":
            file = Path(words[0])
            if not file.exists():
                file.write_text(shown)
            assert file.read_text().replace("\r\n", "\n") == shown
            continue
        if tool == "curl":
            answer = api_answer(acme, words)
            assert shape_of(answer) == shape_of(json.loads(shown))
            uploads.run_import.call(answer["id"])
            continue
        assert tool == "manage"
        out = io.StringIO(newline="")
        words = [change_set if re.fullmatch(ULID, word) else word for word in words]
        with suppress(SystemExit):
            call_command(*words, stdout=out, stderr=out)
        printed = out.getvalue().replace("\r\n", "\n")
        assert re.sub(ULID, "ID", printed) == re.sub(ULID, "ID", shown), command
        change_set = next(iter(re.findall(ULID, printed)), change_set)
        run += 1
    assert run >= 12


def api_answer(member: SimpleNamespace, words: list[str]) -> Any:
    """What curl would print of a form sent with these words."""
    fields: dict[str, Any] = dict(
        word.split("=", 1) for flag, word in pairwise(words) if flag == "-F"
    )
    path = Path(fields["file"].removeprefix("@"))
    fields["file"] = SimpleUploadedFile(path.name, path.read_bytes())
    [address] = [word.removeprefix(ADDRESS) for word in words if word.startswith(ADDRESS)]
    return member.api.client.post(address, fields, headers=member.api.headers).json()


def shape_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from day to day."""
    return answer | {"id": len(answer["id"]), "started_at": len(answer["started_at"])}


def test_every_command_named_in_the_text_exists() -> None:
    from django.core.management import get_commands

    text = "\n".join(DOCUMENTS.values())
    for name in re.findall(r"manage\.py\s+([a-z]\w*)", text):
        assert name in get_commands(), name
    for target in re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_the_table_of_commands_is_what_the_apps_have() -> None:
    from django.core.management import get_commands

    own = {name for name, app in get_commands().items() if app in ("contacts", "tenants")}
    assert first_column("| command |") == own


def test_the_vector_shown_is_how_deliveries_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, body, signature = vector()
    monkeypatch.setattr(Webhook, "secret_of", lambda self, salt: secret)
    at = datetime.fromtimestamp(int(signature.partition(",")[0].removeprefix("t=")), UTC)
    assert Webhook().signature(body.encode(), at) == signature


# Tables


def test_the_table_of_variables_is_what_the_settings_and_the_makefile_read() -> None:
    made = set(re.findall(r"^(\w+) \?=", MAKEFILE, re.MULTILINE))
    assert first_column("| variable |") == {*env.scheme, *made, "TEST_DATABASE_URL"}


def test_the_settings_read_every_variable_of_their_scheme_and_no_other() -> None:
    tree = ast.parse((ROOT / "qyvo/settings.py").read_text())
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "env"
        and isinstance(node.args[0], ast.Constant)
    }
    assert read == set(env.scheme)
    for path in [*ROOT.glob("qyvo/*.py"), *ROOT.glob("[ct]*s/**/*.py")]:
        if "tests" not in path.parts:
            assert "os.environ[" not in path.read_text(), path
            assert "getenv" not in path.read_text(), path


def test_the_example_file_lists_the_variables_with_their_defaults() -> None:
    lines = re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [name for name, _ in lines] == sorted(env.scheme)
    for name, value in lines:
        _, default = env.scheme[name]
        text = ",".join(default) if isinstance(default, list) else str(default)
        assert value == {"True": "true", "False": "false"}.get(text, text).replace(f"{ROOT}/", "")


def test_the_table_of_errors_has_every_code() -> None:
    from contacts.api.contacts import PhoneIsTaken
    from tenants.views import NoWorkspace

    codes = {code for code, _ in api.ERRORS.values()}
    codes |= {"bad_request", NoWorkspace.contract_code, PhoneIsTaken.contract_code}
    assert {code.strip("`") for _, code, _ in table("| status | `code` |")} == codes


def test_the_tables_of_actions_are_what_is_served() -> None:
    from contacts.api.urls import actions

    served = {pattern.name for pattern in actions}
    assert first_column("| action | body |") == served
    assert first_column("| action | what it does |") == served


def test_the_table_of_fields_is_what_create_contact_reads() -> None:
    from contacts.api.contacts import ContactInput

    assert first_column("| field |") == set(ContactInput().fields)


def test_every_test_that_proves_a_requirement_exists() -> None:
    defined = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for requirement, _, tests in table("| requirement |"):
        proofs = re.findall(r"`(test_\w+)`", tests)
        assert proofs, requirement
        for name in proofs:
            assert f"def {name}(" in defined, name


def test_the_table_of_events_is_what_webhooks_send() -> None:
    assert first_column("| event |") == {*EVENTS, TEST_EVENT}


def test_the_table_of_requests_is_what_webhooks_serve() -> None:
    served = {
        f"{method.upper()} {path.replace('{id}', 'ID')}"
        for path, operations in openapi()["paths"].items()
        for method in operations
        if path.startswith("/api/v1/webhooks")
    }
    assert first_column("| request |") == served


def test_the_table_of_roles_has_every_role() -> None:
    assert [role.strip("*") for role, _ in table("| role |")] == [*ROLES]


# The documents together


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_every_page_is_linked_from_the_readme() -> None:
    for name in PAGES.keys() - {"README.md"}:
        assert f"]({name})" in PAGES["README.md"], name


def links(name: str) -> Iterator[tuple[Path, str]]:
    """The file and the anchor of each link of the document `name` that stays in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(DOCUMENTS[name])):
        if not target.startswith(("https://", "http://")):
            path, _, anchor = target.partition("#")
            yield (ROOT / name).parent / path if path else ROOT / name, anchor


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_and_anchor_resolves(name: str) -> None:
    for path, anchor in links(name):
        assert path.is_file(), path
        assert not anchor or anchor in slugs(path.read_text()), f"{path}#{anchor}"


def test_pictures_are_small_and_made_by_a_test_and_said_in_words() -> None:
    shown = {path.resolve() for name in PAGES for path, _ in links(name) if path.suffix == ".webp"}
    assert shown == {ROOT / f"docs/pictures/{name}.webp" for name in PICTURES}
    assert shown == {*ROOT.glob("docs/**/*.webp"), *ROOT.glob("docs/**/*.png")}
    for path in shown:
        assert path.stat().st_size < 200_000, path
    assert not re.findall(r"!\[\s*\]", TEXT)


def test_every_file_that_a_document_names_exists() -> None:
    for name, text in DOCUMENTS.items():
        for path in re.findall(r"`([\w.-]+(?:/[\w.*-]+)*/?)`", prose(text)):
            if path.endswith(".py") or path.startswith(FOLDERS):
                assert [*ROOT.glob(path)], f"{name}: {path}"


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(
        r"^## \[?([\d.]+)\]? - \d{4}-\d{2}-\d{2}$", DOCUMENTS["CHANGELOG.md"], re.M
    )
    assert released[0] == version


# Architecture


APPS = ("qyvo", "tenants", "contacts")


def test_the_architecture_names_every_package_and_top_level_module() -> None:
    packages = {
        f"{path.parent.relative_to(ROOT)}/"
        for app in APPS
        for path in ROOT.glob(f"{app}/**/__init__.py")
    }
    modules = {str(path.relative_to(ROOT)) for app in APPS for path in ROOT.glob(f"{app}/*.py")}
    expected = packages | {name for name in modules if not name.endswith("/__init__.py")}
    assert not expected - named_in_architecture()


def test_the_architecture_names_only_what_exists() -> None:
    named = named_in_architecture()
    assert named
    for name in named:
        if "/" in name or name.endswith(".py"):
            path = ROOT / name
            assert path.is_dir() if name.endswith("/") else path.is_file(), name
        elif name.startswith(tuple(f"{app}." for app in APPS)):
            pkgutil.resolve_name(name)


def named_in_architecture() -> set[str]:
    """The paths and dotted names in code style, such as `qyvo/sqlite/` or `tenants.isolation`."""
    return {*re.findall(r"`(\w[\w./]*)`", prose(PAGES["docs/architecture.md"]))}
