"""The country that a phone in E.164 belongs to. Pure: no Django, no database.

By its first digits alone, so that one rule serves a page and a search: the calling code, then in
North America the area code, and elsewhere what libphonenumber calls leading digits. Where those
tell nothing (Guernsey, Jersey, Mayotte and a few more) it is the code's main country.
"""

import re
from functools import cache
from typing import Any, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, REGION_CODE_FOR_NON_GEO_ENTITY, PhoneMetadata

NORTH_AMERICA = 1
AREA = 3  # digits


class Numbers(NamedTuple):
    """Those of a country: behind the calling `code` they have one of `areas`, or `leading`, a
    regular expression for Python and PostgreSQL alike. Without both: all that no other has."""

    code: int
    areas: tuple[str, ...] = ()
    leading: str = ""

    @property
    def is_main(self) -> bool:
        return not self.areas and not self.leading

    def have(self, national: str) -> bool:
        if self.areas:
            return national[:AREA] in self.areas
        return bool(re.match(self.leading, national))


@cache
def numbering() -> dict[str, Numbers]:
    """By country (ISO 3166-1); where countries share a code, the main one first."""
    found = {}
    for code, (main, *others) in COUNTRY_CODE_TO_REGION_CODE.items():
        if main != REGION_CODE_FOR_NON_GEO_ENTITY:
            found[main] = Numbers(code)
            told = ((country, numbers(code, country)) for country in others)
            found |= {country: theirs for country, theirs in told if not theirs.is_main}
    return found


def numbers(code: int, country: str) -> Numbers:
    metadata: Any = PhoneMetadata.metadata_for_region(country)
    leading = metadata.leading_digits or ""
    if code != NORTH_AMERICA:
        return Numbers(code, leading=leading)
    pattern = re.compile(leading or metadata.fixed_line.national_number_pattern)
    every = (str(area) for area in range(200, 1000))
    return Numbers(code, tuple(area for area in every if pattern.match(f"{area}2345678")))


def others_behind(code: int) -> dict[str, Numbers]:
    """The countries that share a calling code, without the main one."""
    return {
        country: theirs
        for country, theirs in numbering().items()
        if theirs.code == code and not theirs.is_main
    }


def of(e164: str) -> str:
    """The country of a phone; empty for numbers of none, such as satellite phones."""
    for length in (1, 2, 3):
        code, national = e164[1 : 1 + length], e164[1 + length :]
        if code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            return behind(int(code), national)
    return ""


def behind(code: int, national: str) -> str:
    main, *others = COUNTRY_CODE_TO_REGION_CODE[code]
    known = numbering()
    if main not in known:
        return ""
    mine = (country for country in others if country in known and known[country].have(national))
    return next(mine, main)
