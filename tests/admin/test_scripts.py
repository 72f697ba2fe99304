"""The texts of the admin's scripts are translated."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client

from qyvo import script_texts
from tests.support.paths import ROOT

# The scripts of the admin; `docs.js` belongs to the documentation of the API, which is in English.
SCRIPTS = [path for path in (ROOT / "qyvo/static/qyvo").glob("*.js") if path.name != "docs.js"]
CALL = re.compile(r'\bsaid\(\s*("(?:[^"\\\n]|\\.)*")')
ANY_CALL = re.compile(r"(?<!function )\bsaid\(")
# A text in quotes that begins like a word for people.
TEXT = re.compile(r"""(["'`])([A-Z][a-z][^"'`\n]*)\1""")
KEYS = {"Enter", "Tab", "Escape", "Backspace"}  # of the keyboard
COPIED = "</script>«Copié»"
DATA = re.compile(r'<script id="script-texts" type="application/json">(.*?)</script>')


def code_of(path: Path) -> str:
    """The script without its comments."""
    return re.sub(r"(?m)(^|\s)// .*$", "", path.read_text())


def test_the_list_has_the_texts_that_the_scripts_use_and_no_others() -> None:
    used = {json.loads(text) for path in SCRIPTS for text in CALL.findall(code_of(path))}
    assert len(used) > 30
    assert used == {*script_texts.TEXTS}
    assert len(script_texts.TEXTS) == len({*script_texts.TEXTS})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_look_up_literal_texts_only(path: Path) -> None:
    assert len(CALL.findall(code_of(path))) == len(ANY_CALL.findall(code_of(path)))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_of_a_script_is_left_in_english(path: Path) -> None:
    assert {text for _, text in TEXT.findall(CALL.sub("", code_of(path)))} <= KEYS


def test_a_page_has_the_translated_texts(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not DATA.search(staff.get("/admin/").content.decode()), "English needs none"
    monkeypatch.setattr(script_texts, "gettext", lambda text: text.replace("Copied", COPIED))
    found = DATA.search(staff.get("/admin/").content.decode())
    assert found
    assert json.loads(found[1]) == {"Copied": COPIED}


def test_the_login_has_the_translated_texts(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_texts, "gettext", str.upper)
    found = DATA.search(client.get("/admin/login/").content.decode())
    assert found
    assert json.loads(found[1]) == {text: text.upper() for text in script_texts.TEXTS}
