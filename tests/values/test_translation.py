"""The shared rules write in the language of their reader, and the API always in English."""

import re
from gettext import NullTranslations
from pathlib import Path
from threading import Event, Thread

import pytest
from django.utils import translation as of_django

from contacts.values import phones, rules, strict_json, translation
from contacts.values.defined_fields import DefinedField
from contacts.writing.undo import Kept, Reason
from tests.support.api import Api
from tests.support.german import teach_german
from tests.support.marking import write_catalogue
from tests.support.paths import ROOT

GERMAN = {
    "The phone contains no digits.": "Die Telefonnummer hat keine Ziffern.",
    "The %(field)s may have at most %(most)s characters; it has %(length)s.": (
        "%(field)s: höchstens %(most)s Zeichen, nicht %(length)s."
    ),
    "note": "Notiz",
    "%(label)s: %(expected)s.": "%(label)s: Erwartet wird %(expected)s.",
    "a text is expected": "ein Text",
    "yes or no is expected": "Ja oder Nein",
    "has changed since": "wurde seither geändert",
    "Not JSON: %(reason)s at %(place)s.": "Kein JSON: %(reason)s in %(place)s.",
    "Unterminated string starting": "Ein Text ohne Ende beginnt",
    "line %(line)s, column %(column)s": "Zeile %(line)s, Spalte %(column)s",
}
NO_DIGITS = "The phone contains no digits."


@pytest.fixture(autouse=True)
def german(monkeypatch: pytest.MonkeyPatch) -> None:
    teach_german(monkeypatch, GERMAN)


def test_a_rule_speaks_the_language_that_is_active() -> None:
    with of_django.override("de"):
        with pytest.raises(ValueError, match=r"^Die Telefonnummer hat keine Ziffern\.$"):
            phones.normalise("+")
        with pytest.raises(ValueError, match=r"^Notiz: höchstens 2000 Zeichen, nicht 2001\.$"):
            rules.note("x" * 2001)
        with pytest.raises(ValueError, match=r"^Kunde: Erwartet wird Ja oder Nein\.$"):
            DefinedField("customer", "Kunde", "yes_no").read("vielleicht")


def test_a_rule_speaks_english_where_no_language_is_active() -> None:
    with pytest.raises(ValueError, match=re.escape(NO_DIGITS)):
        phones.normalise("+")


def test_the_api_speaks_english_while_a_page_of_the_same_process_does_not(api: Api) -> None:
    speaks, may_end = Event(), Event()
    said: list[str] = []

    def page() -> None:
        with of_django.override("de"):
            said.append(translation.gettext(NO_DIGITS))
            speaks.set()
            may_end.wait(60)
            said.append(translation.gettext(NO_DIGITS))

    thread = Thread(target=page)
    thread.start()
    try:
        assert speaks.wait(60)
        answer = api.create("+")
    finally:
        may_end.set()
        thread.join()
    assert said == [GERMAN[NO_DIGITS]] * 2
    assert NO_DIGITS in answer.content.decode()


def test_a_request_that_breaks_no_rule_translates_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating and finding contacts is what a server does most."""
    monkeypatch.setattr(translation, "spoken", [None])
    fields = {"name": "Ann", "email": "ann@example.com", "tags": ["vip"], "metadata": {"a": 1}}
    answer = api.create("+14155550123", locale="fr-FR", **fields)
    assert answer.status_code == 201, answer.json()
    for query in ("ann", "415 555", "+1 415 555-0123"):
        answer = api.act("search-contacts", query=query)
        assert [found["name"] for found in answer.json()] == ["Ann"]


def test_the_names_of_fields_in_sentences_are_marked() -> None:
    """The names of the API's own fields are not: it speaks English."""
    named = re.compile(r"\b(?:limited|string|storable|too_long)\(\s*\"(\w+)\"")
    modules = [*(ROOT / "contacts").rglob("*.py")]
    found = {
        name
        for path in modules
        if "api" not in path.relative_to(ROOT).parts
        for name in named.findall(path.read_text())
    }
    assert {"note", "tag"} <= found <= {*rules.FIELD_NAMES}


def test_a_process_without_django_speaks_from_catalogues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_catalogue(tmp_path, "pt_BR", {NO_DIGITS: "O telefone não tem dígitos."})
    monkeypatch.setattr(translation, "spoken", [NullTranslations()])
    assert translation.gettext(NO_DIGITS) == NO_DIGITS
    translation.speak_from([str(tmp_path / "none"), str(tmp_path)], "pt_BR")
    assert translation.gettext(NO_DIGITS) == "O telefone não tem dígitos."
    assert translation.gettext("another text") == "another text"
    translation.speak_from([str(tmp_path)], "en_US")
    assert translation.gettext(NO_DIGITS) == NO_DIGITS
    assert translation.ngettext("one", "several", 2) == "several"


def test_plurals_and_contexts_stay_english_without_a_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for language in (NullTranslations(), of_django):
        monkeypatch.setattr(translation, "spoken", [language])
        assert [translation.ngettext("one", "several", number) for number in (0, 1, 2)] == [
            "several", "one", "several",
        ]  # fmt: skip
        assert translation.pgettext("verb", "Open") == "Open"


def test_what_is_wrong_with_json_is_said_in_the_language_that_is_active() -> None:
    with pytest.raises(strict_json.MalformedJSON, match="string starting at line 1, column 7"):
        strict_json.loads('{"a": "b')
    with of_django.override("de"), pytest.raises(strict_json.MalformedJSON) as refused:
        strict_json.loads('{"a": "b')
    assert str(refused.value) == "Kein JSON: Ein Text ohne Ende beginnt in Zeile 1, Spalte 7."


def test_undo_says_in_the_language_why_a_field_stays() -> None:
    kept = Kept("email", Reason.CHANGED)
    with of_django.override("de"):
        assert str(kept) == "email wurde seither geändert"
        assert str(Kept("", Reason.CHANGED)) == "wurde seither geändert"
    assert str(kept) == "email has changed since"


def test_thousands_and_choices_are_written_as_the_language_does() -> None:
    assert translation.grouped(65_536) == "65,536"
    assert translation.either(["utf-8", "cp1252", "utf-16"]) == "utf-8 or cp1252 or utf-16"
