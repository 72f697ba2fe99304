"""Cells as other programs write them: tags, addresses, several values, and words for nothing."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contacts.importing import cells
from contacts.importing.row import BadRecord, ReadOptions, clean
from contacts.values import rules

FIELDS = {
    name: name for name in ("phone", "name", "email", "tags", "locale", "metadata", "opted_in_at")
} | {"Town": "metadata.town"}
OPTIONS = ReadOptions(FIELDS)
PHONE = "+33612345678"


def read(options: ReadOptions = OPTIONS, **record: Any) -> dict[str, Any]:
    """The fields of a record that is valid in every cell."""
    fields, warnings = clean({"phone": PHONE} | record, options)
    assert not warnings
    del fields["phone"]
    return fields


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (PHONE, None),
        ("+33 6 12 34 56 78", None),
        ("33612345678", None),
        ("06.12.34.56.78", None),
        ("(+33) 6-12-34-56-78", None),
        ("+33612345679", "+33612345679"),
        ("Ann +33612345678", "Ann +33612345678"),
        ("3 Musketeers", "3 Musketeers"),
    ],
)
def test_a_name_that_is_the_phone_of_the_record_is_no_name(name: str, expected: Any) -> None:
    options = OPTIONS._replace(region="FR", fields=FIELDS | {"First": "first_name"})
    assert read(options, name=name).get("name") == expected
    assert read(options, First=name).get("name") == expected
    assert read(options, name=name, First="Zoé")["name"] == (expected or "Zoé")


# Tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("vip, new", ["vip", "new"]),
        ("vip;new; a b", ["vip", "new", "a b"]),
        ("vip | new", ["vip", "new"]),
        ("vip;a, new|b", ["vip;a", "new|b"]),  # commas part first
        ('["vip", "a;b"]', ["vip", "a;b"]),
        ('"vip","spring sale"', ["vip", "spring sale"]),
        ('"vip", "Fair, Paris"', ["vip", "Fair", "Paris"]),
        ('"vip";"a|b"', ["vip", "a|b"]),
        ('"say ""hi"""', ['say "hi"']),
        ('5" pipe, vip', ['5" pipe', "vip"]),
        ("* myContacts ::: Friends ::: vip", ["Friends", "vip"]),
        ("* myContacts", []),
        ('{vip,"spring sale"}', ["vip", "spring sale"]),
        (r'{vip,"say \"hi\""}', ["vip", 'say "hi"']),
        ("{}", []),
        ("['vip', 'spring sale']", ["vip", "spring sale"]),  # as pandas writes lists
        (r"""['it\'s', "it's"]""", ["it's"]),
        ("{'vip' 'new'}", ["vip", "new"]),
        ("['vip", ["['vip"]),
        ("vip\nspring sale\r\nvip", ["vip", "spring sale"]),
        ("{vip", ["{vip"]),
        ("* starred,vip", ["vip"]),
        ("[draft], vip", ["[draft]", "vip"]),
        ("[1, 2]", ["[1", "2]"]),
        (";;", []),
        ("vip:vip", ["vip:vip"]),
    ],
)
def test_tags_are_parted_as_other_programs_part_them(text: str, tags: list[str]) -> None:
    assert read(tags=text)["tags"] == tags


SIGNS = st.sampled_from(";|:\"'*=-[] \n")
TAG = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0,") | SIGNS, max_size=12
)


@given(st.lists(TAG).map(rules.tags))
@example(["--"])
@example(["* myContacts"])
@example(["a ::: b"])
@example(['["a"]'])
@example(["'=a", "-"])
@example(['="a"'])
def test_tags_come_back_from_a_cell_as_they_were(tags: list[str]) -> None:
    assert read(tags=cells.tags_text(tags)).get("tags", []) == tags


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1), min_size=1))
def test_a_list_of_python_is_read_as_it_was(names: list[str]) -> None:
    assert cells.tags_of(repr(names)) == names


def test_ordinary_tags_stay_readable_in_a_cell() -> None:
    assert cells.tags_text(["vip", "fr-FR", "spring sale"]) == "vip,fr-FR,spring sale"
    assert cells.tags_text(["a;b", "c"]) == '["a;b", "c"]'


# Addresses, phones, and several values


