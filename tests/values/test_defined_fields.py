"""The fields that a tenant defines: what people write, what fits, and what exports write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.importing.defined_values import cell_of, value_in
from contacts.values import defined_fields, rules
from contacts.values.defined_fields import DefinedField, FieldKind
from tests.support.examples import FEW

FIELDS = {kind: DefinedField("key", "Label", kind, ("VIP", "new")) for kind in FieldKind}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "007", "007"),
        ("number", "1.5", 1.5), ("number", "-3", -3), ("number", "+3", 3), ("number", "1e3", 1e3),
        ("number", "1,5", 1.5), ("number", "0,125", 0.125), ("number", "1 234,50", 1234.5),
        ("number", "1,234.50", 1234.5), ("number", "1.234,50", 1234.5), ("number", "1'234", 1234),
        ("date", "2026-05-07", "2026-05-07"), ("date", "2026-05-07T00:00:00", "2026-05-07"),
        ("choice", "vip", "VIP"),
        ("yes_no", "Yes", True), ("yes_no", "nein", False), ("yes_no", "1", True),
    ],
)  # fmt: skip
def test_a_text_of_a_person_becomes_a_value_of_the_kind(kind: str, text: str, value: Any) -> None:
    found = FIELDS[FieldKind(kind)].read(text)
    assert rules.spelled(found) == rules.spelled(value)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        # 1,234 may be 1.234 or 1234; the zeros of a code would be lost.
        ("number", ["1,234", "007", "five", "NaN", "1e999", "9" * 400, "1.", "٣", ""]),
        ("date", ["07/05/2026", "2026-02-30", "2026-05-07T10:00", "45000", "soon"]),
        ("choice", ["VIPs", ""]),
        ("yes_no", ["perhaps", ""]),
    ],
)
def test_other_texts_are_refused_with_a_sentence_that_does_not_repeat_them(
    kind: str, texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=f"^Label: {defined_fields.EXPECTED[FieldKind(kind)]}"):
            FIELDS[FieldKind(kind)].read(text)


def test_days_in_another_order_are_read_if_the_import_says_so() -> None:
    assert FIELDS[FieldKind.DATE].read("07/05/2026", "dmy") == "2026-05-07"
    assert FIELDS[FieldKind.DATE].read("07/05/2026", "mdy") == "2026-07-05"


def test_a_stored_value_fits_or_says_what_is_expected() -> None:
    fitting = {"text": "a", "number": 5, "date": "2026-05-07", "choice": "VIP", "yes_no": True}
    for kind, field in FIELDS.items():
        assert field.problem(fitting[kind]) == field.problem(None) == ""
        others = [value for name, value in fitting.items() if name != kind]
        misfits = [[1], {"a": 1}, *others] if kind != "text" else [[1], 5, True]
        for value in misfits:
            assert field.problem(value) == f"does not fit: {defined_fields.EXPECTED[kind]}"
    assert FIELDS[FieldKind.YES_NO].shown(False) == "no"
    assert FIELDS[FieldKind.TEXT].shown([1, "a"]) == '[1,"a"]'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(0.001, 1e15)
    | st.sampled_from(["yes", "1", "1.50", "2026-05-07", "20260507", "vip", "n/a", " a", "a\rb"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)  # fmt: skip


@FEW
@given(kind=st.sampled_from(FieldKind), value=JSON)
def test_a_cell_of_an_export_is_read_as_the_stored_value(kind: FieldKind, value: Any) -> None:
    """Also where the value does not fit; an empty cell changes nothing."""
    if cell := cell_of(FIELDS[kind], value):
        assert rules.spelled(value_in(FIELDS[kind], cell)[0]) == rules.spelled(value)
    elif FIELDS[kind].fits(value) and kind != FieldKind.TEXT:
        assert value is None


def test_choices_are_lines_that_differ_by_more_than_case() -> None:
    assert defined_fields.choices(" VIP \n\nnew") == ["VIP", "new"]
    with pytest.raises(ValueError, match="“VIP” and “vip” are the same"):
        defined_fields.choices("VIP\nvip")
    with pytest.raises(ValueError, match="at most 100 choices"):
        defined_fields.choices("\n".join(map(str, range(101))))


def test_a_label_gives_the_key_and_needs_a_letter() -> None:
    assert defined_fields.key_from(defined_fields.label(" Date of Birth ")) == "date_of_birth"
    for wrong in ("", "♥", "x" * 101, "a\x00"):
        with pytest.raises(ValueError, match="label"):
            defined_fields.label(wrong)
