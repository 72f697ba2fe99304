"""Two people change the same field of a row: the one who saves later sees the other's value, and
decides which of the two stays."""

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

LONG = 500  # characters of a value that the page shows
NOTHING = "-"
MINE, THEIRS = "mine", "theirs"
UNKNOWN: Any = object()  # what a page showed, where the request does not say so
UNDECIDED = "Somebody else has changed this since you opened the page. Choose above what stays."


@dataclass
class Conflict:
    """A field that two people have changed to different values. `name`: of the field, or of what
    is decided by itself inside of it. `radio`: the name of the radio buttons; `seen`: a part of
    their values, which says what the user was shown. `choice`: `MINE`, `THEIRS`, or empty before
    the user has chosen. `by`: who made the other change, and when."""

    name: str
    label: str
    mine: str
    theirs: str
    radio: str
    seen: str
    choice: str
    by: str = ""


class ConflictForm(forms.ModelForm):
    """Its page carries the values that it showed, but for many-to-many fields. A field that the
    user has not changed is not written; one that somebody else has changed too is not written
    before the user has decided.

    A decision counts for the value that the user was shown: after yet another change the form asks
    again. `merged`: the fields in which the form itself joins what two people have changed.
    """

    merged: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conflicts: list[Conflict] = []
        for field in self.fields.values():
            if not self.instance._state.adding and is_compared(field):
                field.show_hidden_initial = True

    def shown(self, name: str) -> Any:
        """What the page showed in a field, or `UNKNOWN`."""
        bound = self[name]
        text = self._widget_data_value(bound.field.hidden_widget(), bound.html_initial_name)  # type: ignore[attr-defined]
        try:
            return UNKNOWN if text is None else bound.field.clean(text)
        except ValidationError:  # no page of ours has shown that
            return UNKNOWN

    def stored(self, name: str) -> Any:
        """What is stored, as the field would clean it."""
        field = self.fields[name]
        value = self.get_initial_for_field(field, name)
        return field.to_python(value) if isinstance(field, forms.ModelChoiceField) else value

    def _post_clean(self) -> None:
        """Before the instance, which holds what is stored now, takes over what was typed."""
        if not self.instance._state.adding:
            for name in [*self.changed_data]:
                is_stored = name in self.initial and self.fields[name].show_hidden_initial
                if is_stored and name in self.cleaned_data and name not in self.merged:
                    self.settle(name)
        super()._post_clean()  # type: ignore[misc]

    def settle(self, name: str) -> None:
        """Asks the user to decide about a field where that is needed, and does what they said."""
        mine, shown, theirs = self.cleaned_data[name], self.shown(name), self.stored(name)
        if shown is UNKNOWN or theirs in (shown, mine):
            return
        label = str(self[name].label)
        choice = self.choice(name, label, in_words(mine), in_words(theirs), theirs)
        if choice == THEIRS:
            del self.cleaned_data[name]  # the instance has it already
            self.changed_data.remove(name)
        elif choice != MINE:
            self.add_error(name, UNDECIDED)

    def choice(self, name: str, label: str, mine: str, theirs: str, stored: Any) -> str:
        """What the user has chosen: `MINE`, `THEIRS`, or nothing yet. `mine` and `theirs` are for
        the page; `stored` is the other's value itself."""
        radio, seen = f"keep-{digest(name)}", digest(stored)
        choice, _, answered = self.data.get(radio, "").partition(" ")
        if answered != seen or choice not in (MINE, THEIRS):
            choice = ""
        self.conflicts.append(Conflict(name, label, mine, theirs, radio, seen, choice))
        return choice

    def contested(self) -> list[Conflict]:
        """For the page: the conflicts, with who made the other changes."""
        names = [conflict.name for conflict in self.conflicts]
        known = dict(self.changed_by(names)) if names else {}
        for conflict in self.conflicts:
            conflict.by = known.get(conflict.name, "")
        return self.conflicts

    def changed_by(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Who has changed these fields last, and when. Here it is known only who has saved the row
        in the admin; commands leave no trace there."""
        kind = ContentType.objects.get_for_model(self.instance)
        entries = LogEntry.objects.filter(content_type=kind, object_id=str(self.instance.pk))
        if last := entries.select_related("user").first():
            by = f"last saved here by {last.user} at {in_words(last.action_time)}"
            yield from ((name, by) for name in names)


def is_compared(field: forms.Field) -> bool:
    """Not what nobody can change there, such as the digest of a password, which no page may carry.
    Nor are rows on the other side of a many-to-many relation: not each of them may be offered to
    everybody."""
    return not field.disabled and not isinstance(field, forms.ModelMultipleChoiceField)


def digest(value: Any) -> str:
    """Of the same length for any value, and without characters that forms change, as line ends."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def in_words(value: Any) -> str:
    if isinstance(value, datetime):
        return str(formats.localize(timezone.localtime(value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return in_words(", ".join(map(str, value)))
    return Truncator("" if value is None else str(value)).chars(LONG) or NOTHING
