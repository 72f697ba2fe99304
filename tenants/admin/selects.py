"""Form fields of what users choose for themselves, also from hundreds of choices."""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from .. import languages, time_zones


class LongSelect(UnfoldAdminSelectWidget):
    """A select box with hundreds of options. The usual widget renders a template for each option,
    which would take a fifth of the page's time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = format_html_join(
            "\n",
            "<option{}>{}</option>",
            ((flatatt({"value": c, "selected": c == value}), label) for c, label in self.choices),
        )
        own = flatatt({"name": name, **self.build_attrs(self.attrs, attrs)})
        return format_html("<select{}>{}</select>", own, options)


def time_zone_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        choices=time_zones.choices,
        required=False,
        widget=LongSelect,
        help_text=gettext_lazy("Days and times of the admin are in this zone."),
    )


def language_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label=gettext_lazy("Language"),
        choices=languages.choices,
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("The admin and e-mails are in this language."),
    )
