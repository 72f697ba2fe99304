"""Metadata for users who may only see contacts: rows with the labels that the tenant defines, and
the other keys. Django calls these objects with the contact, as it calls methods of the admin."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.models import Contact
from contacts.values import rules
from contacts.values.defined_fields import DefinedField, FieldKind

from .describe import NOTHING
from .field_inputs import mark_of
from .forms import answers

MAX_ROWS = 200  # other keys; more are shown as JSON only, as on the page for editing
ROW = '<div><dt class="font-medium">{}</dt><dd>{}</dd></div>'
JSON = '<details><summary>{}</summary><pre class="mono">{}</pre></details>'


@dataclass(frozen=True)
class ShownField:
    """The row of one field."""

    defined: DefinedField
    __name__ = "field"  # Django makes the class of the row from it

    @property
    def short_description(self) -> str:
        return self.defined.label

    def __call__(self, contact: Contact) -> str:
        value = contact.metadata.get(self.defined.key)
        shown = self.defined.shown(value) or NOTHING
        if self.defined.kind == FieldKind.YES_NO:
            shown = answers().get(shown, shown)
        return (
            format_html("{} {}", shown, mark) if (mark := mark_of(self.defined, value)) else shown
        )


@dataclass(frozen=True)
class ShownMetadata:
    """The row of the metadata: the keys that are no fields, and all as JSON."""

    defined: tuple[DefinedField, ...]
    short_description = gettext_lazy("metadata")
    __name__ = "metadata"

    def __call__(self, contact: Contact) -> str:
        own = {field.key for field in self.defined}
        others = {key: value for key, value in contact.metadata.items() if key not in own}
        if not contact.metadata:
            return NOTHING
        text = json.dumps(contact.metadata, indent=2, ensure_ascii=False)
        rows = others.items() if len(others) <= MAX_ROWS else ()
        details = format_html(JSON, _("As JSON"), text)
        return format_html('<dl class="values">{}</dl>{}', rows_of(rows), details)


def rows_of(values: Iterable[tuple[str, Any]]) -> SafeString:
    """The rows of keys and values; a value that is no text is shown as JSON."""
    shown = ((key, v if isinstance(v, str) else rules.spelled(v)) for key, v in sorted(values))
    return format_html_join("", ROW, shown)
