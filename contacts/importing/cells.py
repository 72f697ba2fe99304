"""Cells as other programs write them: several values in one cell, tags as text, and words that mean
nothing. Beside each way of reading tags stands the way in which exports write them."""

import csv
import json
import re
from collections.abc import Sequence

from contacts.values import rules
from contacts.values.formulas import original

VALUE_SEPARATOR = ":::"  # of Google Contacts
MARKS = ("=", "'")  # only a cell that begins with one of them differs from its text
# A cell with tags that has none of these has nothing but names and commas.
TAG_SIGNS = frozenset('[{:;|"*\n\r')
LINE_END = re.compile(r"[\r\n]+")
# A list as Python writes it, such as pandas: `['vip', "it's new"]`. numpy leaves the commas out.
PYTHON_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
PYTHON_LIST = re.compile(rf"[\[({{]\s*(?:(?:{PYTHON_TEXT})[\s,]*)+[\])}}]")
ARRAY_ESCAPE = re.compile(r"\\(.)")  # of PostgreSQL: `{vip,"say \"hi\""}`
PYTHON_ESCAPE = re.compile(r"""\\(['"\\])""")
GOOGLE_GROUP = "* "  # Google marks its own groups so: `* myContacts`

# Words that people and programs write into a cell that has no value, in lower case. Databases write
# NULL as `\N`.
NOTHING = {
    "n/a", "#n/a", "n.a.", "na", "nan", "nil", "none", "null", "(null)", "undefined", "-", "--",
    "---", "\u2013", "\u2014", ".", "?", "0", "keine", "keins", "kein", "nein", "no", "no email",
    "nicht vorhanden", "unbekannt", "unknown", "not available", "aucun", "aucune", "néant",
    r"\n", "ninguno", "ninguna", "nenhum", "nessuno", "nessuna", "geen", "brak", "нет",
}  # fmt: skip
# Fewer for a locale: `na` and `nan` are languages.
NO_LOCALE = {"n/a", "-", "none", r"\n"}


def values_of(text: str) -> list[str]:
    """The values in a cell, without blank ones: ` ::: ` parts them."""
    if VALUE_SEPARATOR not in text:
        return [text]
    return [value for part in text.split(VALUE_SEPARATOR) if (value := part.strip())]


def means_nothing(text: str, words: set[str] = NOTHING) -> bool:
    return text.strip().lower() in words


def text_of(cell: str) -> str:
    """The text of a CSV's cell: without the formula `="…"` that keeps a spreadsheet from reading
    the text as a number, or else without the apostrophe that an export puts before a formula."""
    if cell.startswith('="') and cell.endswith('"') and len(cell) > 2:
        return cell[2:-1].replace('""', '"')
    return original(cell)


# Tags


def tags_of(text: str) -> list[str]:
    """The names of the tags in a cell, not yet checked by `rules.tags`.

    A list of strings as JSON or as Python writes it is taken as it is. The braces of an array of
    PostgreSQL (`{vip,new}`) are left out. Otherwise ` ::: ` parts the names, or else commas, or
    else semicolons, or else bars; so do line ends. Quotes around a name (Mailchimp) and the groups
    of Google itself are left out.
    """
    if TAG_SIGNS.isdisjoint(text):
        return text.split(",") if text else []
    if (listed := rules.json_list(text)) is not None:
        return listed
    if PYTHON_LIST.fullmatch(text):
        return [PYTHON_ESCAPE.sub(r"\1", name[1:-1]) for name in re.findall(PYTHON_TEXT, text)]
    if text.startswith("{") and text.endswith("}"):
        text = ARRAY_ESCAPE.sub(array_character, text[1:-1])
    parts = values_of(text) if VALUE_SEPARATOR in text else unquoted(text, separator_of(text))
    names = [name.strip() for part in parts for name in part.split(",")]
    return [name for name in names if name and not name.startswith(GOOGLE_GROUP)]


def array_character(escaped: re.Match[str]) -> str:
    return escaped[1].replace('"', '""')


def separator_of(text: str) -> str:
    return next((character for character in ",;|" if character in text), ",")


def unquoted(text: str, separator: str) -> list[str]:
    """The parts of `text`; a separator inside quotes parts nothing."""
    if '"' not in text:
        return [part for line in LINE_END.split(text) for part in line.split(separator)]
    lines = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True)
    return [part for line in lines for part in line]


def tags_text(tags: Sequence[str]) -> str:
    """`tags` as a cell from which `text_of` and `tags_of` read the same tags: with commas, or as
    JSON if a name has a separator, a quote or anything else that a reader would change. A single
    tag such as `--` is JSON too: it would be read as the marker that clears the field."""
    text = ",".join(tags)
    is_plain = not any(sign in text for sign in ';|"') and not means_nothing(text)
    reads_back = is_plain and text_of(text) == text and tags_of(text) == [*tags]
    return text if reads_back else json.dumps([*tags], ensure_ascii=False)


# Names

# What stands after a comma although it is no first name: `Acme, Inc.`
AFTER_NAMES = {
    "jr", "sr", "ii", "iii", "iv", "md", "phd", "esq", "inc", "llc", "ltd", "plc", "gmbh", "ag",
    "kg", "ug", "eg", "ev",
}  # fmt: skip


DIGIT = re.compile(r"\d")  # of an address: `Paris, 75001`


def is_last_first(name: str) -> bool:
    """Whether the name has the form `Müller, Jürgen`."""
    last, _, first = map(str.strip, name.partition(","))
    is_pair = bool(last and first) and "," not in first and not DIGIT.search(name)
    return is_pair and first.replace(".", "").casefold() not in AFTER_NAMES


def first_last(name: str) -> str:
    """`Jürgen Müller` for `Müller, Jürgen`; a name of another form as it is."""
    last, _, first = map(str.strip, name.partition(","))
    return f"{first} {last}" if is_last_first(name) else name


# E-mail addresses


ADDRESS_IN_BRACKETS = re.compile(r"<([^<>]*)>")
# A slash or a bar may be part of an address; between spaces it is none.
BETWEEN_ADDRESSES = re.compile(r"[,;\r\n]|\s[/|]\s")


def addresses_of(text: str) -> list[str]:
    """What may be e-mail addresses in a cell: several values, with the names of people
    (`Ann Lee <ann@example.com>`) and with `mailto:` taken off."""
    return [address(part) for value in values_of(text) for part in BETWEEN_ADDRESSES.split(value)]


def address(text: str) -> str:
    found = ADDRESS_IN_BRACKETS.search(text)
    bare = (found[1] if found else text).strip().strip("\"'")
    return bare[7:].partition("?")[0] if bare[:7].lower() == "mailto:" else bare
