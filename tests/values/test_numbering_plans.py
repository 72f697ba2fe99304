"""Numbering plans that have moved: old forms become new ones, and valid numbers stay."""

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from contacts.values.numbering_plans import (
    FROM,
    PLANS,
    Plan,
    beginnings,
    is_valid,
    old_forms,
    renumbered,
    sure_prefixes,
)
from contacts.values.phones import PhoneError, normalise, parts
from tests.support.documents import table
from tests.support.examples import MANY

# Old forms and what they are today, by the source of each plan.
MOVED: dict[str, dict[str, str]] = {
    "BJ": {"+22997123456": "+2290197123456", "+22921301234": "+2290121301234"},
    "BR": {"+551187654321": "+5511987654321", "+556798765432": "+5567998765432",
           "+551167654321": "+5511967654321"},
    "CG": {"+2425123456": "+242055123456", "+2426123456": "+242066123456",
           "+2424123456": "+242044123456", "+2422812345": "+242222812345"},
    "CI": {"+22507123456": "+2250707123456", "+22549123456": "+2250749123456",
           "+22504123456": "+2250504123456", "+22566123456": "+2250566123456",
           "+22501234567": "+2250101234567", "+22553123456": "+2250153123456",
           "+22520212345": "+2252720212345", "+22521512345": "+2252721512345"},
    "CL": {"+5665350009": "+56652350009", "+5623456789": "+56223456789"},
    "CM": {"+23775123456": "+237675123456", "+23799123456": "+237699123456"},
    "CO": {"+5712345678": "+576012345678", "+5742345678": "+576042345678"},
    "EC": {"+59398123456": "+593998123456", "+59389123456": "+593989123456"},
    "EG": {"+20101234567": "+201001234567", "+20161234567": "+201061234567",
           "+20191234567": "+201091234567", "+20111234567": "+201111234567",
           "+20141234567": "+201141234567", "+20121234567": "+201221234567",
           "+20171234567": "+201271234567", "+20181234567": "+201281234567"},
    "GE": {"+99599123456": "+995599123456", "+99555123456": "+995555123456"},
    "MR": {"+2226412345": "+22246412345", "+2226312345": "+22236312345",
           "+2222312345": "+22222312345", "+2225251234": "+22245251234",
           "+2225012345": "+22225012345", "+2227112345": "+22237112345"},
    "MU": {"+2307251234": "+23057251234", "+2309123456": "+23059123456"},
    "MX": {"+5215512345678": "+525512345678", "+5218112345678": "+528112345678"},
    "PH": {"+6325551234": "+63285551234", "+6329121234": "+63289121234"},
    "QA": {"+9745512345": "+97455512345", "+9744412345": "+97444412345"},
    "SA": {"+96612345678": "+966112345678", "+96626123456": "+966126123456"},
    "SC": {"+248512345": "+2482512345", "+248712345": "+2482712345",
           "+248212345": "+2484212345", "+248612345": "+2484612345",
           "+248412345": "+2484412345", "+248471234": "+2486471234"},
    "SX": {"+5995421234": "+17215421234"},
    "SZ": {"+2686012345": "+26876012345", "+2685051234": "+26825051234",
           "+2682101234": "+26822101234"},
    "VN": {"+841631234567": "+84331234567", "+841201234567": "+84701234567",
           "+841211234567": "+84791234567", "+841221234567": "+84771234567",
           "+841231234567": "+84831234567", "+841271234567": "+84811234567",
           "+841291234567": "+84821234567", "+841861234567": "+84561234567",
           "+841991234567": "+84591234567", "+84431234567": "+842431234567"},
}  # fmt: skip
CORPUS = [(old, new) for pairs in MOVED.values() for old, new in pairs.items()]

# Old forms that are valid numbers today, and numbers that no plan has changed.
STAYING = [
    "+551177654321", "+551133334444", "+84838123456", "+24106031234", "+22670123456",
    "+2304123456", "+37744123456", "+38643123456", "+56991234567", "+14155550123",
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), CORPUS)
def test_an_old_form_is_read_as_the_new_one(old: str, new: str) -> None:
    assert normalise(old) == new
    assert normalise(f"00{old[1:]}") == new
    assert normalise(f"{old[1:]}@c.us") == new
    assert old in old_forms(new)
    assert normalise(new) == new
    assert {old, new} <= parts(new) | {old}


def test_each_plan_is_in_the_corpus_with_its_example() -> None:
    assert MOVED.keys() == {plan.country for plan in PLANS}
    assert len(PLANS) == len(FROM)
    for plan in PLANS:
        assert plan.example in MOVED[plan.country]


