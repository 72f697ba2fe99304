"""Reads phone numbers as people write them and returns E.164. Pure: no Django, no database.

libphonenumber calls a number "possible" if its country uses numbers of this length, and "valid" if
the number also lies in a range that is known to be assigned. Numbering plans change faster than the
tables of libphonenumber, so this module accepts every possible number. Old forms of plans that have
moved are read as the new form, see `numbering_plans`.
"""

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from .numbering_plans import beginnings, is_valid, old_forms, old_rests, renumbered
from .translation import gettext as _
from .translation import gettext_noop

MAX_RAW_LENGTH = 64  # characters, once a link or a prefix is taken off
MAX_LINK_LENGTH = 2048  # characters
MAX_DIGITS = 15  # ITU-T E.164, section 6.2.1

# Separators, in addition to Unicode's spaces and dashes (categories Zs and Pd). The last three are
# the minus sign, the Japanese long vowel mark and the middle dot: people type them for dashes and
# dots.
SEPARATORS = set("\t.()[]\u2212\u30fc\u00b7")

PLAIN = re.compile(r"[0-9+ .()\[\]\-]*")
# Most phones; not a fraction, which has a dot.
INTERNATIONAL = re.compile(rf"\+[0-9 ()\[\]\-]{{1,{MAX_RAW_LENGTH - 1}}}")
NO_SEPARATORS = str.maketrans("", "", " .()[]-")

# Characters outside category Cf that Unicode calls default-ignorable and that real data contains.
INVISIBLE = {"\u034f", "\u115f", "\u1160", *map(chr, range(0xFE00, 0xFE10))}

# What spreadsheets make of a phone: a number with a fraction, and a number with an exponent.
FLOAT = re.compile(r"\+?\d{7,}[.,]0+")
EXPONENT = re.compile(r"(\+?\d)(?:[.,](\d+))?[eE]\+?(\d{1,2})")
NO_DIGIT = gettext_noop(
    "A phone cannot contain “%(character)s”; send digits, with + and the country code first."
)
CONTROL = gettext_noop("The phone contains a control character; send one phone on one line.")
SEVERAL = gettext_noop("A phone may have a + only at the beginning; send one phone in this field.")
NO_COUNTRY_CODE = gettext_noop(
    "Write the phone in international form: + and the country code first."
)
TOO_MANY_DIGITS = gettext_noop(
    "A phone has at most %(most)s digits, country code included (E.164)."
)
DIGITS_LOST = gettext_noop(
    "A spreadsheet has turned the phone into a number such as 1.4E+10: its digits are lost. Format"
    " the column as text and export again."
)

# How WhatsApp and Facebook write a phone: the country code is there, the plus sign may be missing.
# WhatsApp's ids may name the device after a colon (`12025550123:4@s.whatsapp.net`).
WITH_COUNTRY_CODE = re.compile(
    r"p:(?P<p>.*)"
    r"|whatsapp:(?!//)(?P<whatsapp>.*)"
    r"|(?P<id>[^@:]*)(?::\d+)?@(?:c\.us|s\.whatsapp\.net)"
    r"|(?:https?://)?(?:www\.)?wa\.me/(?:c/)?(?P<short>[^/?#]*)/?(?:[?#].*)?"
    r"|(?:(?:https?://)?(?:api|web|www)\.whatsapp\.com/send/?|whatsapp://send/?)"
    r"\?(?:[^#]*&)?phone=(?P<link>[^&#]*).*",
    re.IGNORECASE | re.DOTALL,
)

CALLING_CODES = {str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}

LENGTHS = {
    ValidationResult.INVALID_COUNTRY_CODE: gettext_noop("No country has this calling code."),
    ValidationResult.TOO_SHORT: gettext_noop("The phone is too short for its country."),
    ValidationResult.TOO_LONG: gettext_noop("The phone is too long for its country."),
    ValidationResult.INVALID_LENGTH: gettext_noop("No phone of this country has this many digits."),
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: gettext_noop("The phone lacks its area code."),
}

