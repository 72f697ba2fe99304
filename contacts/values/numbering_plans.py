"""Numbering plans that have moved for good: reads a number in its old form as the new one.

Regulators lengthen numbers, or replace their first digits. Nobody can dial the old form any more,
but address books keep it for years. `PLANS` has an entry for each such plan, with its source. The
table in docs/phones.md is for users; a test compares both.

The rule behind the table: an old form becomes the new form only if libphonenumber calls the old
form not valid and the new form valid. So a valid number never changes, and renumbering twice is
the same as renumbering once. Without the second condition, a mistyped number would become a number
that nobody has.

Left out on purpose: Gabon (2019), Burkina Faso and Kosovo, because their old forms are valid
numbers today; landlines of Cameroon (2014), because one old form became two new ones; mobile
numbers of Chile (2016), because only calls within the country changed; Togo (2011), because the
first digit of a mobile number does not say which operator's digits came in front.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple

import phonenumbers


class Move(NamedTuple):
    """How old numbers become new ones, and back; see `move`. The patterns and the replacements are
    for all digits of E.164, without the plus sign. `pieces`: the same piece by piece, each with its
    sign, see `pieces_of`."""

    old: re.Pattern[str]
    new: re.Pattern[str]
    to_new: str
    to_old: str
    pieces: tuple[tuple[str, str], ...]


class Plan(NamedTuple):
    """A numbering plan that has moved.

    `country`: ISO 3166-1, two letters. `code`: the calling code of the old numbers. `change`: what
    changed, for people. `since`: the day of the change; only the year where the source has no day.
    `source`: who says so. `example`: a number in its old form. `moves`: see `move`. `national`:
    moves of spellings that are used inside the country only: no contact was ever stored so.
    `signs`: patterns of the first digits that only old numbers have; see `sure_prefixes`.
    `to_code`: the first digits of new numbers, where those are not `code`.
    """

    country: str
    code: str
    change: str
    since: str
    source: str
    example: str
    moves: tuple[Move, ...]
    national: tuple[Move, ...] = ()
    signs: tuple[str, ...] = ()
    to_code: str = ""


def move(spelling: str) -> Move:
    """Reads a move from its parts, which spaces separate. `-` marks digits that went, and `+`
    digits that came; every other part is a pattern of digits that stay. The calling code comes
    first.

    For example `55 .. +9 [689].......`: in numbers of Brazil, a 9 came after the area code of two
    digits, in front of eight digits the first of which is 6, 8 or 9.
    """
    parts = spelling.replace(".", r"\d").split()
    old, to_old = one_side(parts, "-")
    new, to_new = one_side(parts, "+")
    return Move(old, new, to_new, to_old, tuple(pieces_of(parts)))


def one_side(parts: list[str], sign: str) -> tuple[re.Pattern[str], str]:
    """The pattern of the numbers on one side of a move, and the replacement that makes them. The
    digits that stay are the groups of the pattern."""
    pattern, replacement, groups = "", "", 0
    for part in parts:
        if part[0] == sign:
            pattern, replacement = pattern + part[1:], replacement + part[1:]
        elif part[0] not in "+-":
            groups += 1
            pattern, replacement = f"{pattern}({part})", f"{replacement}\\g<{groups}>"
    return re.compile(pattern), replacement


def pieces_of(parts: list[str]) -> Iterator[tuple[str, str]]:
    """The pieces of the parts that `move` reads: alternatives, one of several digits, any digit, or
    a digit, each with its sign: `-`, `+`, `code` for the calling code, or nothing."""
    for number, part in enumerate(parts):
        sign = part[0] if part[0] in "+-" else "" if number else "code"
        for piece in re.findall(r"\(.*\)|\[.*?\]|\\d|\d", part):
            yield sign, piece


def moves(code: str, *spellings: str) -> tuple[Move, ...]:
    return tuple(move(f"{code} {spelling}") for spelling in spellings)


# Documents of the regulators, collected by libphonenumber's authors.
RECIPES = "libphonenumber, migrator/src/data/recipes.csv"

# Manila's landlines got the digit of their operator in front: three digits → that digit.
MANILA = {
    "3": "2(?:2[0-46-8]|62)|3(?:7[7-9]|8.|9[0-4])"
    "|4(?:[06][6-9]|[139].|2[78]|4[03-9]|5[03-6]|74|8[013-9])",
    "6": "76.",
    "7": "2(?:1.|25|3[89]|6[13-6])|3(?:58|6[89])|4(?:73|82)|5(?:0.|7[67]|8[5-7])"
    "|6(?:1[135-8]|2[1-5])|7(?:1[7-9]|[23][089]|4[4-8]|5.|9[1-9])"
    "|9(?:0.|[15][04-9]|3[34]|4[03-69]|6[0468]|7[0-68]|8[079])",
    "8": "2(?:0[89]|3[0-7]|[457-9].|6[07-9])|3(?:3[0-4]|4[0-8]|5[0-79]|6[0-7]|7[0-6]|9[5-9])"
    "|4(?:[06][0-5]|2[0-3569]|4[12]|5[127-9]|7[0-25-9])"
    "|5(?:[1256].|3[0-6]|4[1-9]|7[0-589]|8[0-489])"
    "|6(?:2[06-8]|[35].|4[0-7]|6[0-46-9]|7[12]|8[1-37-9]|9[1-35-7])"
    "|7(?:[078].|1[0-6]|[23][1-7]|4[0-39]|90)|8.."
    "|9(?:[15][1-3]|[29].|3[0-25-9]|4[1278]|6[127]|8[1-68])",
}

PLANS = (
    Plan(
        "BJ", "229", "All numbers: 01 in front", "2024-11-30", "ARCEP Bénin", "+22997123456",
        moves("229", "+01 ........"),
        signs=("229[2-9]",),
    ),
    Plan(
        "BR", "55", "Mobile numbers of eight digits that begin with 6, 8 or 9: 9 in front of them",
        "2012-07-29 to 2016",
        "Anatel, resolution 553 of 2010; ITU communication of 6.II.2013", "+551187654321",
        moves("55", ".. +9 [689]......."),
        signs=("55[1-9][1-9][68]",),
    ),
    Plan(
        "CG", "242", "Mobile numbers: 0 and the operator's digit in front; landlines: 22 in front",
        "2010-10-15", "World Telephone Numbering Guide, wtng.info", "+2425123456",
        moves("242", "+04 4......", "+05 5......", "+06 6......", "+22 2[1-589]....."),
        signs=("242[4-6]",),
    ),
    Plan(
        "CI", "225", "All numbers: 01, 05 or 07 (mobile) or 21, 25 or 27 (landline) in front, by"
        " operator (Moov, MTN, Orange)", "2021-01-31", "ARTCI", "+22507123456",
        moves(
            "225",
            "+01 (?:0[1-3]|[457][0-3])......",
            "+05 (?:0[4-6]|[4-9][4-6])......",
            "+07 (?:0[7-9]|[4-8][7-9]|9[78])......",
            "+21 2[0-3]8.....",
            "+25 (?:2[0-4]|3[0-6])0.....",
            "+27 (?:20[23]|21[2357]|22[45]|23[45]|24[345]|306|31[69]|3[234]7|359|368).....",
        ),
        signs=("225[3-9]", "2250[234689]"),
    ),
    Plan(
        "CL", "56", "Landlines: 2 after the area code", "2012-10-20 to 2013-07-06",
        "Subtel; ITU communication of 2.VII.2014", "+5665350009",
        moves("56", "2 +2 .......", "(?:3[2-5]|4[1-35]|5[1-3578]|6[13-57]|7[1-35]) +2 ......"),
    ),
    Plan(
        "CM", "237", "Mobile numbers: 6 in front", "2014-11-21",
        "Ministry of Posts and Telecommunications", "+23775123456",
        moves("237", "+6 [579]......."),
        signs=("237[579]",),
    ),
    Plan(
        "CO", "57", "Landlines: 60 in front", "2021-09-01", "CRC, resolution 5826 of 2019",
        "+5712345678",
        moves("57", "+60 [1-8]......."),
        signs=("57[2578]",),
    ),
    Plan(
        "EC", "593", "Mobile numbers: 9 in front", "2012-09-30", "Supertel", "+59398123456",
        moves("593", "+9 [89]......."),
        signs=("5938",),
    ),
    Plan(
        "EG", "20", "Mobile numbers: the operator's digit (0, 1 or 2) after 1", "2011-10-06",
        "NTRA", "+20161234567",
        moves("20", "1 +0 [069].......", "1 +1 [14].......", "1 +2 [278]......."),
        signs=("201[46-9]",),
    ),
    Plan(
        "GE", "995", "Mobile numbers: 5 in front", "2011",
        "GNCC; ITU communication of 22.XII.2010", "+99599123456",
        moves("995", "+5 [579]......."),
        signs=("9959",),
    ),
    Plan(
        "MR", "222", "All numbers: the operator's digit (2, 3 or 4) in front", "2011-01-01",
        "ITU communication of 30.VI.2010; World Telephone Numbering Guide, wtng.info",
        "+2226412345",
        moves(
            "222",
            "+2 2......", "+2 5[08].....", "+2 70.....",
            "+3 3......", "+3 6[1236].....", "+3 7[1-3].....",
            "+4 4......", "+4 5[1-7].....", "+4 6[045789].....", "+4 7[4-9].....",
        ),
        signs=("222[5-7]",),
    ),
    Plan(
        "MU", "230", "Mobile numbers: 5 in front", "2013-09-01", "ICTA", "+2307251234",
        moves("230", "+5 ......."),
        signs=("2309",),
    ),
    Plan(
        "MX", "52", "Mobile numbers: no 1 after the country code, and no 01, 044 or 045",
        "2019-08-03", "IFT; libphonenumber 8.10.17", "+5215512345678",
        moves("52", "-1 .........."),
        national=moves("52", "-01 ..........", "-044 ..........", "-045 .........."),
        signs=("521",),
    ),
    Plan(
        "PH", "63", "Landlines of Manila: the operator's digit (3, 6, 7 or 8) in front",
        "2019-10-06", RECIPES, "+6325551234",
        moves("63", *(f"2 +{digit} (?:{first})...." for digit, first in MANILA.items())),
        signs=("632[29]",),
    ),
    Plan(
        "QA", "974", "All numbers of seven digits: the first digit twice", "2010-07-28", "ictQATAR",
        "+9745512345",
        moves("974", "+3 3......", "+4 4......", "+5 5......", "+6 6......", "+7 7......"),
    ),
    Plan(
        "SA", "966", "Landlines: 1 in front", "2013-05-13 to 2013-08-18",
        f"ITU communication of 9.IV.2013; {RECIPES}", "+96612345678",
        moves("966", "+1 [1-467]......."),
        signs=("966[23467]",),
    ),
    Plan(
        "SC", "248", "Landlines: 4 or 6 in front; mobile numbers: 2 in front",
        "2010-11-01 to 2011-08-04", "World Telephone Numbering Guide, wtng.info", "+248512345",
        moves("248", "+4 [236].....", "+4 4[1-3]....", "+6 47....", "+2 [57]....."),
        signs=("248[357]",),
    ),
    Plan(
        "SX", "599", "All numbers: +1 721 instead of +599", "2011-09-30",
        "NANPA, planning letter 423", "+5995421234",
        (move("-599 +1721 5......"),),
        signs=("5995",),
        to_code="1721",
    ),
    Plan(
        "SZ", "268", "Landlines: 2 in front; mobile numbers: 7 in front",
        "2010-03-01 and 2011-02-01", "ITU communication of 30.IX.2010; Wikipedia", "+2686012345",
        moves("268", "+2 [2-5]......", "+7 6......"),
        signs=("268[4-6]",),
    ),
    Plan(
        "VN", "84", "Mobile numbers of ten digits: nine digits; landlines: area codes that begin"
        " with 2", "2017 and 2018", RECIPES,
        "+841631234567",
        moves(
            "84",
            # Mobile numbers.
            "-12 +7 [068].......", "-121 +79 .......", "-122 +77 .......", "-12 +8 [345].......",
            "-127 +81 .......", "-129 +82 .......", "-16 +3 [2-9].......", "-18 +5 [68].......",
            "-199 +59 .......", "-992 +672 ......",
            # Landlines.
            "+2 7[235].......", "-68 +259 .......", "-6 +27 7[013-9]......",
            "-6 +27 6.......", "-651 +271 .......", "-650 +274 .......", "-6 +25 [124].......",
            "-6 +26 [03].......", "+2 57.......", "+2 55[0-8]......", "-501 +261 .......",
            "-500 +262 .......", "+2 4[2-8].......", "-74 +294 .......", "-711 +293 .......",
            "-710 +292 .......", "-280 +208 .......", "-2 +20 [5-7].......", "-240 +204 .......",
            "-5 +23 [34].......", "-5 +23 2[014-79]......", "-511 +236 .......",
            "-510 +235 .......", "-29 +216 .......", "-231 +213 .......", "-230 +215 .......",
            "-22 +212 .......", "-20 +214 .......",
        ),
        signs=("8416[2-9]", "8418[68]"),
    ),
)  # fmt: skip

# The moves by the calling code of the old number, and by the calling code of the new number.
FROM = {plan.code: (*plan.moves, *plan.national) for plan in PLANS}
TO = {plan.to_code or plan.code: plan.moves for plan in PLANS}


def renumbered(e164: str) -> str:
    """The new form of `e164` if that is an old form; else `e164` itself.

    `e164`: a plus sign and digits; a number of an old plan may be longer or shorter than numbers of
    today. See the beginning of this module for the rule.
    """
    for move in of_calling_code(e164, FROM):
        if match := move.old.fullmatch(e164, 1):
            new = f"+{match.expand(move.to_new)}"
            if is_valid(new) and not is_valid(e164):
                return new
    return e164


def old_forms(e164: str) -> tuple[str, ...]:
    """The numbers that `renumbered` turns into `e164`: none for most numbers, else 1 to 3. An
    earlier version may have stored a contact under one of them."""
    # Asked for each phone that is read or written; for nearly all of them this is the answer.
    if e164[1:3] not in TO and e164[1:4] not in TO and e164[1:5] not in TO:
        return ()
    return found_old_forms(e164)


@lru_cache(4096)  # one request asks several times
def found_old_forms(e164: str) -> tuple[str, ...]:
    matches = (
        (move, match)
        for move in of_calling_code(e164, TO)
        if (match := move.new.fullmatch(e164, 1))
    )
    candidates = (f"+{match.expand(move.to_old)}" for move, match in matches)
    return tuple(old for old in candidates if renumbered(old) == e164)


def beginnings(start: str) -> set[str]:
    """How the numbers begin that have another form which begins with `start`: new numbers, if
    `start` is the beginning of old ones, and the other way round.

    `start`: a plus sign and digits. At least one digit of it must come after the calling code and
    be in both forms: with `+521`, a search would find everybody in Mexico.
    """
    ways = (
        (of_calling_code(start, FROM), "-", "+"),
        (of_calling_code(start, TO), "+", "-"),
    )
    found = (
        exchanged(move, start[1:], gone, comes) for moves, gone, comes in ways for move in moves
    )
    return {f"+{digits}" for digits in found if digits} - {start}


def exchanged(move: Move, digits: str, gone: str, comes: str) -> str:
    """The first digits of the numbers that `move` makes of numbers which begin with `digits`; empty
    if there are none. `gone`, `comes`: the signs of removed digits and of added digits."""
    found, is_in_both = "", False
    for sign, piece in move.pieces:
        if not digits:
            break
        if sign == comes:
            found += piece
            continue
        spelled = spelled_by(piece)
        here, digits = digits[: len(spelled[0])], digits[len(spelled[0]) :]
        if not any(one.startswith(here) for one in spelled):
            return ""
        found += "" if sign == gone else here
        is_in_both = not sign
    return found if is_in_both and not digits else ""


@cache
def spelled_by(piece: str) -> tuple[str, ...]:
    """All digits that a piece of a move stands for: one, two or three, as many in each."""
    pattern = re.compile(piece)
    candidates = (f"{n:0{width}}" for width in (1, 2, 3) for n in range(10**width))
    return tuple(digits for digits in candidates if pattern.fullmatch(digits))


def forms(phones: Iterable[str]) -> dict[str, str]:
    """Each of `phones` and its old forms; the values are the phones of today."""
    return {form: phone for phone in phones for form in (phone, *old_forms(phone))}


def of_calling_code(e164: str, by_code: dict[str, tuple[Move, ...]]) -> tuple[Move, ...]:
    return next((by_code[e164[1:end]] for end in (2, 3, 4, 5) if e164[1:end] in by_code), ())


def old_rests(code: str) -> list[str]:
    """The patterns of old numbers of a calling code, without that code."""
    return [re.sub(rf"\A\(?{code}\)?", "", move.old.pattern) for move in FROM.get(code, ())]


def is_valid(e164: str) -> bool:
    """Whether the number lies in a range that is known to be assigned."""
    return phonenumbers.is_valid_number(phonenumbers.parse(e164))


def sure_prefixes() -> Iterator[str]:
    """With a plus sign, how phones begin that are certainly in an old form. Not every old form
    begins so: some can be told from new numbers only by their length."""
    for plan in PLANS:
        for sign in plan.signs:
            for digits in product(*map(expanded, re.findall(r"\[.*?\]|\d", sign))):
                yield f"+{''.join(digits)}"


def expanded(pattern: str) -> list[str]:
    """The digits that a pattern of one digit matches."""
    return [digit for digit in "0123456789" if re.fullmatch(pattern, digit)]
