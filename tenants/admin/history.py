"""The sentences that this app writes into Django's log of the admin, and their translation.

The log keeps them in English, because people of several languages read the same log.
"""

import json
import re
from typing import Any

from django.utils.text import capfirst
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
    """A stored text in the language of the reader."""
    if stored.startswith("["):
        return with_translated_fields(stored)
    for sentence, its_pattern in PATTERNS.items():
        if found := its_pattern.fullmatch(stored):
            return _(sentence) % found.groupdict()
    return _(stored)


def with_translated_fields(stored: str) -> str:
    """Django stores its own texts as JSON and translates them, except most names of fields: they
    are stored as labels ("Time zone"), and the catalogues have the names ("time zone")."""
    try:
        parts: list[dict[str, Any]] = json.loads(stored)
    except ValueError:
        return stored
    for changed in (part["changed"] for part in parts if "changed" in part):
        changed["fields"] = [translated_label(label) for label in changed["fields"]]
    return json.dumps(parts)


def translated_label(label: str) -> str:
    name = label[:1].lower() + label[1:]
    if (found := _(label)) != label:
        return found
    return capfirst(found) if (found := _(name)) != name else label
