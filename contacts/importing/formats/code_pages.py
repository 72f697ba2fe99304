"""Which code page a file was written in that is not Unicode: the one in which its words read most
like names and towns of some language.

The measure is the probability of a word, as a logarithm. A language gives each character a
probability; a code page counts as its best language does. Libraries that detect encodings expect
running text and are wrong for files of a few names.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from math import log
from typing import NamedTuple, Protocol

from .languages import CHARACTERS, WORDS

WEST = (
    "French", "German", "Spanish", "Portuguese", "Italian", "Dutch", "Swedish", "Danish", "Finnish",
)  # fmt: skip
CENTRAL = ("Polish", "Czech", "Slovak", "Hungarian", "Romanian", "Croatian", "Slovene")
# The languages of each code page. The western languages share one code page, and a file may mix
# names of several of them. For such files, "West" is one more language.
CODE_PAGES = {
    "cp1252": (*WEST, "West", "Icelandic"),
    "cp1250": CENTRAL,
    "iso-8859-2": CENTRAL,
    "cp1251": ("Russian", "Ukrainian", "Bulgarian", "Macedonian"),
    "cp1253": ("Greek",),
    "cp1254": ("Turkish",),
    "cp1255": ("Hebrew",),
    "cp1256": ("Arabic", "Persian"),
    "cp1257": ("Lithuanian", "Latvian", "Estonian"),
    "cp1258": ("Vietnamese",),
    "mac_roman": (*WEST, "West"),
    "cp932": ("Japanese",),
    "gb18030": ("Chinese",),
    "cp950": ("Taiwanese",),
    "cp949": ("Korean",),
    # Excel's "CSV (MS-DOS)". In cp850, the letters of cp437 are where cp437 has them.
    "cp850": (*WEST, "West"),
    "cp852": CENTRAL,
    "cp866": ("Russian", "Bulgarian"),
    # What Unix and old mail programs wrote.
    "koi8-r": ("Russian", "Bulgarian"),
    "koi8-u": ("Ukrainian",),
    "euc-jp": ("Japanese",),
    "iso-8859-15": (*WEST, "West", "Estonian"),
}
# The first bytes of the common characters: the standards put common characters first.
COMMON = {
    "cp932": range(0x81, 0x98),
    "gb18030": range(0xB0, 0xD8),
    "cp950": range(0xA4, 0xC7),
    "cp949": range(0xB0, 0xC9),
    "euc-jp": range(0xA4, 0xD0),
}

# Logarithms of probabilities.
ASCII = -3.0
ACCENT = -2.0  # a letter has an accent
ASCII_IN_WORD = -10.0  # a letter of ASCII in a word of another alphabet
FOREIGN = -9.0  # a letter that the language lacks
STRANGE = -12.0  # a character that names do not have
SIGN = -5.0
MOST_COMMON_IDEOGRAPH = -5.0
COMMON_IDEOGRAPH = -6.5
RARE_IDEOGRAPH = -8.5  # but among those that the standard has first
INSIDE_WORD = -4.0  # added for a sign between two letters
WRONG_CASE = -5.0  # added for a capital that follows a small letter
BESIDE_DIGIT = -4.0  # added for a letter beside a digit
SMALL_START = -2.0  # added for a word that begins with a small letter
PRIOR = {
    "cp1252": 3.0,
    "iso-8859-2": -1.0,
    "cp1257": -1.0,
    "mac_roman": -1.0,
    "cp850": -2.0,
    "cp852": -2.0,
    "cp866": -2.0,
    "koi8-r": -10.0,
    "koi8-u": -10.0,
    "euc-jp": -4.0,
    "iso-8859-15": -3.0,
    "Icelandic": -5.0,
}  # how common
MARGIN = 2.5  # a smaller lead is a doubt
CLOSE = 1.2

# The small characters of Shift-JIS, in which Japanese lists often have the sound of a name.
HALF_WIDTH = {chr(code) for code in range(0xFF66, 0xFFA0)}
SIGNS = set("’‘“”„–—…•€°«»ªº·©®™№（）・、。　\u00a0")
MEASURES = set("£¥¢½¼¾²³¹±×÷§µ¿¡")  # beside numbers, not beside letters
TYPED_APOSTROPHE = "´"  # an accent that people type for an apostrophe, in names of Ireland
VOWELS = set("aeiouyæøœıơư")
# Texts between the delimiters of cells, and between the words of a cell. All of these characters
# are no half of a character in any code page.
BETWEEN = re.compile(rb'[\s,;"]+')
MAX_WORD = 100  # bytes
MAX_WORDS = 300


class Language(Protocol):
    def score(self, word: str) -> float:
        """The logarithm of the probability of the word."""


class Reading(NamedTuple):
    """The words of a file, as they read in one code page."""

    encoding: str
    words: Sequence[str]
    score: float


def words_of(blocks: Iterable[bytes], enough: int) -> list[bytes]:
    """The first different words of a file that are not ASCII, `MAX_WORDS` at most.

    `enough`: how many bytes are read, if there are such words among them. Reading stops there, so
    that the beginning of a large file has the same words as the whole file.
    """
    found: dict[bytes, None] = {}
    size, rest = 0, b""
    for block in blocks:
        size += len(block)
        if block.isascii() and rest.isascii():  # no word: most blocks of most files
            block = block[-MAX_WORD - 1 :]
        *words, rest = BETWEEN.split(rest[: MAX_WORD + 1] + block)
        found |= dict.fromkeys(filter(is_telling, words))
        if len(found) >= MAX_WORDS or (found and size >= enough):
            return [*found][:MAX_WORDS]
    return [*found, *filter(is_telling, [rest])]


def is_telling(word: bytes) -> bool:
    return len(word) <= MAX_WORD and not word.isascii()


def readings(words: list[bytes]) -> list[Reading]:
    """How the words read in each code page that has all their bytes, the best reading first.
    Of code pages in which all words read the same, only the first one is returned."""
    found: dict[tuple[str, ...], Reading] = {}
    for encoding, languages in CODE_PAGES.items():
        try:
            texts = tuple(composed(word.decode(encoding), encoding) for word in words)
        except UnicodeDecodeError:
            continue
        best = max(
            PRIOR.get(name, 0.0) + sum(map(language(name, encoding).score, texts))
            for name in languages
        )
        reading = Reading(encoding, texts, best + PRIOR.get(encoding, 0.0))
        same = found.get(texts, reading)
        found[texts] = same._replace(score=max(reading.score, same.score))
    return sorted(found.values(), key=lambda each: -each.score)


def candidates(words: list[bytes]) -> list[Reading]:
    """The code pages that the file may be written in, the best first. One: there is no doubt.

    Files with few accents often read in several code pages; if they read best in Windows-1252, only
    a close rival is a doubt."""
    found = readings(words)
    margin = CLOSE if found and found[0].encoding == "cp1252" else MARGIN
    return [each for each in found if each.score > found[0].score - margin]


def composed(text: str, encoding: str) -> str:
    """cp1258 writes the tones of Vietnamese as marks after the letters. Texts in other code pages
    stay: composing would make letters that cp949 lacks of some of its letters."""
    return unicodedata.normalize("NFC", text) if encoding == "cp1258" else text


@cache
def language(name: str, encoding: str) -> Language:
    if name in CHARACTERS:
        return Ideographs(CHARACTERS[name], encoding)
    words = [word for each in (WEST if name == "West" else [name]) for word in WORDS[each].split()]
    is_latin = any(letter.isascii() and letter.isalpha() for letter in "".join(words))
    return (Latin if is_latin else Alphabet)(words)


class Alphabet:
    """A language that has no letters of ASCII. `words`: examples."""

    def __init__(self, words: list[str]) -> None:
        self.letters = Counter(small("".join(words)))
        self.total = self.letters.total()

    def score(self, word: str) -> float:
        return sum(map(self.character, word)) + anomalies(word)

    def character(self, character: str) -> float:
        if character.isascii():
            return ASCII_IN_WORD if character.isalpha() else ASCII
        if number := self.letters[small(character)]:
            return log(number / self.total)
        return foreign(character)


class Latin(Alphabet):
    """A language with letters of ASCII and others. The others have neighbours: ñ stands between
    vowels, ń before consonants."""

    def __init__(self, words: list[str]) -> None:
        super().__init__([])
        self.neighbours: Counter[tuple[str, str, str]] = Counter()
        for word in words:
            for letter, before, after in with_neighbours(word):
                self.letters[letter] += 1
                self.neighbours[letter, before, after] += 1
        self.total = self.letters.total()

    def score(self, word: str) -> float:
        near = sum(self.near(*found) for found in with_neighbours(word))
        return sum(map(self.character, word)) + near + anomalies(word)

    def character(self, character: str) -> float:
        if character.isascii():
            return ASCII
        return ACCENT + super().character(character)

    def near(self, letter: str, before: str, after: str) -> float:
        """How much more likely the letter is beside these neighbours than beside others."""
        if not (number := self.letters[letter]):
            return 0.0
        together = self.neighbours[letter, before, after]
        # As if the language had each of the nine pairs of neighbours 0.3 times more, 2.7 in all.
        return max(log((together + 0.3) / (number + 2.7) * 9), -4.0)


class Ideographs:
    """A language in which each character takes two bytes. `common`: its most common characters."""

    def __init__(self, common: str, encoding: str) -> None:
        self.common = set(common)
        self.most_common = set(common[:100])
        self.encoding = encoding

    def score(self, word: str) -> float:
        return sum(map(self.character, word))

    def character(self, character: str) -> float:
        if character.isascii():
            return ASCII_IN_WORD if character.isalpha() else ASCII
        if character in self.common:
            return MOST_COMMON_IDEOGRAPH if character in self.most_common else COMMON_IDEOGRAPH
        if character in SIGNS:
            return SIGN
        if character in HALF_WIDTH:
            return COMMON_IDEOGRAPH
        first = character.encode(self.encoding)[0]
        if len(character.encode(self.encoding)) == 1 or not character.isalpha():
            return STRANGE
        return RARE_IDEOGRAPH if first in COMMON[self.encoding] else STRANGE


def small(text: str) -> str:
    """`text` in small letters. The small form of the Turkish İ would be two characters."""
    return text.replace("İ", "ı").lower()


def foreign(character: str) -> float:
    if character in SIGNS:
        return SIGN
    return FOREIGN if character.isalpha() else STRANGE


def with_neighbours(word: str) -> list[tuple[str, str, str]]:
    """The letters that are not ASCII, each with the kinds of the characters beside it."""
    if word.isascii():
        return []
    text = f" {small(word)} "
    return [
        (letter, kind(text[n - 1]), kind(text[n + 1]))
        for n, letter in enumerate(text)
        if not letter.isascii() and 0 < n < len(text) - 1
    ]


def kind(character: str) -> str:
    if not character.isalpha():
        return ""
    return "vowel" if unicodedata.normalize("NFD", character)[0] in VOWELS else "consonant"


def anomalies(word: str) -> float:
    """What names do not have: a small letter first, capitals within small letters, signs between
    letters."""
    first = next(filter(str.isalpha, word), "")
    found = SMALL_START if first.islower() and not first.isascii() else 0.0
    text = f" {word} "
    for before, this, after in zip(text, text[1:], text[2:], strict=False):
        if not (this.isascii() and before.isascii()):
            found += anomaly(before, this, after)
    return found


def anomaly(before: str, this: str, after: str) -> float:
    """What `this` adds to the logarithm of the word's probability beside these neighbours."""
    if this.isalpha():
        if this.isupper() and before.isalpha() and (before.islower() or after.islower()):
            return WRONG_CASE
        return BESIDE_DIGIT if before.isdecimal() or after.isdecimal() else 0.0
    if this in MEASURES and not (before.isalpha() or after.isalpha()):
        return SIGN - STRANGE
    if this.isascii() or this == "’" or not (before.isalpha() and after.isalpha()):
        return 0.0
    return SIGN - STRANGE if this == TYPED_APOSTROPHE else INSIDE_WORD