# Two spellings of one number, and the spelling that stands for both; see `variant_key`.
VARIANTS = [
    (re.compile(r"\+55([1-9]\d)9([6-9]\d{7})"), r"+55\1\2"),
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+549(\d{10})"), r"+54\1"),
]


class PhoneError(ValueError):
    """The text is not a phone number. As text, the error is a sentence for the person who typed it.
    Only then it is translated: searches try each text as a phone, and need no sentence.

    `sentence`: in English, marked by `gettext_noop`. `values`: of the names in it."""

    def __init__(self, sentence: str, values: dict[str, Any] | None = None) -> None:
        super().__init__(sentence, values or {})

    def __str__(self) -> str:
        sentence, values = self.args
        return _(sentence) % values


def normalise(raw: str, region: str | None = None, *, has_country_code: bool = False) -> str:
    """The phone that `raw` spells, in E.164: a plus sign and at most 15 digits.

    `raw`: at most 64 characters. The number may contain spaces, dashes, dots, brackets, digits of
    any script, full-width characters and invisible marks. It may begin with `00` instead of the
    plus sign, and it may be spelled in one of the ways of `without_wrapping`.
    `region`: the country (ISO 3166-1, two letters) of numbers that begin with neither a plus sign
    nor `00`. Without `region` such numbers are refused: a wrong guess would send messages to a
    stranger.
    `has_country_code`: numbers without a plus sign begin with their country code, as messaging
    systems write them. Numbers that begin with a 0 are still read as numbers of `region`, because
    no country code begins with 0.

    A number in an old form becomes the new one, see `numbering_plans.renumbered`. A result of this
    function is returned unchanged when it is normalised again.

    Raises `PhoneError` for letters, extensions, numbers that work only within their area, two
    numbers in one field, and numbers that are not possible in an existing calling code.
    """
    if INTERNATIONAL.fullmatch(raw) and is_e164(number := raw.translate(NO_SEPARATORS)):
        return number  # same result as below, in a third of the time
    text, names_country = without_wrapping(raw)
    if len(text) > MAX_RAW_LENGTH:
        raise too_long()
    number = dialled(text)
    if (has_country_code or names_country) and number[:1] not in ("", "+", "0"):
        number = f"+{number}"
    if is_e164(number):
        return number
    e164 = to_e164(number, region)
    while e164 != number:  # else a second call could strip another trunk prefix
        number, e164 = e164, to_e164(e164, None)
    return e164


def too_long() -> PhoneError:
    sentence = gettext_noop("The phone is longer than %(most)s characters.")
    return PhoneError(sentence, {"most": MAX_RAW_LENGTH})


def without_wrapping(raw: str) -> tuple[str, bool]:
    """The number in `raw` without what programs put around it, and whether the number begins with
    its country code even if it has no plus sign.

    Spreadsheets: `="+33612345678"`, an apostrophe in front, `33612345678.0`, and exponents that
    have all digits (`3.3612345678E+10`). Messaging apps: `whatsapp:…`, `…@c.us`,
    `…@s.whatsapp.net`, `https://wa.me/…`, `https://api.whatsapp.com/send?phone=…`, and `p:…` of
    Facebook's leads. Links: `tel:…`.

    Raises `PhoneError` for exponents that have lost digits.
    """
    if PLAIN.fullmatch(raw):
        # Of the spellings above, only a fraction has nothing but digits and separators.
        is_float = raw.endswith("0") and FLOAT.fullmatch(raw)
        return re.split("[.,]", raw)[0] if is_float else raw, False
    if len(raw) > MAX_LINK_LENGTH:
        raise too_long()
    text = unicodedata.normalize("NFKC", raw)
    text = "".join(character for character in text if not is_invisible(character)).strip()
    text = without_spreadsheet(text)
    if text[:4].lower() == "tel:":
        return text[4:], False
    if match := WITH_COUNTRY_CODE.fullmatch(text):
        return unquote(match[match.lastgroup or 0]), True
    return text, False


