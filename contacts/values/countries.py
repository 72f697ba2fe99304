"""The country of a phone number in E.164. Pure: no Django, no database.

The first digits alone decide the country, so that a page and a database query can apply the same
rule: first the calling code; then, in North America, the area code, and elsewhere the pattern that
libphonenumber calls leading digits. For some countries (Guernsey, Jersey, Mayotte and a few more)
these digits are the same as for the main country of the calling code. Their numbers count as
numbers of the main country.
"""

import re
from functools import cache
from typing import Any, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, REGION_CODE_FOR_NON_GEO_ENTITY, PhoneMetadata

NORTH_AMERICA = 1  # the calling code of the North American Numbering Plan
AREA = 3  # digits of an area code in North America


class Numbers(NamedTuple):
    """The phone numbers of one country.

    `code`: the calling code. `areas`: the area codes that follow the calling code. `leading`: a
    regular expression for the digits that follow the calling code; Python and PostgreSQL both
    understand it. The main country of a calling code has neither `areas` nor `leading`: it has all
    numbers that no other country with this code has.
    """

    code: int
    areas: tuple[str, ...] = ()
    leading: str = ""

    @property
    def is_main(self) -> bool:
        return not self.areas and not self.leading

    def contain(self, national: str) -> bool:
        """Whether `national`, the digits after the calling code, is a number of this country."""
        if self.areas:
            return national[:AREA] in self.areas
        return bool(re.match(self.leading, national))


@cache
def numbering() -> dict[str, Numbers]:
    """The numbers of each country, by ISO 3166-1 code.

    Where countries share a calling code, the main country comes first. A country is left out if its
    numbers cannot be distinguished from the numbers of the main country.
    """
    found = {}
    for code, (main, *others) in COUNTRY_CODE_TO_REGION_CODE.items():
        if main != REGION_CODE_FOR_NON_GEO_ENTITY:
            found[main] = Numbers(code)
            by_country = {country: numbers(code, country) for country in others}
            found |= {country: its for country, its in by_country.items() if not its.is_main}
    return found


def numbers(code: int, country: str) -> Numbers:
    """The numbers of a country that is not the main country of the calling code `code`."""
    metadata: Any = PhoneMetadata.metadata_for_region(country)
    leading = metadata.leading_digits or ""
    if code != NORTH_AMERICA:
        return Numbers(code, leading=leading)
    pattern = re.compile(leading or metadata.fixed_line.national_number_pattern)
    every = (str(area) for area in range(200, 1000))
    return Numbers(code, tuple(area for area in every if pattern.match(f"{area}2345678")))


def sharing(code: int) -> dict[str, Numbers]:
    """The countries that share the calling code `code` with its main country."""
    return {
        country: its for country, its in numbering().items() if its.code == code and not its.is_main
    }


def of(e164: str) -> str:
    """The ISO 3166-1 code of the country of a phone in E.164.

    Empty for numbers that belong to no country, such as satellite phones.
    """
    for length in (1, 2, 3):
        code, national = e164[1 : 1 + length], e164[1 + length :]
        if code.isdecimal() and int(code) in COUNTRY_CODE_TO_REGION_CODE:
            return of_national(int(code), national)
    return ""


def of_national(code: int, national: str) -> str:
    """The country of the number `national` within the calling code `code`; see `of`."""
    main, *others = COUNTRY_CODE_TO_REGION_CODE[code]
    known = numbering()
    if main not in known:
        return ""
    found = (country for country in others if country in known and known[country].contain(national))
    return next(found, main)
