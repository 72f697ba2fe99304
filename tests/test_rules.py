"""Laws of the field rules and of the strict reader, whatever the input."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from contacts.db.fields import TagNamesField
from contacts.values import rules, strict_json
from tenants.fields import ULIDField, bits_of, new_ulid, parse_ulid

from .api import written_out

any_text = st.text(st.characters(exclude_categories=[]))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda children: st.lists(children) | st.dictionaries(any_text, children),
)
all_rules = pytest.mark.parametrize(
    "rule", [rules.phone, rules.name, rules.email, rules.locale, rules.tags, rules.metadata]
)


@all_rules
@given(raw=json_values)
def test_a_rule_cleans_or_raises_value_error_and_cleaning_twice_is_once(
    rule: Any, raw: Any
) -> None:
    try:
        once = rule(raw)
    except ValueError as error:
        assert str(error)
        return
    assert rule(once) == once


pytestmark = pytest.mark.once  # whatever the database

TAGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0,"), max_size=100)


@given(st.lists(TAGS, max_size=100))
def test_tags_read_the_same_from_a_string_and_a_list(names: list[str]) -> None:
    tags = rules.tags(names)
    assert rules.tags(",".join(names)) == tags
    assert len(set(tags)) == len(tags)
    field = TagNamesField()
    assert field.from_db_value(field.get_prep_value(tags)) == tags


@given(json_values)
def test_the_strict_reader_reads_all_json(value: Any) -> None:
    assert strict_json.loads(json.dumps(value)) == written_out(value)


@given(st.text() | st.text('{}[]",:0123456789.eE+-truefalsn \\u'))
def test_the_strict_reader_reads_nothing_that_python_does_not(text: str) -> None:
    try:
        value = strict_json.loads(text)
    except strict_json.MalformedJSON as error:
        assert str(error)
    else:
        assert value == written_out(json.loads(text.removeprefix("\ufeff")))


@pytest.mark.parametrize(
    "text", ['"[[[' + "[" * 100 + '"', '["' + '\\"[' * 100 + '"]', "[]" + " " * 9]
)
def test_brackets_inside_strings_are_no_nesting(text: str) -> None:
    assert strict_json.loads(text) == json.loads(text)


def test_brackets_side_by_side_are_no_nesting() -> None:
    assert len(strict_json.loads("[" + ",".join(["[]"] * 1000) + "]")) == 1000


@pytest.mark.parametrize("hidden", ['"]"', r'"\"]\""'], ids=["plain", "escaped"])
def test_brackets_inside_strings_hide_no_nesting(hidden: str) -> None:
    opening = hidden.replace("]", "[")
    text = f"[{hidden}," * 65 + "0" + f",{opening}]" * 65
    assert json.loads(text)
    with pytest.raises(strict_json.MalformedJSON, match="Nested deeper"):
        strict_json.loads(text)


@pytest.mark.parametrize(("depth", "fits"), [(64, True), (65, False)])
def test_the_strict_reader_counts_levels(depth: int, fits: bool) -> None:
    text = "[" * depth + "]" * depth
    if fits:
        strict_json.loads(text)
    else:
        with pytest.raises(strict_json.MalformedJSON, match="64 levels at line 1, column 65"):
            strict_json.loads(text)


def test_integers_stay_exact_up_to_the_range_of_doubles() -> None:
    assert strict_json.loads("1" + "0" * 308) == 10**308
    with pytest.raises(strict_json.MalformedJSON, match="out of range"):
        strict_json.loads("2" + "0" * 308)


# Ids


def test_ids_are_made_in_ascending_order() -> None:
    ids = [new_ulid() for _ in range(1000)]
    assert ids == sorted(set(ids))


@given(st.uuids())
def test_an_id_reads_the_same_in_all_its_forms(uuid: Any) -> None:
    ulid = parse_ulid(uuid)
    forms = [ulid, ulid.lower(), str(uuid), str(uuid).upper(), uuid.hex]
    assert {parse_ulid(form) for form in forms} == {ulid}
    assert ULIDField().to_python(str(uuid)) == ulid == str(ULID.from_uuid(uuid))
    assert bits_of(ulid) == uuid.int


@given(
    any_text
    | st.none()
    | st.integers()
    | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
)
def test_anything_else_is_no_id(value: Any) -> None:
    with suppress(ValueError):
        assert parse_ulid(parse_ulid(value)) == parse_ulid(value)
