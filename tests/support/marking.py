"""Languages for tests: one that marks what was translated, and a reader of what was not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test.utils import override_settings
from django.utils.translation import to_locale, trans_real
from django.utils.translation.trans_real import DjangoTranslation

from qyvo.catalogues import Entry, compiled

CONTEXT_END = "\4"
BEGIN, END = "⟦", "⟧"
# What belongs to no language: addresses, ids, names in the API, recovery codes.
CODES = re.compile(
    r"\b(https?://\S+|[\w.+-]+@[\w.-]+|[0-9A-HJKMNP-TV-Z]{26}|qyvo_\w+|[a-z]+\.[a-z_]+"
    r"|[a-z2-7]{4}-[a-z2-7]{4})\b",
    re.IGNORECASE,
)
# Names of things, which are the same in each language.
NAMES = re.compile(
    r"\b(Qyvo Contacts|API|CSV|JSON|NDJSON|XLSX|UTC|CET|CEST|EST|URL|ID|Excel|vCard|WhatsApp|Stripe"
    r"|HubSpot|Shopify|WooCommerce|Zapier|Google|Ctrl|Cmd|QR|n8n|OAuth|MCP|UTF-8|TOTP)\b",
    re.IGNORECASE,
)
COUNTRY = re.compile(r"\b[A-Z]{2}\b")
WORD = re.compile(r"[^\W\d_]{2}")
# Elements that end a sentence: a mark that is left open in one of them is not closed in another.
INLINE = {
    "a",
    "abbr",
    "b",
    "bdi",
    "br",
    "code",
    "em",
    "i",
    "kbd",
    "small",
    "span",
    "strong",
    "time",
}
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")


class Marking(DjangoTranslation):
    """A language that translates each text by putting it into brackets, and knows what it was
    asked for."""

    asked: set[tuple[str | None, str]]

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self.asked = set()

    def gettext(self, message: str) -> str:
        context, _, text = message.rpartition(CONTEXT_END)
        self.asked.add((context or None, text))
        if text == "yes,no,maybe":  # Django's template filter splits it
            return ",".join(f"{BEGIN}{word}{END}" for word in text.split(","))
        return f"{BEGIN}{text}{END}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        shown = self.gettext(msgid1)
        return shown if n == 1 else f"{BEGIN}{msgid2.rpartition(CONTEXT_END)[2]}{END}"


def write_catalogue(folder: Path, language: str, texts: dict[str, str]) -> None:
    """A compiled catalogue with these texts and their translations."""
    entries = [Entry(text, strings=[translated]) for text, translated in texts.items()]
    head = Entry("", strings=["Content-Type: text/plain; charset=UTF-8\n"])
    path = folder / to_locale(language) / "LC_MESSAGES" / "django.mo"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compiled([head, *entries]))


@contextmanager
def catalogues_in(folder: Path) -> Iterator[None]:
    """English, and the languages with a catalogue in `folder`."""
    with override_settings(LOCALE_PATHS=[folder]):
        yield


@contextmanager
def marking(folder: Path, language: str) -> Iterator[Marking]:
    """All texts in `language` are marked."""
    write_catalogue(folder, language, {})
    with catalogues_in(folder), pytest.MonkeyPatch.context() as patch:
        double = Marking(language)
        patch.setitem(trans_real._translations, language, double)  # type: ignore[attr-defined]
        yield double


class Unmarked(HTMLParser):
    """The texts of a page that hold letters and that nobody has translated. What was typed into the
    database (`data`) and the names above do not count."""

    UNTRANSLATED = {"time_zone", "language", "timezone", "user_permissions", "permissions"}
    SKIPPED = {"script", "style", "template", "textarea", "code", "pre"}

    def __init__(self, data: list[str]) -> None:
        super().__init__()
        self.depth = 0  # of the marks
        self.skipped: list[str] = []  # the elements that are not looked into
        self.found: list[str] = []
        longest_first = [
            rf"(?<!\w){re.escape(d)}(?!\w)" for d in sorted(data, key=len, reverse=True)
        ]
        self.data = re.compile("|".join(longest_first) or r"(?!)", re.IGNORECASE)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag not in INLINE:
            self.depth = 0
        if tag not in VOID and (self.skipped or self.is_skipped(tag, given)):
            self.skipped.append(tag)
        names = [*ATTRIBUTES]
        if tag == "input" and given.get("type") in ("submit", "button", "reset"):
            names.append("value")
        for name in names:
            self.look_at(given.get(name, ""), f"{name} of {tag}: ")

    def is_skipped(self, tag: str, given: dict[str, str]) -> bool:
        is_choice = tag == "select" and given.get("name") in self.UNTRANSLATED
        is_icon = "material-symbols-outlined" in given.get("class", "")
        return tag in self.SKIPPED or is_choice or is_icon

    def handle_endtag(self, tag: str) -> None:
        if tag not in INLINE:
            self.depth = 0
        if self.skipped and tag == self.skipped[-1]:
            self.skipped.pop()

    def handle_data(self, text: str) -> None:
        if not self.skipped:
            self.look_at(text, "")

    def look_at(self, text: str, where: str) -> None:
        if not text or text.isspace():  # most texts of a page
            return
        depth = 0 if where else self.depth
        outside = ""
        for letter in text:
            depth = max(0, depth + (letter == BEGIN) - (letter == END))
            outside += letter if depth == 0 and letter != END else " "
        if not where:
            self.depth = depth
        for known in (CODES, self.data, NAMES, COUNTRY):
            if not WORD.search(outside):
                return
            outside = known.sub(" ", outside)
        if WORD.search(outside):
            self.found.append(where + " ".join(text.split()))


def unmarked(page: str, data: list[str]) -> list[str]:
    parser = Unmarked(data)
    parser.feed(page)
    return parser.found


def shipped(language: str) -> set[Any]:
    """What Django and other packages translate into a language themselves."""
    with override_settings(LOCALE_PATHS=[]):
        texts = DjangoTranslation(language)._catalog.keys()  # type: ignore[attr-defined]
        return {key if isinstance(key, str) else key[0] for key in texts}
