"""Phone numbers as people paste them → E.164. Pure: no Django, no database.

"Possible" and "valid" are libphonenumber's words: a possible number has a length that its
country uses, a valid one also lies in a range known to be assigned. Number plans change faster
than the tables, so possible is enough here.
"""

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from typing import Any

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

MAX_RAW_LENGTH = 64  # characters
MAX_DIGITS = 15  # ITU-T E.164, section 6.2.1

# Beside Unicode's spaces and dashes (categories Zs and Pd): minus sign, Japanese long vowel mark
# and middle dot, which stand for dashes and dots.
SEPARATORS = set("\t.()[]\u2212\u30fc\u00b7")

PLAIN = re.compile(r"[0-9+ .()\[\]\-]*")
NO_SEPARATORS = str.maketrans("", "", " .()[]-")

# What Unicode calls default-ignorable outside category Cf, as far as it occurs in the wild.
INVISIBLE = {"\u034f", "\u115f", "\u1160", *map(chr, range(0xFE00, 0xFE10))}

CALLING_CODES = {str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}

LENGTHS = {
    ValidationResult.INVALID_COUNTRY_CODE: "No country has this calling code.",
    ValidationResult.TOO_SHORT: "The phone is too short for its country.",
    ValidationResult.TOO_LONG: "The phone is too long for its country.",
    ValidationResult.INVALID_LENGTH: "No phone of this country has this many digits.",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "The phone lacks its area code.",
}


VARIANTS = [
    (re.compile(r"\+55([1-9]\d)9([6-9]\d{7})"), r"+55\1\2"),
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+549(\d{10})"), r"+54\1"),
]


class PhoneError(ValueError):
    """Not a phone number; the message is a sentence for whoever typed it."""


def normalise(raw: str, region: str | None = None) -> str:
    """`raw` in E.164: a plus sign and at most 15 digits.

    `raw`: at most 64 characters. Spaces, dashes, dots and brackets between the digits, `00` for
    the plus, digits of any script, full-width forms, `tel:` in front and invisible marks are
    understood.
    `region`: the country (ISO 3166-1, two letters) of numbers without plus or `00`; without it
    those are refused, because guessing a country writes to a stranger.

    Normalising a result again gives that result. Raises `PhoneError` for letters, extensions,
    numbers that only work locally, two numbers in one field, and what is not a possible number
    of an existing country code.
    """
    if len(raw) > MAX_RAW_LENGTH:
        raise PhoneError(f"The phone is longer than {MAX_RAW_LENGTH} characters.")
    number = dialled(raw)
    if is_e164(number):
        return number
    e164 = to_e164(number, region)
    while e164 != number:  # libphonenumber may strip a trunk prefix each time
        number, e164 = e164, to_e164(e164, None)
    return e164


def parts(raw: str, region: str | None = None) -> set[str]:
    """What phones hold that `raw` spells, whole or in part; nothing where it spells none.

    Without zeros in front: the trunk prefix of a national spelling, which E.164 does not have.
    `region` as in `normalise`.
    """
    try:
        found = {dialled(raw).lstrip("0")}
    except PhoneError:
        return set()
    with suppress(PhoneError):
        found.add(normalise(raw, region))
    return found - {"", "+"}


def may_hold(part: str) -> bool:
    """Whether some phone in E.164 has `part` in it: no database need look for letters there."""
    return bool(re.fullmatch(r"\+?[0-9]*", part))


def dialled(raw: str) -> str:
    """The ASCII digits of `raw`, after a plus sign where it has one or begins with `00`."""
    if PLAIN.fullmatch(raw):
        number = raw.translate(NO_SEPARATORS)  # what the rest would do, in a tenth of the time
    else:
        text = unicodedata.normalize("NFKC", raw)
        text = "".join(character for character in text if not is_invisible(character)).strip()
        if text[:4].lower() == "tel:":
            text = text[4:]
        number = "".join(map(digit_or_plus, text))
    if "+" in number[1:]:
        raise PhoneError("A + stands only in front; send one phone in this field.")
    return re.sub(r"^00", "+", number)


