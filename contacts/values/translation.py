"""The language of the sentences that the shared rules write. Pure: no Django.

The rules run in processes of two kinds. In one with Django, `contacts.apps` gives Django's
functions to `speak_with` as soon as the apps are ready: a sentence is in the language that the
thread has active, and in English in a thread that has none, such as one that answers the API. The
processes that read the file of an import have no Django. They write English, unless the import
names a language and its catalogues to `speak_from`.

The names are the names of Django's functions: `make messages` finds the texts by them. A module
imports `gettext` as `_`.
"""

from collections.abc import Iterable
from functools import reduce
from gettext import NullTranslations, translation
from typing import Protocol


class Language(Protocol):
    """What `django.utils.translation` and `gettext.GNUTranslations` have in common."""

    def gettext(self, message: str, /) -> str: ...

    def ngettext(self, singular: str, plural: str, number: int, /) -> str: ...

    def pgettext(self, context: str, message: str, /) -> str: ...


# A list with one language, so that a function can exchange it. At first, texts stay as they are.
spoken: list[Language] = [NullTranslations()]


def speak_with(language: Language) -> None:
    """Lets `language` translate all texts of this process from now on."""
    spoken[0] = language


def speak_from(folders: Iterable[str], locale: str) -> None:
    """Lets the catalogues in `folders` translate all texts of this process from now on. `locale`:
    the name of a language as catalogues have it, such as `pt_BR`. Where no catalogue has a text, it
    stays English."""
    language = NullTranslations()
    for folder in folders:
        language.add_fallback(translation("django", folder, [locale], fallback=True))
    speak_with(language)


def gettext(message: str) -> str:
    return spoken[0].gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    return spoken[0].ngettext(singular, plural, number)


def pgettext(context: str, message: str) -> str:
    return spoken[0].pgettext(context, message)


def gettext_noop(message: str) -> str:
    """`message` itself: marks a text that `gettext` translates where somebody sees it."""
    return message


def grouped(number: float) -> str:
    """A whole number with what the language has between thousands: 65,536."""
    return f"{number:,}".replace(",", pgettext("between the thousands of a number", ","))


def either(names: Iterable[str]) -> str:
    """The names as a choice: `a or b`."""
    return reduce(one_or_other, names)


def one_or_other(one: str, other: str) -> str:
    return gettext("%(one)s or %(other)s") % {"one": one, "other": other}
