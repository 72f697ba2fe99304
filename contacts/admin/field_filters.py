"""The filters of the list of contacts by the fields that a tenant defines."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from django import forms
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from contacts.finding import filters
from contacts.models import ContactQuerySet, MetadataField, rows_of
from contacts.values import rules
from contacts.values.defined_fields import FieldKind

from .forms import RuleFormField
from .keyset_list import AnswerField, day, select

PREFIX = "field_"  # of the parameters in addresses
FROM, TO = "_from", "_to"


class FieldFilter(NamedTuple):
    """The filter by the field of `row`."""

    row: MetadataField

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.row.pk}"

    def inputs(self) -> dict[str, forms.Field]:
        """The boxes of the filter, by the names of their parameters: two for a range."""
        if make := RANGES.get(self.row.kind):
            named = {"field": self.row.label}
            lower = make(self.row, _("%(field)s from") % named)
            upper = make(self.row, _("%(field)s until") % named)
            inputs = {f"{self.name}{FROM}": lower, f"{self.name}{TO}": upper}
        else:
            inputs = {self.name: BOXES[self.row.kind](self.row)}
        for box in inputs.values():
            box.required = False
        return inputs

    def is_used(self, given: dict[str, Any]) -> bool:
        return any(given.get(name) for name in self.inputs())

    def chosen(self, contacts: ContactQuerySet, given: dict[str, Any]) -> ContactQuerySet:
        """Those of `contacts` that match the values in `given`, by the names of `inputs`."""
        if self.row.kind in RANGES:
            low, high = (given.get(f"{self.name}{end}") for end in (FROM, TO))
            return self.between(contacts, low, high)
        if not (text := given.get(self.name)):
            return contacts
        return filters.with_metadata(contacts, WANTED[self.row.kind](self.row.key, text))

    def between(self, contacts: ContactQuerySet, low: Any, high: Any) -> ContactQuerySet:
        if not (low or high):
            return contacts
        if self.row.kind == FieldKind.NUMBER:
            low, high = (json.loads(bound) if bound else None for bound in (low, high))
        else:
            low, high = (bound and bound.isoformat() for bound in (low, high))
        return filters.with_metadata_between(contacts, self.row.key, low, high)


def filters_of(tenant_id: str) -> list[FieldFilter]:
    return [FieldFilter(row) for row in rows_of(tenant_id)]


def number_box(row: MetadataField, label: str) -> forms.Field:
    """A box that has the number as JSON text: a number 0 would count as an empty filter."""
    number = row.definition

    def spelled(raw: Any) -> str:
        return rules.spelled(number.read(raw)) if raw else ""

    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})
    box = RuleFormField(spelled, label=label, widget=widget)
    box.show_hidden_initial = False
    return box


def text_box(row: MetadataField) -> forms.Field:
    return forms.CharField(label=row.label, widget=UnfoldAdminTextInputWidget)


def choice_box(row: MetadataField) -> forms.Field:
    return select(*((choice, choice) for choice in row.choices), label=row.label)


def switch_box(row: MetadataField) -> forms.Field:
    choices = [("", _("All")), ("yes", _("Yes")), ("no", _("No"))]
    return AnswerField(choices=choices, label=row.label, widget=UnfoldAdminSelectWidget)


Box = Callable[[MetadataField], forms.Field]

RANGES: dict[str, Callable[[MetadataField, str], forms.Field]] = {
    FieldKind.NUMBER: number_box,
    FieldKind.DATE: lambda row, label: day(label),
}
BOXES: dict[str, Box] = {
    FieldKind.TEXT: text_box,
    FieldKind.CHOICE: choice_box,
    FieldKind.YES_NO: switch_box,
}
# What the metadata must have, see `filters.with_metadata`, for the value of a box.
WANTED: dict[str, Callable[[str, str], dict[str, Any]]] = {
    FieldKind.TEXT: filters.of_metadata_form,
    FieldKind.CHOICE: lambda key, text: {key: [text]},
    FieldKind.YES_NO: lambda key, text: {key: [text == "yes"]},
}
