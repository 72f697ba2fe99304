"""Two people change the same field of a row: the person who saves later sees the value of the other
person, and chooses one of the two values."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.utils import formats, timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

LONGEST = 500  # characters of a value that the page shows
NOTHING = "-"
MINE, THEIRS = "mine", "theirs"
UNKNOWN: Any = object()  # the value that a page showed, if the request does not contain it
UNDECIDED = gettext_noop(
    "Somebody else changed this after you opened the page. Choose a value above."
)


@dataclass
class Conflict:
    """A field that two people have changed to different values.

    `name`: the name of the field, or of a part of the field that has a choice of its own.
    `mine`, `theirs`: the two values in words. `radio`: the name of the radio buttons. `seen`: a
    digest of the stored value that the page showed; a part of the buttons' values. `choice`:
    `MINE`, `THEIRS`, or empty before the user has chosen. `by`: who made the other change, and
    when.
    """

    name: str
    label: str
    mine: str
    theirs: str
    radio: str
    seen: str
    choice: str
    by: str = ""


class ConflictForm(forms.ModelForm):
    """A form that never overwrites a change of somebody else without asking.

    Its page contains the values that it showed, except those of many-to-many fields. The form
    writes only the fields that the user has changed. If somebody else has changed the same field
    in the meantime, the user must choose a value first. The choice is valid only for the value
    that the page showed: after a further change, the form asks again.

    `merged`: the fields in which the form itself combines the changes of both people.
    """

    merged: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conflicts: list[Conflict] = []
        for field in self.fields.values():
            if not self.instance._state.adding and is_compared(field):
                field.show_hidden_initial = True

    def shown(self, name: str) -> Any:
        """The value that the page showed in a field, or `UNKNOWN`."""
        bound = self[name]
        text = self._widget_data_value(bound.field.hidden_widget(), bound.html_initial_name)  # type: ignore[attr-defined]
        try:
            return UNKNOWN if text is None else bound.field.clean(text)
        except ValidationError:  # the request contains a value that our page never shows
            return UNKNOWN

    def stored(self, name: str) -> Any:
        """The stored value of a field, in the form in which the field cleans values."""
        field = self.fields[name]
        value = self.get_initial_for_field(field, name)
        return field.to_python(value) if isinstance(field, forms.ModelChoiceField) else value

    def _post_clean(self) -> None:
        """Compares before the typed values replace the stored values of the instance."""
        if not self.instance._state.adding:
            for name in [*self.changed_data]:
                is_stored = name in self.initial and self.fields[name].show_hidden_initial
                if is_stored and name in self.cleaned_data and name not in self.merged:
                    self.resolve(name)
        super()._post_clean()  # type: ignore[misc]

    def resolve(self, name: str) -> None:
        """If two people have changed the field, applies the user's choice or asks for it."""
        mine, shown, theirs = self.cleaned_data[name], self.shown(name), self.stored(name)
        if shown is UNKNOWN or theirs in (shown, mine):
            return
        label = str(self[name].label)
        choice = self.choice(name, label, in_words(mine), in_words(theirs), theirs)
        if choice == THEIRS:
            del self.cleaned_data[name]  # the instance already has their value
            self.changed_data.remove(name)
        elif choice != MINE:
            self.add_error(name, _(UNDECIDED))

    def choice(self, name: str, label: str, mine: str, theirs: str, stored: Any) -> str:
        """The user's choice: `MINE`, `THEIRS`, or empty. Also adds the conflict to the page.

        `mine`, `theirs`: the two values in words. `stored`: the value of the other person itself.
        """
        radio, seen = f"keep-{digest(name)}", digest(stored)
        choice, _, answered = self.data.get(radio, "").partition(" ")
        if answered != seen or choice not in (MINE, THEIRS):
            choice = ""
        self.conflicts.append(Conflict(name, label, mine, theirs, radio, seen, choice))
        return choice

    def contested(self) -> list[Conflict]:
        """The conflicts for the page, with the author and time of each other change."""
        names = [conflict.name for conflict in self.conflicts]
        known = dict(self.changed_by(names)) if names else {}
        for conflict in self.conflicts:
            conflict.by = known.get(conflict.name, "")
        return self.conflicts

    def changed_by(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Pairs of a field's name and a sentence: who changed the field last, and when.

        Django's log knows only who saved the row in the admin, not which fields, and nothing about
        commands. Forms with a better source override this method.
        """
        kind = ContentType.objects.get_for_model(self.instance)
        entries = LogEntry.objects.filter(content_type=kind, object_id=str(self.instance.pk))
        if last := entries.select_related("user").first():
            by = _("last saved here by %(user)s at %(time)s") % {
                "user": last.user, "time": in_words(last.action_time),
            }  # fmt: skip
            yield from ((name, by) for name in names)


def is_compared(field: forms.Field) -> bool:
    """Whether the page contains the field's value for the comparison.

    Not for fields that nobody can change, such as the digest of a password, which must not be in a
    page. Not for many-to-many fields either: some of the related rows may be hidden from the user.
    """
    return not field.disabled and not isinstance(field, forms.ModelMultipleChoiceField)


def digest(value: Any) -> str:
    """A digest of any JSON-like value, to compare values across requests. Browsers change the line
    ends of a value itself."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def in_words(value: Any) -> str:
    """A value for people, at most `LONGEST` characters; `NOTHING` if it is empty."""
    if isinstance(value, datetime):
        return str(formats.localize(timezone.localtime(value)))
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return in_words(", ".join(map(str, value)))
    return Truncator("" if value is None else str(value)).chars(LONGEST) or NOTHING
