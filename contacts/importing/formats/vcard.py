"""vCard 2.1 (versit, 1996), 3.0 (RFC 2425, RFC 2426) and 4.0 (RFC 6350), as phones write them. Each
card is a record, and each kind of property is a column."""

import base64
import quopri
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from ..records import Mistake, Record, UnreadableFile
from .decoding import line_ends, text_encoding
from .format import InputFile
from .keyed import KeyedFormat

MAX_CARD = 1024 * 1024  # characters, without pictures
BETWEEN_VALUES = " ::: "  # between several values in one cell, as Google Contacts writes them

# The reader drops the lines of these properties: pictures, sounds and keys may be large.
BINARY = {"PHOTO", "LOGO", "SOUND", "KEY", "X-SHARED-PHOTO-DISPLAY-PREF"}
BINARY_LINE = re.compile(rf"(?:[\w-]+\.)?(?:{'|'.join(sorted(BINARY))})[;:]", re.IGNORECASE)
# Facts about the card itself, and details of other properties.
IGNORED = BINARY | {
    "", "AGENT", "VERSION", "PRODID", "REV", "PROFILE", "MAILER", "SORT-STRING", "MEMBER", "KIND",
    "CLIENTPIDMAP", "XML", "X-ADDRESSBOOKSERVER-KIND", "X-ADDRESSBOOKSERVER-MEMBER", "X-ABLABEL",
    "X-ABADR", "X-ABUID", "X-ABSHOWAS", "X-IMAGETYPE", "X-IMAGEHASH",
}  # fmt: skip
# A property that is not in this table has a column with its own name.
COLUMNS = {
    "FN": ["Name"],
    "N": ["Last name", "First name", "Middle name", "Name prefix", "Name suffix"],
    "EMAIL": ["Email"],
    "ORG": ["Organization", "Department"],
    "TITLE": ["Title"],
    "ROLE": ["Role"],
    "NOTE": ["Note"],
    "BDAY": ["Birthday"],
    "ANNIVERSARY": ["Anniversary"],
    "NICKNAME": ["Nickname"],
    "URL": ["Website"],
    "LANG": ["Language"],
    "ADR": ["Post box", "Address 2", "Street", "City", "State", "Postal code", "Country"],
}
STRUCTURED = {"N", "ORG", "ADR"}  # their values have components, parted by semicolons
# The column of a phone: the first with a word that its types or its label contain.
PHONE_COLUMNS = {
    "Fax": ["fax"],
    "Pager": ["pager"],
    "Emergency phone": ["emergency"],
    "Assistant phone": ["assistant"],
    "WhatsApp": ["whatsapp", "waid"],
    "Mobile phone": ["cell", "mobil", "iphone", "handy"],
    "Work phone": ["work"],
    "Home phone": ["home"],
}
UNNAMED_KINDS = {"voice", "text", "pref", "main", "msg", "internet"}
GROUPS_OF_GOOGLE = {"myContacts", "starred"}  # Google puts every contact into them

NAME = re.compile(r"(?:([\w-]++)\.)?([\w-]++)")
PARAMETERS = re.compile(r'((?:;(?:[^":;]++|"[^"]*+")*+)*+):')
PARAMETER = re.compile(r';((?:[^";]++|"[^"]*+")++)')
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
PARTS = {
    separator: re.compile(rf"((?:[^\\{separator}]|\\.?)*+)(?:{separator}|$)", re.DOTALL)
    for separator in ",;"
}
APPLE_LABEL = re.compile(r"_\$!<(.*)>!\$_")
SCHEME = re.compile(r"(?:x-apple|whatsapp|sip|im):", re.IGNORECASE)

BEGIN = "BEGIN:VCARD"
END = "END:VCARD"
NO_END = gettext_noop("The card has no END:VCARD.")
NO_BEGIN = gettext_noop("The text is outside of a card: BEGIN:VCARD is missing.")
NO_PROPERTY = gettext_noop("A line of the card is not a property: it has no colon.")
# The number is `MAX_CARD`.
TOO_LONG = gettext_noop("The card is longer than 1,048,576 characters, pictures aside.")


