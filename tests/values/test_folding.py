"""How names are folded for searches as people type."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.values.folding import finder, searchable, spellings


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("zoe", "Zoé"),
        ("zoe", "ZOE\u0301"),
        ("lukasz", "Łukasz"),
        ("muller", "Müller"),
        ("strasse", "STRAẞE"),
        ("istanbul", "İstanbul"),
        ("isik", "Işık"),
        ("nguyen dong", "Nguyễn Đông"),
        ("soren aero", "Søren Ærø"),
        ("thor", "Þór"),
        ("obrien", "O'Brien"),
        ("o’brien", "O'Brien"),
        ("o\u00b4brien", "O`Brien"),
        ("kealoha", "Ke\u02bbaloha"),
        ("ann lee", "Ａｎｎ\u3000Ｌｅｅ"),
        ("fiona", "ﬁona"),
        ("ガ", "ｶﾞ"),
        ("ελενη", "Ελένη"),
        ("σοφοσ", "Σοφός"),
        ("алена", "Алёна"),
        ("андреи", "Андрей"),
        ("احمد", "أَحْمَد"),
        ("محمد", "محـــمد"),
        ("שלום", "שָׁלוֹם"),
        ("זבוטינסקי", "ז׳בוטינסקי"),
    ],
)
def test_a_name_is_found_as_people_type_it(typed: str, name: str) -> None:
    assert searchable(typed) == searchable(name)
    assert finder(typed)(f"Dr. {name}")


@pytest.mark.parametrize(
    ("one", "other"),
    [("हिन्दी", "हनद"), ("ไทยั", "ไทย"), ("が", "か"), ("깁", "기")],
)
def test_marks_that_are_vowels_or_letters_of_other_scripts_count(one: str, other: str) -> None:
    assert searchable(one) != searchable(other)
    assert searchable(one) not in searchable(other)


@given(st.text())
def test_folding_a_name_twice_is_folding_once_however_it_is_composed(text: str) -> None:
    once = searchable(text)
    assert searchable(once) == once
    assert {searchable(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {once}


@pytest.mark.parametrize("text", ["Straße", "ΣΟΦΟΣ", "ÉLODIE", "\u0391\u0342\u0345", "Ǆ", "ﬁ", "ŉ"])
def test_folding_a_name_leaves_no_case(text: str) -> None:
    assert searchable(text.upper()) == searchable(text.lower()) == searchable(text)


def test_a_search_also_finds_what_an_earlier_version_has_stored() -> None:
    assert spellings("Zoé") == ["zoe", "zoé"]
    assert spellings("O'Brien") == ["obrien", "o'brien"]
    assert spellings("Ann") == ["ann"]
    assert spellings("") == []


def test_an_apostrophe_alone_is_looked_for_as_it_is() -> None:
    """Otherwise it would find everybody."""
    assert spellings("'") == ["'"]
    assert finder("'")("O'Brien")
    assert not finder("'")("Ann")
