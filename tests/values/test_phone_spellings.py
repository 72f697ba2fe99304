"""Phones as messaging apps, lead exports and spreadsheets write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.values.phones import MAX_LINK_LENGTH, PhoneError, has_two_readings, normalise

PHONE = "+33612345678"
CODE = "33612345678"

# Each begins with the country code; the plus sign may be missing.
WRAPPED = [
    f"p:+{CODE}", f"p:{CODE}", f"P: +{CODE}", f"whatsapp:+{CODE}", f"whatsapp:{CODE}",
    f"{CODE}@c.us", f"+{CODE}@c.us", f"{CODE}@s.whatsapp.net", f"{CODE}:12@s.whatsapp.net",
    f"https://wa.me/{CODE}", f"http://wa.me/+{CODE}", f"wa.me/{CODE}?text=Hi%20", f"wa.me/{CODE}/",
    f"HTTPS://WA.ME/{CODE}#x", f"https://www.wa.me/%2B{CODE}", f"https://wa.me/c/{CODE}",
    f"https://api.whatsapp.com/send?phone={CODE}", f"https://api.whatsapp.com/send/?phone={CODE}&a",
    f"api.whatsapp.com/send?text=phone&phone=%2B{CODE}", f"https://web.whatsapp.com/send?phone={CODE}",
    f"whatsapp://send?phone={CODE}", f"https://wa.me/{CODE}?text={'x' * 900}",
    "whatsapp:+33 6 12 34 56 78", f"\u200ewhatsapp:+{CODE}\u200e",
]  # fmt: skip
# As spreadsheets write a text and a number; these have their plus sign.
SPREADSHEET = [
    f'="+{CODE}"', f"'+{CODE}", f'="p:+{CODE}"', f"'whatsapp:{CODE}", f"+{CODE}.0", f"+{CODE},00",
    "+3.3612345678E+10", "+3,3612345678e10", f'="tel:+{CODE}"',
]  # fmt: skip


@pytest.mark.parametrize("raw", [*WRAPPED, *SPREADSHEET])
def test_a_spelling_with_the_country_code_needs_nothing_else(raw: str) -> None:
    assert normalise(raw) == PHONE
    assert normalise(raw, "US") == PHONE


@pytest.mark.parametrize("raw", [CODE, f"{CODE}.0", f"'{CODE}", f'="{CODE}"', "3.3612345678E+10"])
def test_a_number_without_plus_is_read_where_the_caller_says_that_it_has_its_code(raw: str) -> None:
    assert normalise(raw, has_country_code=True) == PHONE
    assert normalise(raw, "US", has_country_code=True) == PHONE
    with pytest.raises(PhoneError, match="international form"):
        normalise(raw)


def test_a_trunk_prefix_is_no_country_code() -> None:
    assert normalise("06 12 34 56 78", "FR", has_country_code=True) == PHONE
    assert normalise("p:0612345678", "FR") == PHONE
    with pytest.raises(PhoneError, match="international form"):
        normalise("0612345678", has_country_code=True)


@pytest.mark.parametrize(
    "raw", ["3.36E+10", "3.361234567E+10", "3E10", "+3.36E+10", "3,36123E+10", "'3.36E+10"]
)
def test_an_exponent_that_lost_digits_is_refused(raw: str) -> None:
    for region in (None, "FR"):
        with pytest.raises(PhoneError, match="its digits are lost"):
            normalise(raw, region, has_country_code=True)


@pytest.mark.parametrize(
    "raw",
    [
        f"{CODE}@g.us", f"{CODE}@lid", "ann@c.us", "https://wa.me/message/ABCDEF", "wa.me/", "p:",
        "whatsapp:", f"https://example.com/{CODE}", f"p:p:+{CODE}", "api.whatsapp.com/send?phone=",
        f"https://wa.me/{CODE}?" + "x" * MAX_LINK_LENGTH, "whatsapp:" + "1" * 65, '="', "'", '=""',
    ],
)  # fmt: skip
def test_what_only_looks_like_one_of_them_is_refused(raw: str) -> None:
    with pytest.raises(PhoneError):
        normalise(raw, "FR", has_country_code=True)


@settings(max_examples=500)
@given(
    st.sampled_from(["p:", "whatsapp:", "tel:", "https://wa.me/", "'", '="', "send?phone=", ""]),
    st.text("0123456789+. ,eE-'\"", max_size=20),
    st.sampled_from(["@c.us", "@s.whatsapp.net", '"', ".0", "?text=1", "E+10", ""]),
    st.sampled_from([None, "FR", "US", "AR", "SG", "RU"]),
    st.booleans(),
)
def test_normalising_twice_is_once(
    before: str, number: str, behind: str, region: str | None, has_code: bool
) -> None:
    try:
        once = normalise(before + number + behind, region, has_country_code=has_code)
    except PhoneError:
        return
    assert normalise(once) == once
    assert normalise(once, region, has_country_code=has_code) == once


def test_some_numbers_have_two_readings() -> None:
    assert has_two_readings("6598234567", "US")
    for raw in ("+6598234567", "4155550123", "wa.me/6598234567", "bad", ""):
        assert not has_two_readings(raw, "US")
    assert not has_two_readings("0612345678", "FR")
