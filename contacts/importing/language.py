"""The language in which an import writes its messages, such as why a record has failed.

An import that somebody has started in the admin writes in the language of the page on which this
person started it. The messages are stored, so they stay in this language for whoever reads them
later. Other imports write English.
"""

from contextlib import AbstractContextManager

from django.conf import settings
from django.utils import translation

from contacts.models import Import
from tenants import languages


def speaking_for(job: Import) -> AbstractContextManager[None]:
    """Lets the rules write in the language of the import `job`, in this thread. The admin stores
    the language in the options of the job."""
    return languages.speaking(job.options.get("language", ""))


def catalogues() -> tuple[list[str], str]:
    """What `contacts.values.translation.speak_from` needs to write in the active language in a
    process without Django: the folders with catalogues, and the name of the language there."""
    active = translation.get_language() or settings.LANGUAGE_CODE
    return [*map(str, settings.LOCALE_PATHS)], translation.to_locale(active)
