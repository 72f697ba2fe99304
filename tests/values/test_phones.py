"""Phones: every spelling of a number ends as one contact; what is no phone is refused."""

from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from contacts.models import Contact
from contacts.values import phones
from contacts.values.phones import PhoneError, normalise
from tests.support.api import Api
from tests.support.cases import in_one_test
from tests.support.examples import MANY

REGIONS = [
    "AE", "AR", "AT", "AU", "BE", "BR", "CA", "CH", "CI", "CN", "DE", "DK", "EG", "ES",
    "FR", "GB", "GR", "ID", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "MA", "MX", "MY",
    "NG", "NL", "NO", "NZ", "PH", "PK", "PL", "PT", "RU", "SA", "SE", "SG", "TH", "TN",
    "TR", "UA", "US", "VN", "ZA",
]  # fmt: skip
FULL_WIDTH = str.maketrans("+0123456789", "＋０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
# How people and programs write an international number: from its E.164 and its spaced form.
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "E.164": lambda e164, spaced: e164,
    "international": lambda e164, spaced: spaced,
    "RFC 3966": lambda e164, spaced: "tel:" + spaced.replace(" ", "-"),
    "00": lambda e164, spaced: "00" + e164[1:],
    "00 and spaces": lambda e164, spaced: "00 " + spaced[1:],
    "dots": lambda e164, spaced: spaced.replace(" ", "."),
    "brackets": lambda e164, spaced: "({}) {}".format(*spaced.split(" ", 1)),
    "square brackets": lambda e164, spaced: "[{}] {}".format(*spaced.split(" ", 1)),
    "full width": lambda e164, spaced: spaced.translate(FULL_WIDTH),
    "Arabic digits": lambda e164, spaced: e164.translate(ARABIC),
    "pasted from a chat": lambda e164, spaced: f"\u202a{spaced}\u202c",
    "no-break spaces": lambda e164, spaced: spaced.replace(" ", "\u00a0"),
    "thin spaces, no-break hyphens": lambda e164, spaced: (
        spaced.replace(" ", "\u2009", 1).replace("-", "\u2011").replace(" ", "\u2011")
    ),
    "en dashes": lambda e164, spaced: spaced.replace(" ", " \u2013 "),
    "zero-width space, BOM": lambda e164, spaced: "\ufeff" + "\u200b".join(spaced),
    "white space around": lambda e164, spaced: f"\t {e164} \r\n",
    "TEL: and a space": lambda e164, spaced: "TEL: " + spaced,
}


def example(region: str) -> tuple[str, str]:
    """A number of `region` in E.164 and in international form."""
    number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    assert number is not None
    return (
        phonenumbers.format_number(number, PhoneNumberFormat.E164),
        phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
    )


def spellings(region: str) -> set[str]:
    e164, spaced = example(region)
    return {spell(e164, spaced) for spell in SPELLINGS.values()}


def test_the_list_is_as_long_as_it_should_be() -> None:
    assert len(set(REGIONS)) >= 25
    assert sum(len(spellings(region)) for region in REGIONS) >= 600


