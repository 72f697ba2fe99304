"""The boxes of the fields that a tenant defines, for the page of a contact."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from contacts.values.defined_fields import DefinedField, FieldKind

from .forms import RuleFormField, answers

Metadata = dict[str, Any]


class DefinedFormField(RuleFormField):
    """The box of one field. Its value is the value of the metadata key; None removes the key.

    `shown`: the value that the page shows. The user keeps this value by leaving the box alone, also
    a value that does not fit: then the help text says what is expected.
    """

    def __init__(self, field: DefinedField, shown: Any) -> None:
        self.defined, self.shown = field, shown
        super().__init__(
            self.read, label=field.label, help_text=mark_of(field, shown),
            widget=widget_of(field, shown), initial=field.shown(shown),
        )  # fmt: skip
        # The page has the shown metadata already: the form compares with these values.
        self.show_hidden_initial = False

    def read(self, raw: Any) -> Any:
        text = lines_of(raw)
        if not self.has_changed(self.initial, text):
            return self.shown
        return self.defined.read(text) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares what people see: True and 1 would be equal as values."""
        return lines_of(initial) != lines_of(data)


def lines_of(text: str | None) -> str:
    """Browsers send line ends in another form than they got them."""
    return (text or "").replace("\r\n", "\n").strip()


def widget_of(field: DefinedField, shown: Any) -> forms.Widget:
    """A date or a choice that does not fit is shown in a box for text: the other boxes would be
    empty, and saving would lose the value."""
    if field.fits(shown) and field.kind == FieldKind.DATE:
        return UnfoldAdminTextInputWidget(attrs={"type": "date"})
    if field.fits(shown) and field.kind in (FieldKind.CHOICE, FieldKind.YES_NO):
        choices = [(text, text) for text in field.choices]
        if field.kind == FieldKind.YES_NO:
            choices = [*answers().items()]
        return UnfoldAdminSelectWidget(choices=[("", "—"), *choices])
    if isinstance(shown, str) and "\n" in shown:  # a box of one line would lose the line ends
        return UnfoldAdminTextareaWidget({"rows": 4})
    mode = "decimal" if field.kind == FieldKind.NUMBER else "text"
    return UnfoldAdminTextInputWidget(attrs={"inputmode": mode})


def mark_of(field: DefinedField, shown: Any) -> str:
    """The mark of a value that does not fit; empty if the value fits."""
    problem = field.problem(shown)
    return format_html('<span class="chip bad">{}</span>', problem) if problem else ""


def names_of(fields: Iterable[DefinedField]) -> list[str]:
    """The names of the boxes in a form."""
    return [f"defined_{number}" for number, field in enumerate(fields)]


def boxes_of(fields: Iterable[DefinedField], shown: Metadata) -> dict[str, DefinedFormField]:
    """A box for each of `fields`. `shown`: the metadata that the page shows."""
    fields = [*fields]
    boxes = (DefinedFormField(field, shown.get(field.key)) for field in fields)
    return dict(zip(names_of(fields), boxes, strict=True))


def with_boxes(
    metadata: Metadata, boxes: dict[str, DefinedFormField], cleaned: dict[str, Any]
) -> Metadata:
    """`metadata` with what the user has changed. `cleaned`: the values of the form."""
    changed = {
        box.defined.key: cleaned[name]
        for name, box in boxes.items()
        if name in cleaned and cleaned[name] is not box.shown
    }
    kept = {key: value for key, value in metadata.items() if key not in changed}
    return kept | {key: value for key, value in changed.items() if value is not None}
