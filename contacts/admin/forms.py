"""Form fields that the rules clean."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.urls import reverse
from rest_framework.serializers import Serializer
from unfold.widgets import (
    UnfoldAdminMultipleAutocompleteWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants.admin import named_for
from tenants.fields import is_ulid
from tenants.models import Tenant, User

from .. import rules, strict_json
from ..models import ContactTag


class RuleFormField(forms.Field):
    """A form field that one of `rules` cleans.

    Its page carries the value it showed, so that saving writes only what the user changed,
    not what a program has changed meanwhile.
    """

    widget: type[forms.Widget] | forms.Widget = UnfoldAdminTextInputWidget

    def __init__(self, rule: Callable[[Any], Any], **options: Any) -> None:
        self.rule = rule
        super().__init__(required=False, show_hidden_initial=True, **options)

    def to_python(self, value: Any) -> Any:
        try:
            return self.rule(value)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


def checked(form: forms.Form, of_api: type[Serializer], given: dict[str, Any]) -> dict[str, Any]:
    """What the API makes of `given`; nothing where it refuses that: then `form` says why."""
    body: Serializer = of_api(data=given)
    if body.is_valid():
        return body.validated_data
    for field, sentences in body.errors.items():
        form.add_error(field, [str(sentence) for sentence in sentences])
    return {}


class TagSelect(AutocompleteSelect):
    """One of the tags that the user may see."""

    def __init__(self, site: Any) -> None:
        field = ContactTag._meta.get_field("tag")
        super().__init__(field, site, {"class": "unfold-filter-autocomplete"})

    def optgroups(self, name: str, value: Sequence[str], attrs: Any = None) -> Any:
        """Without what is no id: Django's own looks for it in the database."""
        return super().optgroups(name, [*filter(is_ulid, value)], attrs)


class TagChoiceField(forms.ModelChoiceField):
    """A tag, as its `user` tells it from others."""

    user: User

    def label_from_instance(self, tag: Any) -> str:
        return named_for(self.user, tag)


class TagNamesWidget(UnfoldAdminMultipleAutocompleteWidget):
    """Chips with suggestions, by select2, which Django's admin brings; unknown names are created.

    What it sends is the names, in their order; a text with commas is taken too.
    """

    # The theme's own writes an attribute's value in the place of the option's.
    option_template_name = "django/forms/widgets/select_option.html"

    def __init__(self, attrs: Any = None) -> None:
        declared = {"data-tags": "true", "data-token-separators": '[","]', "data-width": "100%"}
        super().__init__(declared | (attrs or {}))
        # A button among list items, which nobody misses who can take each chip away.
        self.attrs["data-allow-clear"] = "false"

    def suggest_those_of(self, tenant: Tenant) -> None:
        """Else they are of the user's tenant."""
        url = reverse("admin:contacts_contact_tag_names", query={"tenant": tenant.slug})
        self.attrs["data-ajax--url"] = url

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> dict[str, Any]:
        # Also while nothing is chosen, `admin:…` is looked up only when a page is made.
        url = reverse("admin:contacts_contact_tag_names")
        return super().build_attrs({"data-ajax--url": url} | base_attrs, extra_attrs)

    def format_value(self, value: Any) -> list[str]:
        names = value if isinstance(value, list) else (value or "").split(",")
        return [name.strip() for name in names if name.strip()]

    def optgroups(self, name: str, value: list[str], attrs: Any = None) -> Any:
        self.choices = [(tag, tag) for tag in value]
        return super().optgroups(name, value, attrs)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        return ",".join(data.getlist(name))


class TagNamesFormField(RuleFormField):
    widget = TagNamesWidget
    hidden_widget = forms.HiddenInput

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class MetadataFormField(RuleFormField):
    widget = UnfoldAdminTextareaWidget({"class": "mono", "spellcheck": "false", "rows": 10})

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares spellings: to Python, true and 1 are equal."""
        try:
            given = self.to_python(data)
        except forms.ValidationError:
            return True
        return rules.spelled(given) != rules.spelled(initial)

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


def metadata_from_text(text: str | None) -> dict[str, Any]:
    return rules.metadata(strict_json.loads(text) if text and text.strip() else None)