def without_spreadsheet(text: str) -> str:
    """`text` without what spreadsheets put around it. Raises `PhoneError` if digits are lost."""
    if text[:2] == '="' and text[-1] == '"':
        text = text[2:-1]
    text = text.removeprefix("'").strip()
    if FLOAT.fullmatch(text):
        return re.split("[.,]", text)[0]
    if not (match := EXPONENT.fullmatch(text)):
        return text
    first, rest, exponent = match.groups(default="")
    # If the exponent asks for more digits, nobody can tell whether those were zeros.
    if len(rest) != int(exponent):
        raise PhoneError(DIGITS_LOST)
    return first + rest


def parts(raw: str, region: str | None = None) -> set[str]:
    """The digit sequences to search stored phones for, when a person searches for `raw`.

    `raw`: a whole phone or a part of one, in any spelling; `region` as in `normalise`.

    Zeros at the beginning are dropped: a national spelling begins with the trunk prefix 0, and
    E.164 does not contain the trunk prefix. A whole phone is also searched for in its old forms,
    which an earlier version may have stored; so is the beginning of a phone, from the country code
    on, in both forms. Returns an empty set if `raw` cannot be a phone.
    """
    try:
        number = dialled(without_wrapping(raw)[0]).lstrip("0")
    except PhoneError:
        return set()
    with suppress(PhoneError):
        phone = normalise(raw, region)
        whole = {number, phone, *old_forms(phone)}
        return whole if is_valid(phone) else whole | other_beginnings(number)
    return {number, *other_beginnings(number)} - {"", "+"}


def other_beginnings(number: str) -> set[str]:
    """`numbering_plans.beginnings` of digits with or without a plus sign in front."""
    return beginnings(f"+{number.lstrip('+')}")


def has_two_readings(raw: str, region: str) -> bool:
    """Whether `raw` is a valid number of `region`, and another valid number if it begins with its
    country code. `6598234567` is a number of Alabama, and one of Singapore."""
    try:
        local = normalise(raw, region)
        international = normalise(raw, has_country_code=True)
    except PhoneError:
        return False
    return local != international and is_valid(local) and is_valid(international)


def may_hold(part: str) -> bool:
    """Whether a phone in E.164 can contain `part`. If not, a search need not look at phones."""
    return bool(re.fullmatch(r"\+?[0-9]*", part))


def dialled(raw: str) -> str:
    """The ASCII digits of `raw`, with a plus sign in front if `raw` begins with one or with `00`.

    Raises `PhoneError` for other characters than digits and separators, and for a second plus sign.
    """
    if PLAIN.fullmatch(raw):
        number = raw.translate(NO_SEPARATORS)  # same result as below, in a tenth of the time
    else:
        text = unicodedata.normalize("NFKC", raw)
        text = "".join(character for character in text if not is_invisible(character)).strip()
        number = "".join(map(digit_or_plus, text))
    if "+" in number[1:]:
        raise PhoneError(SEVERAL)
    return f"+{number[2:]}" if number.startswith("00") else number


def digits(text: str) -> str:
    """All digits in `text`, of any script, as ASCII; every other character is dropped."""
    return "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())


def national(e164: str) -> str:
    """A phone in E.164 without its country code: nearly every spelling contains these digits."""
    return str(phonenumbers.parse(e164).national_number)


def readable(e164: str) -> str:
    """A phone in E.164 with spaces, in the international notation of ITU-T E.123.

    For example +33 6 12 34 56 78.
    """
    parsed = phonenumbers.parse(e164)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def variant_key(e164: str) -> str:
    """A key that is equal for two numbers in E.164 that reach the same phone.

    Messaging apps know some phones by an old and a new form of the number. Brazil: mobile numbers
    got a 9 in front of their eight digits (Anatel, resolution 553/2010). Mexico: until 2019, a 1
    followed the country code. Argentina: a 9 follows the country code when the call to a mobile
    phone comes from abroad. Every other number is its own key.
    """
    for pattern, key in VARIANTS:
        if match := pattern.fullmatch(e164):
            return match.expand(key)
    return e164