def digits(text: str) -> str:
    """The digits of any script in `text`, whatever stands between them, as ASCII."""
    return "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())


def national(e164: str) -> str:
    """The number without its country code, as nearly every spelling of it holds it."""
    return str(phonenumbers.parse(e164).national_number)


def readable(e164: str) -> str:
    """As people of other countries write it, such as +33 6 12 34 56 78 (ITU-T E.123)."""
    parsed = phonenumbers.parse(e164)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def variant_key(e164: str) -> str:
    """The same for numbers that reach the same phone, as messaging apps know them.

    Brazil: mobile numbers got a ninth digit, 9, in front (Anatel, resolution 553/2010). Mexico:
    a 1 behind the country code, until 2019. Argentina: a 9 there for mobile phones called from
    abroad. Other numbers are their own key.
    """
    for pattern, key in VARIANTS:
        if match := pattern.fullmatch(e164):
            return match.expand(key)
    return e164


def is_invisible(character: str) -> bool:
    """Direction marks, zero-width spaces, BOM (category Cf), joiners, variation selectors."""
    return unicodedata.category(character) == "Cf" or character in INVISIBLE


def digit_or_plus(character: str) -> str:
    """What `character` adds to the number: a digit, a plus, or nothing where it separates."""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character == "+":
        return character
    if character in SEPARATORS or unicodedata.category(character) in {"Zs", "Pd"}:
        return ""
    raise PhoneError(
        f"A phone has no “{character}” in it; send digits only, with + and the country code."
        if character.isprintable()
        else "The phone holds a control character; send one phone on one line."
    )


def is_e164(number: str) -> bool:
    """Whether libphonenumber would find `number` possible and leave it as it is.

    By its own tables, in a twelfth of the time: a known calling code, nothing that could be a
    trunk prefix behind it, and a possible length. False: it has to be asked.
    """
    if number[:1] != "+" or len(number) > 1 + MAX_DIGITS:
        return False
    code = next((number[1:end] for end in (2, 3, 4) if number[1:end] in CALLING_CODES), None)
    if code is None:
        return False
    trunk, lengths = plan(code)
    rest = number[1 + len(code) :]
    return len(rest) in lengths and not (trunk and trunk.match(rest))


@lru_cache
def plan(code: str) -> tuple[re.Pattern[str] | None, set[int]]:
    """The trunk prefix and the lengths of national numbers behind a calling code."""
    region = phonenumbers.region_code_for_country_code(int(code))
    tables = phonenumbers.PhoneMetadata
    metadata: Any = tables.metadata_for_region_or_calling_code(int(code), region)
    trunk, numbers = metadata.national_prefix_for_parsing, metadata.general_desc
    lengths = {*numbers.possible_length} - {*numbers.possible_length_local_only}
    return re.compile(trunk) if trunk else None, lengths


def to_e164(number: str, region: str | None) -> str:
    """`number` (digits, perhaps after a plus) in E.164. Raises `PhoneError`."""
    if not number.strip("+"):
        raise PhoneError("There is no digit in the phone.")
    if not number.startswith("+") and not region:
        raise PhoneError("Write the phone in international form: + and the country code first.")
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as error:
        raise PhoneError(parse_problem(error)) from error
    result = phonenumbers.is_possible_number_with_reason(parsed)
    if result != ValidationResult.IS_POSSIBLE:
        raise PhoneError(LENGTHS[result])
    e164: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if len(e164) > 1 + MAX_DIGITS:
        raise PhoneError(f"A phone has at most {MAX_DIGITS} digits, country code included (E.164).")
    return e164


def parse_problem(error: NumberParseException) -> str:
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        return LENGTHS[ValidationResult.INVALID_COUNTRY_CODE]
    if error.error_type == NumberParseException.TOO_LONG:
        return LENGTHS[ValidationResult.TOO_LONG]
    return LENGTHS[ValidationResult.TOO_SHORT]
