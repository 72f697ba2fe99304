"""Form fields of the admin: values that the rules of the API clean, tags, metadata."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from django import forms
from django.db.models import Q, Value
from django.db.models.functions import Concat
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext
from rest_framework.serializers import Serializer
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from contacts.models import Contact, ContactTag, Tag, TagQuerySet
from contacts.values import rules, strict_json
from contacts.values.folding import searchable
from contacts.values.translation import either
from tenants.admin import label_for
from tenants.fields import is_ulid
from tenants.models import Tenant, User


def name_of_field(name: str) -> str:
    """The name of a field of contacts in the language of the user, with a capital letter."""
    field: Any = Contact._meta.get_field(name)
    return capfirst(str(field.verbose_name))


def translated(texts: dict[str, str]) -> dict[str, str]:
    """The choices of a constant with their texts, which are marked there, in the language of the
    user."""
    return {key: _(text) for key, text in texts.items()}


def labelled(label: Any, value: str) -> str:
    """A value of a field, or a sentence about it, after the label of the field."""
    return _("%(label)s: %(value)s") % {"label": label, "value": value}


def answers() -> dict[str, str]:
    """The values yes and no, as `DefinedField.shown` writes them, in the language of the user."""
    return {
        "yes": pgettext("value of a field", "yes"),
        "no": pgettext("value of a field", "no"),
    }


class RuleFormField(forms.Field):
    """A form field that is cleaned by `rule`, one of `contacts.values.rules`.

    A hidden field of the page has the value that the page showed. So saving writes only a value
    that the user changed, and does not undo the change of a program.
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


def checked(
    form: forms.Form, serializer: type[Serializer], given: dict[str, Any]
) -> dict[str, Any]:
    """Validates `given` with a serializer of the API and returns the result. Adds the errors to
    `form` and returns an empty dict if `given` is invalid."""
    body: Serializer = serializer(data=given)
    if body.is_valid():
        return body.validated_data
    for field, sentences in body.errors.items():
        form.add_error(field, [str(sentence) for sentence in sentences])
    return {}


class TagInput(UnfoldAdminTextInputWidget):
    """A text box with suggestions of tags below it. The form always gets the text of the box, also
    if JavaScript is off or the suggestions fail.

    `suggest`: a URL that returns suggestions for `?term=`. Default: the tags of the user's tenant.
    """

    class Media:
        js = [forms.Script("qyvo/tags.js", type="module")]

    def __init__(self, suggest: str = "", attrs: dict[str, Any] | None = None) -> None:
        fixed = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        super().__init__(fixed | (attrs or {}))
        self.suggest = suggest

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> dict[str, Any]:
        # Not in __init__: fields are created at import, when the URLs are not loaded yet.
        suggest = self.suggest or reverse("admin:contacts_contact_tag_names")
        return super().build_attrs({"data-suggest": suggest} | base_attrs, extra_attrs)


def suggestions_of(tenant: Tenant) -> str:
    """The URL of suggestions with the names of the tenant's tags."""
    return reverse("admin:contacts_contact_tag_names", query={"tenant": tenant.slug})


def suggestions_of_all() -> str:
    """The URL of suggestions with every tag that the user may see; for superusers, each name has
    its tenant."""
    field = ContactTag._meta.get_field("tag")
    names = {"app_label": field.model._meta.app_label, "model_name": field.model._meta.model_name}
    return reverse("admin:autocomplete", query=names | {"field_name": field.name})


class TagField(forms.CharField):
    """One existing tag: by its name, by the name as people type it, without accents and case, if
    only one tag has it, or by its id, which links of the admin use. Any other text is an error that
    names similar tags: a tag that is only similar would find the wrong contacts.

    Call `choose_from` before the field is used.
    """

    widget = TagInput
    user: User
    tags: TagQuerySet

    def choose_from(self, tags: TagQuerySet, user: User, suggest: str) -> None:
        """`tags`: the tags that are accepted. `user`: the user who types the name; superusers may
        add the tenant, as in their suggestions. `suggest`: the URL of suggestions."""
        self.tags, self.user = tags, user
        self.labels: dict[str, str] = {}
        self.widget.suggest = suggest

    def clean(self, value: Any) -> Tag | None:
        text = super().clean(value)
        if not text:
            return None
        tag = self.by_id(text) or self.by_name(text)
        self.labels[value] = self.label_of(tag)
        return tag

    def by_id(self, text: str) -> Tag | None:
        return self.tags.filter(pk=text).first() if is_ulid(text) else None

    def by_name(self, text: str) -> Tag:
        tags, named = self.tags, Q(name=text)
        if self.user.is_superuser:
            tags, named = tags.annotate(label=WITH_TENANT), named | Q(label=text)
        found = [*tags.filter(named)[:2]]
        if len(found) > 1:
            raise forms.ValidationError(_(SEVERAL_TAGS) % {"name": text})
        return found[0] if found else self.by_typed(text)

    def by_typed(self, text: str) -> Tag:
        """The only tag with this name as people type it."""
        like = self.tags.named_like(text)
        same = [tag for tag in like if searchable(tag.name) == searchable(text)]
        if len(same) == 1:
            return same[0]
        names = [*islice(dict.fromkeys(tag.name for tag in (same or like)), MAX_LIKE)]
        if not names:
            raise forms.ValidationError(_(NO_TAG) % {"name": text})
        raise forms.ValidationError(
            _(LIKE_TAG) % {"name": text, "names": either(map(quoted, names))}
        )

    def label_of(self, tag: Tag) -> str:
        return label_for(self.user, tag)

    def prepare_value(self, value: Any) -> Any:
        """Shows the name of the tag, also if the value is an id, which means nothing to people."""
        return self.labels.get(value, value)


WITH_TENANT = Concat("name", Value(" ("), "tenant__name", Value(")"))  # like `label_for`
NO_TAG = gettext_noop("There is no tag “%(name)s”.")
# `names`: one name, or “a” or “b”.
LIKE_TAG = gettext_noop("There is no tag “%(name)s”. Do you mean %(names)s?")
MAX_LIKE = 3  # similar tags that an error names
SEVERAL_TAGS = gettext_noop(
    "Several tenants have a tag “%(name)s”. Add the tenant: “%(name)s (name of the tenant)”."
)


def quoted(name: str) -> str:
    """The name in the quotation marks of the language."""
    return _("“%(name)s”") % {"name": name}


class TagNamesWidget(TagInput):
    """Names of tags, separated by commas. With JavaScript, each tag is a chip. Enter adds the
    marked suggestion; a comma, Tab and Save add the typed text. See `qyvo/static/qyvo/tags.js`."""

    def __init__(self) -> None:
        super().__init__(attrs={"data-tags": ""})


class TagNamesFormField(RuleFormField):
    widget = TagNamesWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class MetadataWidget(UnfoldAdminTextareaWidget):
    """The text of a JSON object. With JavaScript, a row for each key; see
    `qyvo/static/qyvo/metadata.js`."""

    class Media:
        js = [forms.Script("qyvo/metadata.js", type="module")]

    def __init__(self) -> None:
        look = {"class": "mono", "spellcheck": "false", "rows": 10}
        super().__init__(look | {"data-metadata": ""})


class MetadataFormField(RuleFormField):
    widget = MetadataWidget

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares the values as JSON: in Python, `True == 1`, so a change from 1 to true would be
        lost."""
        try:
            given = self.to_python(data)
        except forms.ValidationError:
            return True
        return rules.spelled(given) != rules.spelled(initial)

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


def metadata_from_text(text: str | None) -> dict[str, Any]:
    return rules.metadata(strict_json.loads(text) if text and text.strip() else None)