def is_invisible(character: str) -> bool:
    """Whether `character` is one that people paste without seeing it.

    Direction marks, zero-width spaces and the byte order mark (category Cf), joiners, and variation
    selectors.
    """
    return unicodedata.category(character) == "Cf" or character in INVISIBLE


def digit_or_plus(character: str) -> str:
    """What `character` adds to the number: a digit, a plus sign, or nothing for a separator.

    Raises `PhoneError` for every other character.
    """
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character == "+":
        return character
    if character in SEPARATORS or unicodedata.category(character) in {"Zs", "Pd"}:
        return ""
    raise PhoneError(NO_DIGIT if character.isprintable() else CONTROL, {"character": character})


def is_e164(number: str) -> bool:
    """Whether `number` is a possible number that libphonenumber would return unchanged.

    The function reads libphonenumber's own tables and takes a twelfth of the time of a call: the
    calling code is known, neither a trunk prefix nor a number in an old form can follow it, and the
    length is possible. False means that only `to_e164` can decide.
    """
    if number[:1] != "+" or not (found := plan_of(number[1:4])):
        return False
    start, doubtful, lengths = found
    return len(number) in lengths and not (doubtful and doubtful.match(number, start))


@lru_cache(maxsize=1000)
def plan_of(digits: str) -> tuple[int, re.Pattern[str] | None, set[int]] | None:
    """The plan of the numbers in E.164 with these `digits` after the plus sign, three or all; None
    if no country has the calling code.

    Returns where their national numbers begin, then `plan` with the lengths of whole numbers."""
    code = calling_code(digits)
    if not code:
        return None
    doubtful, lengths = plan(code)
    start = 1 + len(code)
    whole = {start + length for length in lengths}
    return start, doubtful, {length for length in whole if length <= 1 + MAX_DIGITS}


def calling_code(digits: str) -> str:
    """The calling code with which `digits`, a number in E.164 without its plus sign, begins; empty
    if no country has it."""
    return next((digits[:end] for end in (1, 2, 3) if digits[:end] in CALLING_CODES), "")


def plan(code: str) -> tuple[re.Pattern[str] | None, set[int]]:
    """Of the calling code `code`: the pattern of national numbers that begin with a trunk prefix or
    are in an old form, or None, and the possible lengths of national numbers."""
    region = phonenumbers.region_code_for_country_code(int(code))
    tables = phonenumbers.PhoneMetadata
    metadata: Any = tables.metadata_for_region_or_calling_code(int(code), region)
    trunk, numbers = metadata.national_prefix_for_parsing, metadata.general_desc
    lengths = {*numbers.possible_length} - {*numbers.possible_length_local_only}
    doubtful = [*filter(None, [trunk]), *(f"{rest}\\Z" for rest in old_rests(code))]
    return re.compile("|".join(doubtful)) if doubtful else None, lengths


def to_e164(number: str, region: str | None) -> str:
    """`number` in E.164, by libphonenumber; `number`: digits, with or without a plus sign in front.

    `region` as in `normalise`. Raises `PhoneError`.
    """
    if not number.strip("+"):
        raise PhoneError(gettext_noop("The phone contains no digits."))
    if not number.startswith("+") and not region:
        raise PhoneError(NO_COUNTRY_CODE)
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as error:
        raise PhoneError(parse_problem(error)) from error
    e164: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    # Before the length is checked: numbers of an old plan had other lengths.
    if (new := renumbered(e164)) != e164:
        return new
    result = phonenumbers.is_possible_number_with_reason(parsed)
    if result != ValidationResult.IS_POSSIBLE:
        raise PhoneError(LENGTHS[result])
    if len(e164) > 1 + MAX_DIGITS:
        raise PhoneError(TOO_MANY_DIGITS, {"most": MAX_DIGITS})
    return e164


def parse_problem(error: NumberParseException) -> str:
    """The sentence for a number that libphonenumber cannot read at all."""
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        return LENGTHS[ValidationResult.INVALID_COUNTRY_CODE]
    if error.error_type == NumberParseException.TOO_LONG:
        return LENGTHS[ValidationResult.TOO_LONG]
    return LENGTHS[ValidationResult.TOO_SHORT]
