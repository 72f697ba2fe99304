"""A language for tests: German that has only the texts that a test gives."""

from gettext import NullTranslations

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