@pytest.mark.parametrize("phone", STAYING)
def test_a_number_that_is_valid_stays(phone: str) -> None:
    assert is_valid(phone)
    assert renumbered(phone) == normalise(phone) == phone


@pytest.mark.parametrize(
    "raw",
    ["044 55 1234 5678", "045 55 1234 5678", "01 55 1234 5678", "1 55 1234 5678", "55 1234 5678",
     "+52 044 55 1234 5678", "+52 1 (55) 1234-5678"],
)  # fmt: skip
def test_every_way_to_dial_a_mexican_number_is_one(raw: str) -> None:
    assert normalise(raw, "MX") == "+525512345678"


@pytest.mark.parametrize(
    ("raw", "region", "phone"),
    [
        ("(11) 8765-4321", "BR", "+5511987654321"),
        ("07 12 34 56", "CI", "+2250707123456"),
        ("010 1234567", "EG", "+201001234567"),
        ("031 2345678", "CO", "+576012345678"),
        ("0163 123 4567", "VN", "+84331234567"),
    ],
)
def test_national_spellings_of_old_numbers_are_read(raw: str, region: str, phone: str) -> None:
    assert normalise(raw, region) == phone


def test_a_mistyped_number_is_still_refused() -> None:
    for raw in ("+52 1 00 1234 5678", "+225 00 12 34 56", "+52 1 55 1234 56789"):
        with pytest.raises(PhoneError, match=r"too|this many digits"):
            normalise(raw)


STARTS = [
    ("+52155", "+5255"),
    ("+5215512345", "+525512345"),
    ("+55118765", "+551198765"),
    ("+22507", "+2250707"),
    ("+599542", "+1721542"),
    ("+84163123", "+8433123"),
    ("+632555", "+6328555"),
]


@pytest.mark.parametrize(("old", "new"), STARTS)
def test_the_beginning_of_one_form_gives_that_of_the_other(old: str, new: str) -> None:
    assert new in beginnings(old)
    assert old in beginnings(new)
    assert {old, new} <= parts(old) | {old}
    assert {old[1:], new} <= parts(old[1:])


@pytest.mark.parametrize("start", ["+", "+52", "+5511", "+336123", "+5215512345678901", "+1721"])
def test_a_beginning_without_a_digit_of_both_forms_gives_none(start: str) -> None:
    assert beginnings(start) == set()
    assert "+52" not in beginnings("+521"), "would find everybody in Mexico"


# Laws


def examples() -> set[str]:
    kinds = range(PhoneNumberType.VOICEMAIL + 1)
    found = (
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in kinds
    )
    return {phonenumbers.format_number(one, PhoneNumberFormat.E164) for one in found if one}


def test_no_region_has_a_valid_number_that_changes() -> None:
    found = examples()
    assert len(found) > 800
    signs = tuple(sure_prefixes())
    for phone in found:
        assert renumbered(phone) == phone
        assert not phone.startswith(signs), "`signs` are of old numbers only"


codes = st.sampled_from(sorted(FROM))


@MANY
@given(codes, st.text("0123456789", min_size=5, max_size=13))
def test_a_changed_number_is_valid_and_twice_is_once(code: str, rest: str) -> None:
    old = f"+{code}{rest}"
    new = renumbered(old)
    assert renumbered(new) == new
    if new != old:
        assert is_valid(new)
        assert not is_valid(old)
        assert normalise(old) == new
        assert old in old_forms(new) or code == "52"  # +52 01 is only a way to dial


@MANY
@given(st.sampled_from(CORPUS), st.text("0123456789", min_size=5, max_size=5))
def test_old_forms_are_the_inverse(pair: tuple[str, str], digits: str) -> None:
    old, new = (number[:-5] + digits for number in pair)
    for phone in (old, new):
        assert all(renumbered(form) == phone != form for form in old_forms(phone))
    if renumbered(old) == new:
        assert old in old_forms(new)


@MANY
@given(st.sampled_from(CORPUS), st.integers(0, 5))
def test_what_a_number_begins_with_finds_it_in_both_forms(pair: tuple[str, str], left: int) -> None:
    for one, other in (pair, pair[::-1]):
        found = beginnings(one[: len(one) - left])
        assert any(other.startswith(start) for start in found)


# The documentation


def shown(plan: Plan) -> list[str]:
    example = f"`{plan.example}` → `{renumbered(plan.example)}`"
    return [plan.country, plan.change, plan.since, example, plan.source]


def test_the_documentation_has_the_table() -> None:
    assert table("| country | change") == [shown(plan) for plan in PLANS]


def test_the_sources_are_told() -> None:
    for plan in PLANS:
        assert re.fullmatch(r"(\d{4}(-\d\d-\d\d)?)(( to| and) \d{4}(-\d\d-\d\d)?)?", plan.since)
        assert plan.source
