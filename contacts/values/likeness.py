"""When two contacts are likely one person: the rule for the list of possible duplicates, and for
`merge_duplicates --by phone-variant`. Pure: no Django, no database.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from math import prod
from typing import NamedTuple

import phonenumbers

from . import phones
from .folding import searchable

TAIL = 4  # digits at the end of a phone that `NearKeys` keeps apart from its beginning
ENDING = 2  # digits at the end in which the phones of one company differ
FEWEST_LETTERS = 8  # of a name with a single word: a shorter one is the name of many people
WORD = re.compile(r"[^\W_]+")
# Where the longer form of a number has a digit more than `phones.variant_key`: the beginning of the
# number, the position of the digit, the digit.
LONGER = [("+55", 5, "9"), ("+52", 3, "1"), ("+54", 3, "9")]


class Reason(StrEnum):
    """Why two contacts may be one person."""

    PHONE = "phone"
    EMAIL = "email"
    NAME = "name"
    NEAR_PHONE = "near_phone"
    PHONE_SERIES = "phone_series"


# The probability, by estimate, that two contacts are one person if nothing else is known. The
# values only order the list. A family or an office shares an e-mail address. Colleagues with one
# name are rare, but a company is often stored under its own name for each of its phones.
WEIGHTS = {
    Reason.PHONE: 0.9,
    Reason.EMAIL: 0.6,
    Reason.NAME: 0.3,
    Reason.NEAR_PHONE: 0.6,
    Reason.PHONE_SERIES: 0.2,
}


def likelihood(reasons: Collection[Reason]) -> int:
    """From 0 to 100; each further reason makes it greater."""
    return round(100 * (1 - prod(1 - WEIGHTS[reason] for reason in reasons)))


@dataclass(frozen=True)
class Person:
    """What of a contact is compared. `email`: folded. `region`: of the tenant, see `phone_key`."""

    phone: str
    name: str
    email: str
    region: str

    @cached_property
    def phone_key(self) -> str:
        return phone_key(self.phone, self.region)

    @cached_property
    def name_key(self) -> str:
        return name_key(self.name)

    @cached_property
    def variants(self) -> set[str]:
        """The phones of all contacts that may be this person because of their phone alone."""
        return variants(self.phone_key, self.region) - {self.phone}

    @cached_property
    def near_keys(self) -> "NearKeys | None":
        """None if the name says too little."""
        return near_keys(self.name_key, self.phone) if self.name_key else None

    def reasons_with(self, other: "Person") -> set[Reason]:
        """Why both may be one person; empty if they probably are two. Symmetric.

        The same name is a reason only together with another one: many people have the same name.
        """
        found = set()
        # First the set: to make the key of a phone takes a hundred times as long.
        if other.phone in self.variants and self.phone_key == other.phone_key:
            found.add(Reason.PHONE)
        if self.email and self.email == other.email:
            found.add(Reason.EMAIL)
        if self.name_key and self.name_key == other.name_key:
            found |= {Reason.NAME, *phone_likeness(self.phone, other.phone)}
        return found if found != {Reason.NAME} else set()


# Phones


def phone_key(e164: str, region: str = "") -> str:
    """A key that is equal for two phones of which one is a variant of the other.

    Variants of a number are:

    - a number that reaches the same phone, see `phones.variant_key`;
    - the number with the trunk prefix kept (+44 020…), or with a 0 after its country code where the
      country has no trunk prefix (+39 0347…);
    - the number with its country code twice;
    - the number without its country code, if this is the code of `region`, the tenant's country.

    The last three count only if the number is not valid as it stands, and is valid after the
    repair: two valid numbers are two phones.
    """
    number = e164
    with suppress(phones.PhoneError):
        number = phones.normalise(e164)
    if not is_valid(number):
        number = next(filter(is_valid, repairs(number, region)), number)
    return phones.variant_key(number)


def is_valid(e164: str) -> bool:
    try:
        return phones.is_valid(e164)
    except phonenumbers.NumberParseException:
        return False


def code_of(region: str) -> str:
    """The calling code of a country; empty if there is no such country."""
    code = phonenumbers.country_code_for_region(region) if region else 0
    return str(code) if code else ""


def repairs(e164: str, region: str) -> Iterator[str]:
    """What a phone that is not valid may have been meant to be."""
    code = phones.calling_code(e164[1:])
    national = e164[1 + len(code) :]
    if code and national.startswith(code):
        yield f"+{national}"
    if code and national.startswith("0"):
        yield f"+{code}{national[1:]}"
    if own := code_of(region):
        yield f"+{own}{e164[1:]}"


def variants(key: str, region: str = "") -> set[str]:
    """The phones, in E.164, that may have `key` as their `phone_key`."""
    found = {key}
    for start, position, digit in LONGER:
        longer = f"{key[:position]}{digit}{key[position:]}"
        if key.startswith(start) and phones.variant_key(longer) == key:
            found.add(longer)
    for number in [*found]:
        code = phones.calling_code(number[1:])
        national = number[1 + len(code) :]
        found |= {f"+{code}0{national}", f"+{code}{code}{national}"}
        if code == code_of(region):
            found.add(f"+{national}")
    return {phone for phone in found if len(phone) <= 1 + phones.MAX_DIGITS}


class NearKeys(NamedTuple):
    """Two people whose names are the same and whose phones are alike, see `phone_likeness`, have at
    least one of these keys in common. So an index finds them among a million people, where trying
    all phones that are like a phone takes two hundred look-ups."""

    beginning: int
    tail: int


def near_keys(name: str, phone: str) -> NearKeys:
    """The keys of a person. `name`: a key from `name_key`; `phone`: in E.164.

    Neither key has the digit between the two parts. Without this gap, two digits that are swapped
    across the border would change both parts.
    """
    both = f"{name} {len(phone)} "
    beginning, tail = phone[: -TAIL - 1], phone[-TAIL:]
    return NearKeys(number_of(f"{both}{beginning}-"), number_of(f"{both}-{tail}"))


def number_of(text: str) -> int:
    """A number of 64 bits, with a sign as databases have it. Two texts hardly ever share one."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def phone_likeness(one: str, other: str) -> set[Reason]:
    """How two phones of people with one name are alike.

    Near: one digit differs, or two neighbours are swapped, as by a mistake in typing. Of one
    series: only the last two digits differ, as in the phones of a company; a swap is near.
    """
    if len(one) != len(other) or one == other:
        return set()
    if phones.calling_code(one[1:]) != phones.calling_code(other[1:]):
        return set()
    places = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(places) == 2 and swapped(one, places[0]) == other:
        return {Reason.NEAR_PHONE}
    if places[0] >= len(one) - ENDING:
        return {Reason.PHONE_SERIES}
    return {Reason.NEAR_PHONE} if len(places) == 1 else set()


def swapped(e164: str, place: int) -> str:
    """With the digit at `place` and the next one swapped."""
    return f"{e164[:place]}{e164[place + 1]}{e164[place]}{e164[place + 2 :]}"


# Names


def name_key(name: str) -> str:
    """A key that is equal for two spellings of a name; empty if the name says too little.

    Case, accents, width, punctuation and the order of the words do not count. A name says enough
    if it has two words, or eight letters; numbers in it are compared, but say nothing.
    """
    words = sorted(WORD.findall(searchable(name)))
    telling = [word for word in words if not word.isdecimal()]
    says_enough = len(telling) > 1 or len("".join(telling)) >= FEWEST_LETTERS
    return " ".join(words) if says_enough else ""
