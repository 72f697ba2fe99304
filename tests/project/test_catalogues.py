"""The catalogues of translations: each has the texts of the code, no others, and all translated.
How texts are found in the code, and how catalogues are compiled."""

import ast
import gettext
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from qyvo import catalogues
from qyvo.catalogues import Entry, compile_stale, read, stale
from tests.support import messages
from tests.support.messages import BRACES, FUNCTIONS, PLURALS, VALUE, all_messages

TAG = re.compile(r"</?\w[^>]*>")
# A language without a catalogue is not offered to anybody.
LANGUAGES = [language for language in PLURALS if messages.catalogue(language).exists()]
SAMPLE = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

#: contacts/admin/x.py
msgid "Merge"
msgstr "Fusionner"

#, python-format
msgctxt "noun"
msgid "Merge"
msgstr "Fusion"

msgid "%(count)s contact"
msgid_plural "%(count)s contacts"
msgstr[0] "%(count)s contact"
msgstr[1] ""
"%(count)s "
"contacts “à voir”"

#, fuzzy
msgid "Guessed"
msgstr "Deviné"

msgid "Later"
msgstr ""

#~ msgid "Gone"
#~ msgstr "Parti"
"""


# The catalogues of the project


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_as_make_messages_writes_it(language: str) -> None:
    """So it has all texts of the code and no others, and the next change of it is small."""
    path = messages.catalogue(language)
    assert path.read_text(encoding="utf-8") == messages.updated(language), "run make messages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_text_is_translated_with_its_values_and_its_markup(language: str) -> None:
    entries = messages.translations(language)
    assert entries.keys() == all_messages().keys()
    problems = {
        entry.msgid: problem for entry in entries.values() if (problem := problem_of(entry))
    }
    assert not problems, problems


def problem_of(entry: Entry) -> str:
    if not entry.is_translated:
        return "not translated"
    originals = [text for text in (entry.msgid, entry.plural) if text is not None]
    for text in entry.strings:
        for what in (parts_of, spaces_of):
            if what(text) not in map(what, originals):
                return f"“{text}” has other values, markup or spaces at its ends"
    return ""


def parts_of(text: str) -> list[list[str]]:
    """What a translation must have like its text: values, markup, and no percent sign that Python
    would take for the beginning of a value."""
    rest = VALUE.sub("", text)
    values = {value for value in VALUE.findall(text) if value != "%%"}
    return [sorted(values), sorted({*BRACES.findall(text)}), sorted(TAG.findall(text)),
            ["%"] * ("%" in rest)]  # fmt: skip


def spaces_of(text: str) -> tuple[bool, bool]:
    """A text without a letter may be a space in another language: what stands between thousands."""
    return text[:1].isspace() and text != "\xa0", text[-1:].isspace() and text != "\xa0"


@pytest.mark.parametrize(
    ("msgid", "translated", "is_right"),
    [
        ("%(n)s of <b>%(m)s</b>", "<b>%(m)s</b>: %(n)s", True),
        ("%(n)s of <b>%(m)s</b>", "<b>%(m)</b>: %(n)s", False),
        ("%(n)s of all", "%(number)s von allen", False),
        ("%(n)s %%", "%(n)s %%", True),
        ("%(n)s %%", "%(n)s %", False),
        ("See {link}", "{Link} sehen", False),
        ("A <b>b</b>", "A <b>b<b>", False),
        ("Name: ", "Name:", False),
        ("All", "", False),
    ],
)
def test_a_translation_that_lacks_something_is_found(
    msgid: str, translated: str, is_right: bool
) -> None:
    assert (problem_of(Entry(msgid, strings=[translated])) == "") == is_right


# Compiling


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "fr" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.write_text(SAMPLE, encoding="utf-8")
    return tmp_path


def test_a_compiled_catalogue_has_what_is_translated(folder: Path) -> None:
    assert [path.name for path in compile_stale(folder)] == ["django.po"]
    french = gettext.translation("django", folder, ["fr"])
    assert french.gettext("Merge") == "Fusionner"
    assert french.pgettext("noun", "Merge") == "Fusion"
    shown = [french.ngettext("%(count)s contact", "%(count)s contacts", n) for n in (0, 1, 2)]
    assert shown == ["%(count)s contact"] * 2 + ["%(count)s contacts “à voir”"]
    for text in ("Guessed", "Later", "Gone"):
        assert french.gettext(text) == text


def test_only_stale_catalogues_are_compiled(folder: Path) -> None:
    [source] = stale(folder)
    compile_stale(folder)
    assert stale(folder) == compile_stale(folder) == []
    made = source.with_suffix(".mo")
    os.utime(made, (0, 0))
    assert stale(folder) == [source]
    compile_stale(folder)
    assert made.stat().st_mtime >= source.stat().st_mtime
    assert {path.suffix for path in source.parent.iterdir()} == {".po", ".mo"}


def test_a_broken_catalogue_is_named(folder: Path) -> None:
    [source] = stale(folder)
    source.write_text(f"{SAMPLE}\n<<<<<<< HEAD\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"line {len(SAMPLE.splitlines()) + 2}: <<<<<<<"):
        compile_stale(folder)


def test_a_check_names_catalogues_that_are_not_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogues.stale, "__defaults__", (folder,))
    warnings = [found for found in run_checks(include_deployment_checks=True)
                if found.id == "qyvo.W007"]  # fmt: skip
    assert [str(stale(folder)[0]) in found.msg for found in warnings] == [True]
    compile_stale(folder)
    assert "qyvo.W007" not in {found.id for found in run_checks(include_deployment_checks=True)}


def test_a_catalogue_can_be_read_and_written_again(folder: Path) -> None:
    entries = read(stale(folder)[0])
    text = "\n".join(map(messages.written, entries))
    copy = folder / "copy.po"
    copy.write_text(text, encoding="utf-8")
    assert read(copy) == entries
    assert [entry.key for entry in entries if entry.is_fuzzy] == [(None, "Guessed")]


# Finding texts


def found_in(folder: Path, name: str, text: str) -> list[tuple[Any, ...]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return [(e.context, e.msgid, e.plural) for e in messages.messages_in(path)]


def test_texts_are_found_in_modules(tmp_path: Path) -> None:
    text = """