class VCardFormat(KeyedFormat):
    name = "vCard"
    suffixes = (".vcf", ".vcard")
    media_types = ("text/vcard", "text/x-vcard")
    errors = "xlsx"

    def __init__(self, file: InputFile) -> None:
        super().__init__(file)
        self.text.endless = BINARY_LINE  # some programs write a picture of megabytes as one line

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return file.start_text[:11].upper() == "BEGIN:VCARD"

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records. Cards
        of groups are left out, and cards without any value."""
        for card in cards(self.text.lines(first_line - 1), first_line):
            if card.problem == NO_END and self.text.is_cut:
                return
            properties = card.parsed()
            cells = cells_of(properties)
            if card.problem:
                cells[None] = Mistake(_(card.problem))
            if cells and not is_group(properties):
                yield Record(card.line, cells, card.size)


class Property(NamedTuple):
    """`kinds`: the types in lower case. `value`: decoded, with escapes."""

    group: str
    name: str
    kinds: list[str]
    value: str

    @property
    def rank(self) -> int:
        """0 if the owner prefers this property to others of its name."""
        return 0 if "pref" in self.kinds else 1


class Card:
    """The lines of the card that begins in `line`. `problem`: why the card cannot be read, as
    a sentence in English."""

    def __init__(self, line: int, problem: str = "") -> None:
        self.line = line
        self.problem = problem
        self.size = 0
        self.properties: list[list[str]] = []  # each with its continuation lines
        self.is_old = False  # vCard 2.1
        self.is_skipping = False  # the current property is binary
        self.is_quoted = False  # the current property is in quoted-printable
        self.is_in_agent = False  # vCard 2.1 puts the card of an assistant inside

    def add(self, text: str) -> None:
        """Adds a line."""
        if self.is_quoted and self.properties[-1][-1].endswith("="):
            self.properties[-1][-1] = self.properties[-1][-1][:-1]
            self.go_on(text)
        elif text[:1] in {" ", "\t"} and self.properties:
            self.go_on(text if self.is_old else text[1:])
        elif not (self.is_skipping and ":" not in text):
            self.begin(text)

    def begin(self, text: str) -> None:
        """Adds the first line of a property."""
        match = NAME.match(text)
        name = match[2].upper() if match else ""
        self.is_skipping = name in BINARY
        self.is_quoted = "QUOTED-PRINTABLE" in text[:1000].partition(":")[0].upper()
        if name == "VERSION":
            self.is_old = text.endswith("2.1")
        self.properties.append([])
        self.go_on(text[:1000] if self.is_skipping else text, is_first=True)

    def go_on(self, text: str, *, is_first: bool = False) -> None:
        if self.is_skipping and not is_first:
            return
        self.size += len(text)
        if self.size > MAX_CARD:
            self.problem = TOO_LONG
            self.properties = [[""]]
            self.is_quoted = False
        else:
            self.properties[-1].append(text)

    def is_of_agent(self, line: str) -> bool:
        """Whether `line` belongs to the card of an assistant inside this card."""
        if line == BEGIN and self.properties and self.properties[-1][0].upper() == "AGENT:":
            self.is_in_agent = True
        was_in_agent = self.is_in_agent
        if line == END:
            self.is_in_agent = False
        return was_in_agent

    def parsed(self) -> list[Property]:
        """The properties. Sets `problem` if there is a line that is none."""
        found = [parsed("".join(pieces), is_old=self.is_old) for pieces in self.properties]
        if None in found:
            self.problem = self.problem or NO_PROPERTY
        return [each for each in found if each]


def cards(lines: Iterator[str], number: int) -> Iterator[Card]:
    """The cards in `lines`, of which the first has this `number`. Text outside of cards becomes a
    card with a problem. A card without an end ends where the next one begins."""
    card: Card | None = None
    for text in lines:
        line = text.rstrip("\r\n")
        mark = line[:20].rstrip().upper()
        if card and card.is_of_agent(mark):
            pass
        elif mark == BEGIN:
            if card:
                yield without_end(card)
            card = Card(number)
        elif mark == END:
            yield card or Card(number, NO_BEGIN)
            card = None
        elif mark or (card and line):  # a line of spaces may go on with a property
            card = card or Card(number, NO_BEGIN)
            card.add(line)
        number += line_ends(text)
    if card:
        yield without_end(card)


def without_end(card: Card) -> Card:
    card.problem = card.problem or NO_END
    return card


def parsed(text: str, *, is_old: bool) -> Property | None:
    """The property that `text` spells; None if it spells none."""
    name = NAME.match(text)
    head = PARAMETERS.match(text, name.end()) if name else None
    if name is None or head is None:
        return None
    kinds, encoding, charset = read_parameters(head[1])
    value = decoded(text[head.end() :], encoding, charset)
    if is_old:  # only the semicolon has an escape
        value = value.replace("\\", "\\\\").replace("\\\\;", "\\;")
    return Property(name[1] or "", name[2].upper(), kinds, value)


def read_parameters(text: str) -> tuple[list[str], str, str]:
    """The types, the encoding and the character set that the parameters of a property give. In
    vCard 2.1, types and encodings may stand without a name."""
    kinds: list[str] = []
    encoding = charset = ""
    for parameter in PARAMETER.findall(text):
        name, sign, value = parameter.replace('"', "").partition("=")
        name, value = (name.upper(), value) if sign else ("TYPE", name)
        if name == "ENCODING" or value.upper() in {"QUOTED-PRINTABLE", "BASE64"}:
            encoding = value.upper()
        elif name == "CHARSET":
            charset = value
        elif name in {"TYPE", "SERVICE-TYPE", "X-SERVICE-TYPE"}:
            kinds += value.lower().split(",")
        elif name in {"PREF", "WAID"}:
            kinds.append(name.lower())
    return kinds, encoding, charset


def decoded(value: str, encoding: str, charset: str) -> str:
    """Raises no error: a value that cannot be decoded is returned as it is."""
    if encoding == "QUOTED-PRINTABLE":
        content = quopri.decodestring(value.encode("utf-8", "replace"))
    elif encoding in {"BASE64", "B"}:
        try:
            content = base64.b64decode(value)
        except ValueError:
            return value
    else:
        return value
    for name in (charset, "utf-8", "cp1252"):
        with suppress(UnreadableFile, UnicodeDecodeError):
            return content.decode(text_encoding(name) if name else "utf-8")
    return value


def is_group(properties: list[Property]) -> bool:
    """Whether the card is a list of contacts, and not a contact."""
    kinds = {"KIND", "X-ADDRESSBOOKSERVER-KIND"}
    return any(each.name in kinds and each.value.lower() == "group" for each in properties)


def cells_of(properties: list[Property]) -> dict[Any, Any]:
    """The values by column, preferred values first. Tags are a list."""
    labels = {each.group: each.value for each in properties if each.name == "X-ABLABEL"}
    found: dict[str, dict[str, None]] = {}
    for each in sorted(properties, key=lambda each: each.rank):
        for column, value in values_of(each, labels.get(each.group, "")):
            if value:
                found.setdefault(column, {})[value] = None
    cells: dict[Any, Any] = {
        column: BETWEEN_VALUES.join(values) for column, values in found.items()
    }
    if "Tags" in found:
        cells["Tags"] = [tag for tag in found["Tags"] if tag not in GROUPS_OF_GOOGLE]
    if "Name" not in cells and (name := name_of(cells)):
        cells["Name"] = name
    return cells


def name_of(cells: dict[Any, Any]) -> str:
    """The whole name, for cards of vCard 2.1 that have only its parts."""
    last, first, middle, prefix, suffix = (cells.get(column, "") for column in COLUMNS["N"])
    return " ".join(filter(None, [prefix, first, middle, last, suffix]))


def values_of(given: Property, label: str) -> Iterator[tuple[str, str]]:
    """The values of a property, each with its column. `label`: the name that its owner gave it."""
    name = given.name
    columns = COLUMNS.get(name, [name])
    if name == "TEL":
        yield phone_column(given.kinds, label), plain(given.value)
    elif is_whatsapp(given):
        yield "WhatsApp", SCHEME.sub("", plain(given.value), count=1)
    elif name == "CATEGORIES":
        yield from (("Tags", plain(tag)) for tag in split(given.value, ","))
    elif name in STRUCTURED:
        components = (" ".join(map(plain, split(part, ","))) for part in split(given.value, ";"))
        yield from zip(columns, components, strict=False)
    elif name not in IGNORED:
        yield columns[0], plain(given.value)


def is_whatsapp(given: Property) -> bool:
    if given.name in {"IMPP", "X-SOCIALPROFILE"}:
        return "whatsapp" in given.kinds or given.value.lower().startswith("whatsapp:")
    return "WHATSAPP" in given.name


def phone_column(kinds: list[str], label: str) -> str:
    apple = APPLE_LABEL.fullmatch(label)
    words = [*kinds, *(apple[1] if apple else label).lower().split()]
    text = " ".join(words)
    for column, known in PHONE_COLUMNS.items():
        if any(word in text for word in known):
            return column
    return "Other phone" if {*words} - UNNAMED_KINDS else "Phone"


def split(value: str, separator: str) -> list[str]:
    """The parts of `value` between separators that have no backslash before them."""
    if "\\" not in value:
        return value.split(separator)
    # The pattern also matches the empty text at the end.
    return PARTS[separator].findall(value)[:-1]


def plain(value: str) -> str:
    """The text that `value` spells with escapes."""
    if "\\" in value:
        value = ESCAPE.sub(lambda escape: "\n" if escape[1] in "nN" else escape[1], value)
    return value.strip()
