"""A language for tests: German that has only the texts that a test gives."""

import struct
from gettext import NullTranslations
from pathlib import Path

import pytest
from django.utils.translation import trans_real

Texts = dict[str, str]


class German(NullTranslations):
    """German with these `texts`; all others stay English."""

    def __init__(self, texts: Texts) -> None:
        super().__init__()
        self.texts = texts

    def gettext(self, message: str) -> str:
        return self.texts.get(message, message)

    def to_language(self) -> str:
        return "de"


def teach_german(monkeypatch: pytest.MonkeyPatch, texts: Texts) -> None:
    """For the rest of the test, Django's German has these texts and no others."""
    monkeypatch.setitem(trans_real._translations, "de", German(texts))  # type: ignore[attr-defined]


def write_catalogue(folder: Path, locale: str, texts: Texts) -> None:
    """A compiled catalogue with these texts, as `gettext` of Python reads it: the texts in their
    order, each with its length and its place."""
    texts = {"": "Content-Type: text/plain; charset=UTF-8\n"} | texts
    pairs = sorted((text.encode(), translated.encode()) for text, translated in texts.items())
    columns = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    size = 8 * len(pairs)
    place, tables, content = 28 + 2 * size, b"", b""
    for text in [text for column in columns for text in column]:
        tables += struct.pack("<2I", len(text), place + len(content))
        content += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + size, 0, 0)
    path = folder / locale / "LC_MESSAGES" / "django.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(head + tables + content)
