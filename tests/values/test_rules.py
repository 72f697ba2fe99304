"""Laws of the field rules and of the strict reader, whatever the input."""

import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.db.fields import TagNamesField
from contacts.values import rules, strict_json
from tenants.fields import Bits, ULIDField, bits_of, first_ulid, new_ulid, parse_ulid, ulid_of
from tests.support.api import written_out

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


# Texts and the 128 bits that python-ulid 4.1 reads from them, written with that library. The first
# ones are at the borders of a digit, of the random part and of the time; one is the example of
# github.com/ulid/spec.
WRITTEN = [
    ("00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("0000000000000000000000000Z", "00000000-0000-0000-0000-00000000001f"),
    ("00000000000000000000000010", "00000000-0000-0000-0000-000000000020"),
    ("0000000000ZZZZZZZZZZZZZZZZ", "00000000-0000-ffff-ffff-ffffffffffff"),
    ("00000000010000000000000000", "00000000-0001-0000-0000-000000000000"),
    ("40000000000000000000000000", "80000000-0000-0000-0000-000000000000"),
    ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01563e3a-b5d3-d676-4c61-efb99302bd5b"),
    ("01arz3ndektsv4rrffq69g5fav", "01563e3a-b5d3-d676-4c61-efb99302bd5b"),
    ("01KqsMB3e1tMeYWzyp3cRvNnAa", "019df345-8dc1-d51d-ee7f-d61b31bad54a"),
    ("01FWHE4YDGFK1SHH6W1G60EECF", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
]
# The letters I, L, O and U are no digits; more than 128 bits; too short; too long; other signs.
REFUSED = [
    *("01ARZ3NDEKTSV4RRFFQ69G5FA" + letter for letter in "ILOUilou -_\n\0é٣ſ\u212a"),
    "80000000000000000000000000",
    "01ARZ3NDEKTSV4RRFFQ69G5FA",
    "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
    "",
]
BITS = st.integers(0, 2**128 - 1)


@pytest.mark.parametrize(("text", "as_uuid"), WRITTEN)
def test_an_id_is_read_and_written_as_other_libraries_do(text: str, as_uuid: str) -> None:
    bits = uuid.UUID(as_uuid).int
    assert parse_ulid(text) == parse_ulid(as_uuid) == ulid_of(bits) == text.upper()
    assert bits_of(parse_ulid(text)) == bits


@pytest.mark.parametrize("text", REFUSED)
def test_a_text_that_no_library_reads_as_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ulid(text)


@given(BITS)
def test_writing_and_reading_an_id_are_inverse(bits: int) -> None:
    ulid = ulid_of(bits)
    assert bits_of(ulid) == bits
    assert ulid_of(bits_of(ulid)) == parse_ulid(ulid) == parse_ulid(ulid.lower()) == ulid


@given(st.uuids())
def test_an_id_reads_the_same_in_all_its_forms(value: uuid.UUID) -> None:
    ulid = parse_ulid(value)
    forms = [ulid, ulid.lower(), str(value), str(value).upper(), value.hex]
    assert {parse_ulid(form) for form in forms} == {ulid}
    assert ULIDField().to_python(str(value)) == ulid
    assert bits_of(ulid) == value.int


@given(BITS, BITS)
def test_ids_sort_as_their_bits_and_so_by_time(one: int, other: int) -> None:
    assert (ulid_of(one) < ulid_of(other)) == (one < other)


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(MOMENTS, MOMENTS)
def test_the_first_ids_of_moments_sort_as_the_moments(one: datetime, other: datetime) -> None:
    earlier, later = sorted([one, other])
    assert first_ulid(earlier) <= first_ulid(later)


def test_a_new_id_begins_with_the_time_at_which_it_was_made() -> None:
    before = datetime.now(UTC)
    ids = []
    for _ in range(5):
        ids.append(ulid_of(next(Bits())))  # each `Bits` is like a process of its own
        time.sleep(0.002)
    assert [first_ulid(before), *ids] == sorted([first_ulid(before), *ids])
    assert ids[-1] < first_ulid(datetime.now(UTC) + timedelta(milliseconds=1))


def test_an_id_follows_the_last_one_even_if_the_clock_steps_back() -> None:
    bits = Bits()
    bits.last = last = bits_of(first_ulid(datetime.now(UTC) + timedelta(hours=1)))
    assert [next(bits), next(bits)] == [last + 1, last + 2]


@given(json_values)
def test_a_value_is_spelled_as_the_encoder_of_the_models_spells_it(value: Any) -> None:
    assert rules.spelled(value) == json.dumps(value, cls=rules.CompactJSON)


def test_ids_that_are_taken_together_follow_each_other_and_all_earlier_ids() -> None:
    bits = Bits()
    first, some, later = next(bits), [*bits.take(1000)], next(bits)
    assert [first, *some, later] == sorted({first, *some, later})
    assert len(some) == 1000
    assert [*bits.take(0)] == []
    assert next(bits) > later


def test_threads_that_take_ids_at_the_same_time_get_different_ones() -> None:
    bits = Bits()
    with ThreadPoolExecutor(4) as pool:
        taken = [*pool.map(bits.take, [50] * 200)]
    assert len({one for some in taken for one in some}) == 50 * 200


def test_ids_of_processes_at_the_same_moment_differ() -> None:
    assert len({next(Bits()) for _ in range(1000)}) == 1000


def test_a_process_that_was_forked_has_other_random_bits() -> None:
    bits = Bits()
    next(bits)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, str(next(bits.random)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) != next(bits.random)
    os.close(reader)
    os.close(writer)


@given(
    any_text
    | st.none()
    | st.integers()
    | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
)
def test_anything_else_is_no_id(value: Any) -> None:
    with suppress(ValueError):
        assert parse_ulid(parse_ulid(value)) == parse_ulid(value)