@pytest.mark.django_db
@in_one_test("region", REGIONS)
def test_all_spellings_of_a_number_are_one_contact(api: Api, region: str) -> None:
    answers = [api.create(spelling) for spelling in spellings(region)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Contact.objects.get().phone == example(region)[0]


@pytest.mark.parametrize("region", REGIONS)
def test_a_national_spelling_needs_the_region(region: str) -> None:
    e164, _ = example(region)
    national = phonenumbers.format_number(
        phonenumbers.parse(e164), phonenumbers.PhoneNumberFormat.NATIONAL
    )
    assert normalise(national, region) == e164
    assert normalise(e164, "US") == e164
    with pytest.raises(PhoneError, match="international form"):
        normalise(national)


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("(+44) 20 7946 0958", "+442079460958"),
        ("+39 06 698 12345", "+390669812345"),
        ("+39 (0)6 698 12345", "+390669812345"),
        ("+49 (0) 30 123456", "+4930123456"),
        ("+800 1234 5678", "+80012345678"),
        ("+7 800 123-45-67", "+78001234567"),
        ("+1 (415) 555\u22120123", "+14155550123"),
        ("+290 12345", "+29012345"),
        ("\ufe0f+1 415 555 0123\u3164", "+14155550123"),
    ],
)
def test_known_quirks(raw: str, e164: str) -> None:
    assert normalise(raw) == e164


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "no digit"),
        ("+", "no digit"),
        ("tel:", "no digit"),
        ("()", "no digit"),
        ("4155550123", "international form"),
        ("415 555 0123", "international form"),
        ("+1 800 FLOWERS", "“F”"),
        ("phone +14155550123", "“p”"),
        ("+1 415 555 0123 ext. 5", "“e”"),
        ("+1 415 555 0123 x5", "“x”"),
        ("+1 415 555 0123;ext=5", "“;”"),
        ("+1 415 555 0123 #5", "“#”"),
        ("tel:+1-415-555-0123;phone-context=+1", "“;”"),
        ("+1 555 0123", "area code"),
        ("+1 415 555 012", "too short"),
        ("+1 415 555 01234", "too long"),
        ("+14155550123 +14155550124", "one phone"),
        ("+14155550123,+14155550124", "“,”"),
        ("+14155550123 / +14155550124", "“/”"),
        ("+14155550123\n+14155550124", "control character"),
        ("+1415555\x000123", "control character"),
        ("+1415\ud83d5550123", "control character"),
        ("++14155550123", "one phone"),
        ("1+4155550123", "one phone"),
        ("+999 1234567", "No country"),
        ("+0 4155550123", "No country"),
        ("000 4155550123", "No country"),
        ("+1.41556E+10", "digits are lost"),
        ("+49" + "1" * 15, "at most 15"),
        ("+1" * 40, "longer than 64"),
    ],
    ids=ascii,
)
def test_what_is_no_phone_is_refused_with_the_reason(raw: str, reason: str) -> None:
    with pytest.raises(PhoneError, match=reason.replace("+", r"\+")):
        normalise(raw)


# Laws


def twice_is_once(raw: str, region: str | None) -> None:
    try:
        once = normalise(raw, region)
    except PhoneError:
        return
    assert normalise(once) == once
    assert normalise(once, region) == once
    assert once[0] == "+"
    assert once[1:].isascii()
    assert once[1:].isdigit()
    assert len(once) <= 16


regions = st.none() | st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))
country_codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@MANY
@given(st.text("0123456789+ -.()", max_size=24), regions)
def test_normalising_twice_is_normalising_once(raw: str, region: str | None) -> None:
    twice_is_once(raw, region)


@MANY
@given(
    country_codes,
    st.sampled_from(["", "0", "00", "8", "01"]),
    st.text("0123456789", min_size=4, max_size=14),
)
def test_normalising_twice_is_once_for_any_country(code: int, trunk: str, digits: str) -> None:
    twice_is_once(f"+{code}{trunk}{digits}", None)


@given(st.text(st.characters(exclude_categories=[]), max_size=70), regions)
def test_any_text_is_a_phone_or_a_phone_error(raw: str, region: str | None) -> None:
    twice_is_once(raw, region)


@given(
    st.sampled_from(sorted(phones.CALLING_CODES)),
    st.text("0123456789", min_size=2, max_size=14) | st.from_regex(r"\A[018][0-9]{4,10}\Z"),
)
@MANY
def test_the_short_way_says_what_libphonenumber_says(code: str, rest: str) -> None:
    number = f"+{code}{rest}"
    try:
        asked = phones.to_e164(number, None)
    except PhoneError:
        asked = ""
    if phones.is_e164(number):
        assert asked == number


def read_by_libphonenumber(raw: str) -> str:
    try:
        return phones.to_e164(phones.dialled(raw), None)
    except PhoneError:
        return ""


@given(st.data(), st.sampled_from(sorted(phones.CALLING_CODES)))
@MANY
def test_a_phone_with_separators_is_what_libphonenumber_says(
    data: st.DataObject, code: str
) -> None:
    parts = st.lists(st.text("0123456789", max_size=4), min_size=2, max_size=7)
    raw = f"+{code}{data.draw(st.sampled_from([' ', '-', '(', ') ', '[', ']', '+', '']))}"
    raw += data.draw(st.sampled_from(" -()[]")).join(data.draw(parts))
    asked = read_by_libphonenumber(raw)
    if asked and read_by_libphonenumber(asked) == asked:
        assert phones.normalise(raw) == asked
    elif not asked:
        with pytest.raises(PhoneError):
            phones.normalise(raw)


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_short_way_is_taken_for_ordinary_numbers(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example:
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert phones.to_e164(number, None) == number
        # Argentina's pattern of a trunk prefix matches nothing at all, too.
        assert phones.is_e164(number) is (region != "AR")
