"""Metadata: what goes in comes out, up to the limits at the byte and the level."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.models import Contact
from tests.support.api import PHONE, Api, assert_error, written_out
from tests.support.cases import in_one_test
from tests.support.examples import FEW

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def object_of_size(size: int, character: str = "x") -> dict[str, str]:
    """A JSON object of exactly `size` bytes as compact UTF-8."""
    width = len(character.encode())
    room = size - len('{"k":""}')
    return {"k": character * (room // width) + "x" * (room % width)}


def nested(levels: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


@pytest.mark.parametrize("character", ["x", "é", "🎉", '"'])
def test_65536_bytes_are_taken_and_one_more_is_not(api: Api, character: str) -> None:
    if character == '"':  # two bytes once escaped
        largest = {"k": '"' * ((65_536 - 8) // 2)}
        larger = {"k": largest["k"] + "x"}
    else:
        largest, larger = object_of_size(65_536, character), object_of_size(65_537, character)
    assert api.create(metadata=largest).status_code == 201
    assert Contact.objects.get().metadata == largest
    body = assert_error(api.create(metadata=larger), 422, "validation_failed", "metadata")
    assert "65,537" in body["errors"]["metadata"][0]


def test_spaces_and_escapes_of_the_sender_do_not_count(api: Api) -> None:
    spaced = '{"phone": "%s", "metadata": {"k" :%s"%s"}}' % (
        PHONE,
        " " * 40_000,
        "\\u0041" * 14_000,
    )
    assert len(spaced) > 65_536
    assert api.send(spaced).status_code == 201
    assert Contact.objects.get().metadata == {"k": "A" * 14_000}


def test_32_levels_are_taken_and_one_more_is_not(api: Api) -> None:
    assert api.create(metadata=nested(32)).status_code == 201
    assert Contact.objects.get().metadata == nested(32)
    assert_error(api.create(metadata=nested(33)), 422, "validation_failed", "metadata")
    lists = {"k": json.loads("[" * 32 + "]" * 32)}
    assert_error(api.create(metadata=lists), 422, "validation_failed", "metadata")


def test_of_a_key_given_twice_the_last_value_wins(api: Api) -> None:
    body = '{"phone": "x", "phone": "%s", "metadata": {"a": 1, "a": {"b": 1, "b": 2}}}'
    assert api.send(body % PHONE).status_code == 201
    assert Contact.objects.get().metadata == {"a": {"b": 2}}


def test_a_byte_order_mark_is_ignored(api: Api) -> None:
    assert api.send(b"\xef\xbb\xbf" + json.dumps({"phone": PHONE}).encode()).status_code == 201


@in_one_test(
    "number",
    ["0", "-0", "1.0", "0.1", "1e5", "1E-7", "5e-324", "1.7976931348623157e308", "1e300", "1e16",
     "12345678901234567890", "9007199254740993", "-" + "9" * 300, "8742.00"],
)  # fmt: skip
def test_a_number_keeps_its_value(api: Api, number: str) -> None:
    assert api.send('{"phone": "%s", "metadata": {"n": %s}}' % (PHONE, number)).status_code == 201
    stored = Contact.objects.get().metadata["n"]
    sent = json.loads(number)
    assert type(sent)(stored) == sent
    assert isinstance(stored, type(sent)) or abs(sent) >= 1e16, "written out from there on"


def test_numbers_count_as_they_are_written_out(api: Api) -> None:
    """So that what one database took, the other and the admin take back."""
    body = '{"phone": "%s", "metadata": {"n": [%s]}}'
    fits = ",".join(["1e300"] * 216)
    assert api.send(body % (PHONE, fits)).status_code == 201
    refused = api.send(body % (PHONE, fits + ",1e300"))
    assert_error(refused, 422, "validation_failed", "metadata")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda children: st.lists(children, max_size=5) | st.dictionaries(texts, children, max_size=5),
    max_leaves=20,
)


@FEW
@given(metadata=st.dictionaries(texts, values, max_size=6))
def test_what_goes_in_comes_out(api: Api, metadata: dict[str, Any]) -> None:
    assert api.create(metadata=metadata).status_code == 201
    assert Contact.objects.get().metadata == written_out(metadata)
    assert api.create(metadata=metadata).headers["Qyvo-Result"] == "unchanged"
