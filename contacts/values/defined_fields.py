"""Fields that a tenant defines: what a metadata key holds, as people see it. Pure: no Django.

A definition refuses nothing that a program writes into the metadata. It says how the text of a
person becomes a value, whether a stored value fits, and how a value is shown.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, time
from enum import StrEnum
from typing import Any, NamedTuple

from . import answers, dates, header_names, rules, strict_json
from .translation import gettext as _
from .translation import gettext_noop

MAX_FIELDS = 50  # of a tenant: each is a column of exports and a filter of the list
MAX_LABEL = header_names.MAX_HEADER  # characters; imports do not compare longer names of columns
MAX_KEY = 255  # characters, as in the filter by metadata
MAX_CHOICES = 100
MAX_CHOICE = 100  # characters


class FieldKind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "number"  # stored as a JSON number
    DATE = "date"  # stored as a text such as 2026-05-07
    CHOICE = "choice"  # stored as one of the texts of the definition
    YES_NO = "yes_no"  # stored as true or false


EXPECTED = {
    FieldKind.TEXT: gettext_noop("a text is expected"),
    FieldKind.NUMBER: gettext_noop("a number is expected, such as 1234.5"),
    FieldKind.DATE: gettext_noop("a date is expected, such as 2026-05-07"),
    FieldKind.CHOICE: gettext_noop("one of the choices is expected"),
    FieldKind.YES_NO: gettext_noop("yes or no is expected"),
}


class DefinedField(NamedTuple):
    """A definition. `key`: of the metadata, at the top level. `label`: the name for people.
    `choices`: the texts of a field of the kind `CHOICE`."""

    key: str
    label: str
    kind: str
    choices: tuple[str, ...] = ()

    def fits(self, value: Any) -> bool:
        """Whether a stored value is of the kind. None, which counts as no value, is of each."""
        return value is None or FITS[FieldKind(self.kind)](self, value)

    def problem(self, value: Any) -> str:
        """Why a stored value does not fit, for people; empty if it fits."""
        if self.fits(value):
            return ""
        return _("does not fit: %(expected)s") % {"expected": self.expected}

    @property
    def expected(self) -> str:
        """What a value of the kind is, for people."""
        return _(EXPECTED[FieldKind(self.kind)])

    def read(self, raw: Any, order: str = dates.ISO) -> Any:
        """The value that a person means by `raw`, the content of a cell or of a box.

        `order`: of day and month, one of `dates.ORDERS`. Raises `ValueError` if `raw` means no
        value of the kind. The sentence does not repeat `raw`: warnings outlive erased people.
        """
        if self.fits(raw):
            return raw
        with suppress(ValueError, OverflowError):
            text = rules.string(self.label, raw).strip()
            return READERS[FieldKind(self.kind)](self, text, order)
        raise ValueError(
            _("%(label)s: %(expected)s.") % {"label": self.label, "expected": self.expected}
        )

    def shown(self, value: Any) -> str:
        """A stored value as text for files and inputs; JSON if it is a list or an object. Yes and
        no are English: pages translate them."""
        if value is None:
            return ""
        if self.kind == FieldKind.YES_NO and isinstance(value, bool):
            return "yes" if value else "no"
        return value if isinstance(value, str) else rules.spelled(value)


# Which stored values fit

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def is_day(value: Any) -> bool:
    if not isinstance(value, str) or not DAY.fullmatch(value):
        return False
    with suppress(ValueError):
        return bool(date.fromisoformat(value))
    return False


FITS: dict[FieldKind, Callable[[DefinedField, Any], bool]] = {
    FieldKind.TEXT: lambda field, value: isinstance(value, str),
    FieldKind.NUMBER: lambda field, value: rules.is_number(value),
    FieldKind.DATE: lambda field, value: is_day(value),
    FieldKind.CHOICE: lambda field, value: isinstance(value, str) and value in field.choices,
    FieldKind.YES_NO: lambda field, value: isinstance(value, bool),
}

# What people write. Each function raises `ValueError` for another text.

PLAIN = re.compile(r"-?(?:0|[1-9]\d{0,400})(?:\.\d{1,400})?(?:[eE][-+]?\d{1,4})?", re.ASCII)
# With a comma before the decimals. `1,234` is left out: it may be 1234.
DECIMAL_COMMA = re.compile(r"-?(?:0,\d{1,50}|[1-9]\d{0,50},(?:\d\d?|\d{4,50}))", re.ASCII)
ENGLISH = re.compile(r"-?[1-9]\d{0,2}(?:,\d{3}){1,20}\.\d{1,50}", re.ASCII)  # 1,234.50
GERMAN = re.compile(r"-?[1-9]\d{0,2}(?:\.\d{3}){1,20},\d{1,50}", re.ASCII)  # 1.234,50
# Between groups of three digits: 1 234 or 1'234.
GAPS = re.compile("(?<=[0-9])[ \u00a0\u202f'\u2019](?=[0-9]{3}(?![0-9]))")


def number_of(text: str) -> int | float:
    """The number that `text` spells. A number such as 007 is none: the zeros of a code would be
    lost."""
    text = GAPS.sub("", text.removeprefix("+"))
    if ENGLISH.fullmatch(text):
        text = text.replace(",", "")
    elif GERMAN.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not PLAIN.fullmatch(text):
        raise ValueError
    number: int | float = strict_json.loads(text)
    return number


def day_of(text: str, order: str) -> str:
    """The day that `text` spells. A time of the day would be lost, so such a text is no day."""
    at = dates.local_time(text, order)
    if at.tzinfo or at.time() != time.min:
        raise ValueError
    return at.date().isoformat()


def choice_of(field: DefinedField, text: str) -> str:
    """The choice that `text` names, in any case."""
    named = {rules.folded(choice): choice for choice in field.choices}
    if (choice := named.get(rules.folded(text))) is None:
        raise ValueError
    return choice


READERS: dict[FieldKind, Callable[[DefinedField, str, str], Any]] = {
    FieldKind.TEXT: lambda field, text, order: text,
    FieldKind.NUMBER: lambda field, text, order: number_of(text),
    FieldKind.DATE: lambda field, text, order: day_of(text, order),
    FieldKind.CHOICE: lambda field, text, order: choice_of(field, text),
    FieldKind.YES_NO: lambda field, text, order: answers.answer(text),
}

# Definitions


def label(raw: Any) -> str:
    """The label of a definition, trimmed. Imports recognise a column by the words of the label."""
    text = rules.limited("label", raw, MAX_LABEL)
    if not header_names.words(text):
        raise ValueError(_("Enter a label with a letter or a digit."))
    return text


def key(raw: Any) -> str:
    """The key of a definition, trimmed."""
    return rules.limited("key", raw, MAX_KEY)


def key_from(label_text: str) -> str:
    """The key for a label, if nobody chooses one: `Date of birth` gives `date_of_birth`."""
    return "_".join(header_names.words(label_text))[:MAX_KEY]


def choices(raw: Any) -> list[str]:
    """The choices of a definition: the lines of a text or the items of a list, without blank ones.
    Case does not part two choices, because people who type a choice may ignore it."""
    lines = raw if isinstance(raw, list) else rules.string("choices", raw).splitlines()
    texts = [text for line in lines if (text := rules.limited("choice", line, MAX_CHOICE))]
    if len(texts) > MAX_CHOICES:
        raise ValueError(
            _("A field has at most %(most)s choices; %(count)s were given.")
            % {"most": MAX_CHOICES, "count": len(texts)}
        )
    found: dict[str, str] = {}
    for text in texts:
        if other := found.get(rules.folded(text)):
            raise ValueError(
                _("The choices “%(first)s” and “%(second)s” are the same.")
                % {"first": other, "second": text}
            )
        found[rules.folded(text)] = text
    return texts
