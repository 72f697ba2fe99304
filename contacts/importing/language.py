"""The language in which an import writes its messages, such as why a record has failed.

An import that somebody has started in the admin writes in the language of the page on which this
person started it. The messages are stored, so they stay in this language for whoever reads them
later. Other imports write English.
"""

from contextlib import AbstractContextManager

from django.conf import settings
from django.utils import translation

from contacts.models import Import
from tenants.models import User


def speaking_for(job: Import) -> AbstractContextManager[None]:
    """Lets the rules write in the language of the import `job`, in this thread."""
    return speaking(language_of(job))


def language_of(job: Import) -> str:
    """The code of the language, such as `de`; empty for English. The admin stores the language of
    the page (`active`): a user without a choice has the language of the browser."""
    if language := job.options.get("language"):
        return language
    kind, _, pk = job.actor.partition(":")
    user = User.objects.filter(pk=pk).first() if kind == "user" else None
    return getattr(user, "language", "")


def speaking(language: str) -> AbstractContextManager[None]:
    """Lets the rules write in `language` in this thread; in English if it is empty."""
    return translation.override(language or None)


def active() -> str:
    """The language that this thread has active; empty if there is none."""
    return translation.get_language() or ""


def catalogues() -> tuple[list[str], str]:
    """What `contacts.values.translation.speak_from` needs to write in the active language in a
    process without Django: the folders with catalogues, and the name of the language there."""
    return [*map(str, settings.LOCALE_PATHS)], translation.to_locale(active())
