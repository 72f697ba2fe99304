"""Which phones and names are alike. Pure: no database."""

from string import digits

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.values import likeness
from contacts.values.likeness import Person, Reason, likelihood, name_key, phone_key
from contacts.values.phones import PhoneError, normalise

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
EXAMPLES = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in REGIONS
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    if (number := phonenumbers.example_number_for_type(region, kind))
]
stored = st.sampled_from(EXAMPLES)


@pytest.mark.parametrize(
    ("one", "other", "region"),
    [
        ("+5511987654321", "+551187654321", ""),
        ("+5491123456789", "+541123456789", ""),
        ("+4402079460958", "+442079460958", ""),
        ("+3903471234567", "+393471234567", ""),
        ("+43436601234567", "+436601234567", ""),
        ("+612345678", "+33612345678", "FR"),
    ],
    ids=["ninth digit", "nine for calls from abroad", "trunk prefix", "zero too many",
         "country code twice", "country code missing"],
)  # fmt: skip
def test_a_variant_has_the_same_key_and_is_looked_up_from_either_side(
    one: str, other: str, region: str
) -> None:
    assert phone_key(one, region) == phone_key(other, region)
    for phone in (one, other):
        assert {one, other} <= likeness.variants(phone_key(phone, region), region)


@pytest.mark.parametrize(
    ("one", "other", "region"),
    [
        ("+390612345678", "+39612345678", "IT"),  # Rome: the zero is a part of the number
        ("+16598234567", "+6598234567", "SG"),  # both valid: Alabama and Singapore
        ("+612345678", "+33612345678", "DE"),  # the missing code is not the tenant's
        ("+33612345678", "+33612345679", "FR"),
    ],
)
def test_other_phones_have_keys_of_their_own(one: str, other: str, region: str) -> None:
    if one[:3] == "+39":  # the second is not valid, and no repair makes it the first
        assert phone_key(other, region) == other
    assert phone_key(one, region) != phone_key(other, region)


@given(stored, st.sampled_from(["", *REGIONS]))
def test_two_valid_phones_are_no_variants_but_for_those_that_reach_one_phone(
    phone: str, region: str
) -> None:
    key = phone_key(phone, region)
    assert phone_key(key, region) == key, "the key of a key is itself"
    for other in likeness.variants(key, region) - {phone}:
        if likeness.is_valid(other) and phone_key(other, region) == key:
            assert normalise_or_same(other)[:3] == phone[:3]


def normalise_or_same(phone: str) -> str:
    try:
        return normalise(phone)
    except PhoneError:
        return phone


@given(stored, st.data())
def test_people_of_one_name_whose_phones_are_alike_share_a_key(
    phone: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(2, len(phone) - 2))
    two = data.draw(st.sampled_from([phone[place + 1] + phone[place], phone[place : place + 2]]))
    last = data.draw(st.sampled_from([two, two[0] + data.draw(st.sampled_from(digits))]))
    other = f"{phone[:place]}{last}{phone[place + 2 :]}"
    assert likeness.phone_likeness(phone, other) == likeness.phone_likeness(other, phone)
    if likeness.phone_likeness(phone, other):
        keys = (likeness.near_keys("ann smith", one) for one in (phone, other))
        assert any(a == b for a, b in zip(*keys, strict=True))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("+33612345678", "+33612945678", Reason.NEAR_PHONE),
        ("+33612345678", "+33612435678", Reason.NEAR_PHONE),
        ("+33612345678", "+33612345687", Reason.NEAR_PHONE),
        ("+33612345678", "+33612345611", Reason.PHONE_SERIES),
        ("+33612345678", "+33612345679", Reason.PHONE_SERIES),
        ("+33612345678", "+33612945679", None),
        ("+33612345678", "+336123456789", None),
        ("+33612345678", "+32612345678", None),
    ],
)
def test_phones_are_near_or_of_a_series_or_neither(
    one: str, other: str, expected: Reason | None
) -> None:
    assert likeness.phone_likeness(one, other) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ann Smith", "SMITH, Ann"), ("José Núñez", "jose nunez"), ("Konstantin", "KONSTANTÍN")],
)
def test_a_name_is_compared_without_case_accents_punctuation_and_order(
    one: str, other: str
) -> None:
    assert name_key(one) == name_key(other) != ""


@pytest.mark.parametrize("name", ["", "Ann", "Müller", "李小龙", "+33 6", "Ann 2", "-"])
def test_a_short_name_says_too_little(name: str) -> None:
    assert name_key(name) == ""


def test_the_numbers_of_a_name_are_compared() -> None:
    assert name_key("Warehouse 1") != name_key("Warehouse 2") != ""


people = st.builds(
    Person,
    st.sampled_from(["+33612345678", "+33612345679", "+33612345687", "+33612345111", "+612345678"]),
    st.sampled_from(["", "Ann Smith", "smith ann", "Bob Stone"]),
    st.sampled_from(["", "a@b.example", "c@d.example"]),
    st.just("FR"),
)


@given(people, people)
def test_reasons_are_symmetric_and_a_name_alone_is_none(one: Person, other: Person) -> None:
    reasons = one.reasons_with(other)
    assert reasons == other.reasons_with(one)
    assert reasons != {Reason.NAME}


@given(st.sets(st.sampled_from(Reason)), st.sampled_from(Reason))
def test_a_further_reason_makes_a_pair_more_likely(reasons: set[Reason], more: Reason) -> None:
    assert 0 <= likelihood(reasons) <= likelihood(reasons | {more}) <= 100
    if more not in reasons and Reason.PHONE not in reasons:  # which rounds up to 99
        assert likelihood(reasons) < likelihood(reasons | {more})
