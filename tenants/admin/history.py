"""The sentences that this app writes into Django's log of the admin, and their translation.

The log keeps them in English, because people of several languages read the same log.
"""

import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

TURNED_ON = gettext_noop("Turned two-factor login on.")
TURNED_OFF = gettext_noop("Turned two-factor login off.")
NEW_CODES = gettext_noop("Made new recovery codes.")
SENT_LINK = gettext_noop("Sent a link to set the password.")
MADE_LINK = gettext_noop("Made a link to set the password.")
REVOKED = gettext_noop("Revoked.")
ROTATED = gettext_noop("Rotated: replaced by %(token)s.")
CONNECTED = gettext_noop("Connected the app %(app)s: %(scopes)s.")
DISCONNECTED = gettext_noop("Disconnected the app %(app)s.")

WITH_VALUES = [ROTATED, CONNECTED, DISCONNECTED]


def pattern(sentence: str) -> re.Pattern[str]:
    """Finds the values of `sentence` in a stored text."""
    escaped = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.*)", re.escape(sentence))
    return re.compile(escaped, re.DOTALL)


PATTERNS = {sentence: pattern(sentence) for sentence in WITH_VALUES}


def translated(stored: str) -> str:
    """A stored text in the language of the reader. Django translates its own, which are JSON."""
    if not stored or stored.startswith("["):
        return stored
    for sentence, its_pattern in PATTERNS.items():
        if found := its_pattern.fullmatch(stored):
            return _(sentence) % found.groupdict()
    return _(stored)