@pytest.mark.parametrize(
    "cell",
    ["ann@example.com", "Ann Lee <ann@example.com>", '"Lee, Ann" <ann@example.com>',
     "mailto:ann@example.com?subject=Hi", "<mailto:ann@example.com>", "'ann@example.com'",
     "ann@example.com ::: a@example.org", "bad ::: ann@example.com", "n/a ::: ann@example.com",
     "ann@example.com; a@example.org", "nobody@, ann@example.com", "ann@example.com / a@b.de",
     '="ann@example.com"', "ann@example.com\na@example.org"],
)  # fmt: skip
def test_the_first_good_address_of_a_cell_counts(cell: str) -> None:
    assert read(email=cell) == {"email": "ann@example.com"}


def test_the_first_good_phone_of_a_cell_counts() -> None:
    assert clean({"phone": f"n/a ::: 12 ::: {PHONE} ::: +33145678901"}, OPTIONS).fields == {
        "phone": PHONE
    }
    with pytest.raises(BadRecord, match="too short"):
        clean({"phone": "+331 ::: x"}, OPTIONS)


@pytest.mark.parametrize("word", ["n/a", "N/A", "na", "-", "--- ", "none", "NULL", r"\N", "NaN"])
def test_words_for_nothing_set_nothing(word: str) -> None:
    assert read(email=word, opted_in_at=word) == {}
    with pytest.raises(BadRecord, match=r"^The phone is required\.$"):
        clean({"phone": word}, OPTIONS)


def test_languages_are_no_words_for_nothing() -> None:
    assert read(locale="na") == {"locale": "na"}
    assert read(locale="nan") == {"locale": "nan"}
    assert [read(locale=word) for word in ("n/a", "-", r"\N")] == [{}, {}, {}]
    assert read(name="None") == {"name": "None"}


def test_formulas_for_text_and_apostrophes_are_undone() -> None:
    assert read(name='="Ann ""A"""', Town='="01234"') == {
        "name": 'Ann "A"', "metadata": {"town": "01234"},
    }  # fmt: skip
    assert read(name="'=1+1", locale="'") == {"name": "=1+1", "locale": "'"}
    assert read(name='\'="a"') == {"name": '="a"'}  # an export of ours has written this one
    assert clean({"phone": f"'{PHONE}"}, OPTIONS).fields == {"phone": PHONE}
    assert read(name="12.0") == {"name": "12.0"}


# What costs a field, and what fails


@pytest.mark.parametrize(
    ("field", "cell"),
    [("email", "ann@@secret"), ("locale", "secret" * 9), ("opted_in_at", "secret"),
     ("metadata", '{"secret": 1e999}'), ("metadata", "[secret]"), ("metadata", "NaN"),
     ("opted_in_at", "2999-01-01T00:00:00Z"), ("email", "secret ::: secret2")],
)  # fmt: skip
def test_a_bad_cell_costs_its_field_and_strict_fails_the_record(field: str, cell: str) -> None:
    record = {"phone": PHONE, "name": "Ann", field: cell}
    fields, [sentence] = clean(record, OPTIONS)
    assert fields == {"phone": PHONE, "name": "Ann"}
    assert "secret" not in sentence
    assert "999" not in sentence
    with pytest.raises(BadRecord) as error:
        clean(record, OPTIONS._replace(strict=True))
    assert str(error.value) == sentence


@pytest.mark.parametrize(("field", "cell"), [("name", "n" * 256), ("tags", "t" * 101)])
def test_a_bad_name_or_tag_fails_the_record(field: str, cell: str) -> None:
    with pytest.raises(BadRecord, match="at most"):
        clean({"phone": PHONE, field: cell}, OPTIONS)


# Tags of the import


@pytest.mark.parametrize(
    ("adds", "cell", "expected"),
    [
        (False, "a", {"tags": ["a", "fair"]}),
        (False, "", {"+tags": ["fair"]}),
        (False, "--", {"tags": ["fair"]}),
        (True, "a", {"+tags": ["a", "fair"]}),
        (True, "", {"+tags": ["fair"]}),
        (True, "--", {"tags": ["fair"]}),
    ],
)
def test_the_tags_of_the_import_come_on_top(
    adds: bool, cell: str, expected: dict[str, list[str]]
) -> None:
    assert read(OPTIONS._replace(adds_tags=adds, tag=("fair",)), tags=cell) == expected


def test_too_many_tags_with_those_of_the_import_fail_the_record() -> None:
    tags = ",".join(map(str, range(100)))
    assert len(read(tags=tags)["tags"]) == 100
    with pytest.raises(BadRecord, match="at most 100 tags"):
        clean({"phone": PHONE, "tags": tags}, OPTIONS._replace(tag=("fair",)))