x = _("One") + _lazy("Two" " and more") + gettext_noop("Three")
y = ngettext("%(count)s tag", "%(count)s tags", n) % {"count": n}
z = translation.pgettext("noun", "Merge"), pgettext_lazy("verb", "Open"), _(x)
"""
    assert found_in(tmp_path, "a.py", text) == [
        (None, "One", None), (None, "Two and more", None), (None, "Three", None),
        (None, "%(count)s tag", "%(count)s tags"), ("noun", "Merge", None), ("verb", "Open", None),
    ]  # fmt: skip


@pytest.mark.parametrize("call", ['_(f"{n} tags")', '_("Tag " + name)', '_("%s tags" % n)'])
def test_a_text_that_is_put_together_is_refused(call: str) -> None:
    [node] = [node for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call)]
    with pytest.raises(ValueError, match="mark the whole text"):
        messages.entry_of(node.args, FUNCTIONS["_"], "a.py")


def test_texts_are_found_in_templates(tmp_path: Path) -> None:
    text = """
{% load i18n %}<p title="{% translate 'One' %}">{% translate "It's 5 %" context "noun" %}</p> it's (
{% include "x.html" with empty=_("No tags") %}{{ name|default:_("nobody") }} {# gettext('x') #}
{% blocktranslate trimmed with a=b %}
  <b>{{ a }}</b> of
  all{% endblocktranslate %}
{% blocktranslate count n=tags|length %}{{ n }} tag{% plural %}{{ n }} tags{% endblocktranslate %}
"""
    assert found_in(tmp_path, "a.html", text) == [
        (None, "One", None), ("noun", "It's 5 %%", None), (None, "No tags", None),
        (None, "nobody", None), (None, "<b>%(a)s</b> of all", None),
        (None, "%(n)s tag", "%(n)s tags"),
    ]  # fmt: skip
