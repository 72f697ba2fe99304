"""Contacts as vCard 3.0 (RFC 2426), the version that phones and mail programs all import.

A card has the phone, the name, the e-mail address and the tags. It has no place for locale,
metadata and consent.
"""

from collections.abc import Iterator
from typing import Any

from contacts.values.translation import gettext_noop

from .formats import Page, TextFormat

LINE_OCTETS = 75  # RFC 2425, 5.8.1: longer lines are folded
# RFC 2426, 5: how these characters are written in a value. A value cannot hold other control
# characters.
ESCAPES = dict.fromkeys((*range(32), 127), " ") | {
    ord("\\"): "\\\\",
    ord(";"): "\\;",
    ord(","): "\\,",
    ord("\n"): "\\n",
    ord("\r"): "\\n",
    ord("\t"): "\t",
}


class VCard(TextFormat):
    label = gettext_noop("vCard, for phones and address books")
    extension = "vcf"
    content_type = "text/vcard; charset=utf-8"

    def page(self, contacts: Page, fields: list[str]) -> str:
        return "".join(map(card, contacts))


def card(contact: dict[str, Any]) -> str:
    return "".join(f"{folded(line)}\r\n" for line in lines(contact))


def lines(contact: dict[str, Any]) -> Iterator[str]:
    """The lines of a card, not folded. RFC 2426 requires FN and N: a contact without a name shows
    its phone. The whole name is the given name, because nobody knows which words are which."""
    name = escaped(contact["name"])
    yield "BEGIN:VCARD"
    yield "VERSION:3.0"
    yield f"FN:{name or contact['phone']}"
    yield f"N:;{name};;;"
    yield f"TEL;TYPE=CELL:{contact['phone']}"
    if contact["email"]:
        yield f"EMAIL;TYPE=INTERNET:{escaped(contact['email'])}"
    if contact["tags"]:
        yield f"CATEGORIES:{','.join(map(escaped, contact['tags']))}"
    yield "END:VCARD"


def escaped(text: str) -> str:
    return text.replace("\r\n", "\n").translate(ESCAPES)


def folded(line: str) -> str:
    """`line` in lines of at most `LINE_OCTETS` octets; each further line begins with a space. No
    character is divided: some programs decode each line for itself."""
    octets = line.encode()
    if len(octets) <= LINE_OCTETS:
        return line
    parts, room = [], LINE_OCTETS
    while octets:
        part = octets[:room].decode(errors="ignore").encode()  # a divided character is left out
        parts.append(part.decode())
        octets = octets[len(part) :]
        room = LINE_OCTETS - 1  # after the space
    return "\r\n ".join(parts)
