"""The form in which names are compared when people search.

People type names without accents and apostrophes, and with the letters of their keyboard: zoe for
Zoé, lukasz for Łukasz, obrien for O'Brien. `searchable` gives both spellings the same form.

Marks do not count in five scripts: Latin, Greek, Cyrillic, Arabic and Hebrew. This includes marks
that make letters of their own, such as й, ñ and å: one more name in a result does no harm, and a
name that is not found does. The marks of other scripts stay, because they are vowels there: without
them, different names in Devanagari or Thai would have the same form.
"""

import unicodedata
from collections.abc import Callable

from .rules import folded

VERSION = 1  # of the rule of `searchable`: raise it, and `jobs.name_folding` begins again

# Apostrophes, and what people take for one: quotes, primes, accents without a letter, the letters
# for ayn, hamza and okina, and the Hebrew geresh.
APOSTROPHES = "'`‘’‛′ʹʻʼʽʾʿˈˊˋ՚׳ꞌ＇"  # noqa: RUF001

# The blocks with the marks of the five scripts. Source: Unicode Character Database, Blocks.txt.
MARKS = (
    (0x0300, 0x036F),  # Combining Diacritical Marks
    (0x0483, 0x0487),  # Cyrillic
    (0x0591, 0x05C7),  # Hebrew
    (0x0610, 0x061A),  # Arabic, and the next two lines
    (0x064B, 0x0670),
    (0x06D6, 0x06ED),
    (0x0898, 0x08FF),  # Arabic Extended-B and Extended-A
    (0x1AB0, 0x1AFF),  # Combining Diacritical Marks Extended
    (0x1DC0, 0x1DFF),  # Combining Diacritical Marks Supplement
    (0x2DE0, 0x2DFF),  # Cyrillic Extended-A
    (0xA66F, 0xA69F),  # Cyrillic Extended-B
    (0xFB1E, 0xFB1E),  # Hebrew
    (0xFE20, 0xFE2F),  # Combining Half Marks
)
ACUTE = "\u00b4"  # is no letter, and often an apostrophe
TATWEEL = "\u0640"  # makes an Arabic word longer, and is no letter

# Letters that Unicode does not decompose, by what people type instead; only those that remain after
# case folding.
# Source: CLDR, common/transforms/Latin-ASCII.xml; ə is ours, as Azerbaijani is typed without it.
LATIN = {
    "ae": "æ", "b": "ƀƃɓ", "c": "ƈȼɕ", "d": "đðƌɖɗȡ", "e": "əɇɛǝ", "f": "ƒ", "g": "ǥɠɡ", "h": "ħɦ",
    "hv": "ƕ", "i": "ıɨɩ", "j": "ȷɉɟʝ", "k": "ƙ", "l": "łƚȴɫɬɭ", "m": "ɱ", "n": "ŋƞɲɳȵ", "o": "øɔ",
    "oe": "œ", "oi": "ƣ", "p": "ƥ", "q": "ĸɋʠ", "r": "ɍɼɽɾ", "s": "ȿʂ", "t": "ŧƫƭʈȶ", "th": "þ",
    "u": "ʉ", "v": "ʋ", "y": "ƴɏ", "z": "ƶȥɀʐʑ",  # noqa: RUF001
}  # fmt: skip
# Forms of one letter that keyboards of different countries write.
# Source: Lucene, ArabicNormalizer and PersianNormalizer.
ARABIC = {"ا": "ٱ", "ي": "ىی", "ك": "ک", "ه": "ة"}  # noqa: RUF001

REMOVED = [
    *map(ord, APOSTROPHES + TATWEEL),
    *(
        code
        for first, last in MARKS
        for code in range(first, last + 1)
        if unicodedata.category(chr(code)) == "Mn"
    ),
]
TYPED = dict.fromkeys(REMOVED, "") | {
    ord(letter): typed for typed, letters in (LATIN | ARABIC).items() for letter in letters
}


def searchable(text: str) -> str:
    """`text` without case, accents, apostrophes and width. Applying it twice changes nothing.

    The beginning is Unicode's compatibility caseless matching (The Unicode Standard, section 3.13,
    D146). The result is composed again, so that a syllable of Hangul is not found in another one
    that begins like it.
    """
    if text.isascii():
        return text.lower().replace("'", "").replace("`", "")
    # NFKD would make a space and a mark of this apostrophe, so it is removed before.
    text = unicodedata.normalize("NFD", text).replace(ACUTE, "").casefold()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", text.translate(TYPED))


def spellings(query: str) -> list[str]:
    """The texts of which a searchable name has one if it has `query`; none for an empty query.

    The second one finds names that an earlier version has stored, which folded only their case:
    until `jobs.name_folding` has come to them, a search finds what it found before. It is also all
    that remains of a query of apostrophes.
    """
    return [*dict.fromkeys(filter(None, [searchable(query), folded(query)]))]


def finder(part: str) -> Callable[[str], bool]:
    """A function that says whether a text has `part`, as people type it."""
    fold = searchable if searchable(part) else folded
    wanted = fold(part)
    return lambda text: wanted in fold(text)
