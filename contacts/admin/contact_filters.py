"""The filters of the list of contacts: one form, and Django's filter that applies it."""

from typing import Any, cast

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.widgets import UnfoldAdminTextInputWidget

from contacts.finding import filters
from contacts.models import Contact, ContactQuerySet, Tag
from contacts.values import countries
from tenants.admin import LongSelect, user_of
from tenants.fields import is_ulid

from .field_filters import PREFIX, FieldFilter, filters_of
from .forms import TagField, TagInput, suggestions_of_all
from .keyset_list import FiltersForm, FormFilter, all_tenants, day, select

TAGS = ("tag", "without")
LABELLED = ("source", "consent", "has_email")  # their choices have labels for people
GONE = gettext_noop("A field of the filter does not exist any more. Remove the filter.")
CONSENTS: list[tuple[str, Any]] = [
    ("in", gettext_lazy("Opted in")),
    ("out", gettext_lazy("Opted out")),
    ("none", gettext_lazy("No decision")),
]


class FilterForm(FiltersForm):
    """The form of all filters. `contacts.finding.filters` says which contacts each filter finds."""

    tag = TagField(label=gettext_lazy("With tag"))
    without = TagField(label=gettext_lazy("Without tag"))
    country = forms.ChoiceField(label=gettext_lazy("Country"), widget=LongSelect)
    source = select(*Contact.Source.choices, label=gettext_lazy("Source"))
    consent = select(*CONSENTS, label=gettext_lazy("Consent"))
    has_email = select(
        ("yes", gettext_lazy("With e-mail")),
        ("no", gettext_lazy("Without e-mail")),
        label=gettext_lazy("E-mail"),
    )
    created_from = day(gettext_lazy("Created from"))
    created_to = day(gettext_lazy("Created until"))
    updated_from = day(gettext_lazy("Updated from"))
    updated_to = day(gettext_lazy("Updated until"))
    metadata_key = forms.CharField(
        label=gettext_lazy("Metadata key"), widget=UnfoldAdminTextInputWidget
    )
    metadata_value = forms.CharField(
        label=gettext_lazy("Metadata value"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Leave empty to find any value of the key."),
    )
    tenant = all_tenants()

    class Media(TagInput.Media):
        """The theme reads the scripts of filters from here."""

    def __init__(self, data: Any, request: HttpRequest, site: Any) -> None:
        super().__init__(data, request, site)
        fields: dict[str, Any] = self.fields
        tags = site.get_model_admin(Tag).visible(request, Tag.objects.all())
        if request.user.is_superuser and is_ulid(chosen := self.data.get("tenant", "")):
            tags = tags.filter(tenant=chosen)
        for name in TAGS:
            fields[name].choose_from(tags, user_of(request), suggestions_of_all())
        codes = sorted(countries.numbering())
        fields["country"].choices = [("", _("All")), *((code, code) for code in codes)]
        self.defined = self.filters_of_fields(request)
        for one in self.defined:
            fields |= one.inputs()

    def filters_of_fields(self, request: HttpRequest) -> list[FieldFilter]:
        """The filters by the fields of the user's tenant, or of the tenant that a superuser has
        chosen: the same key may be another field of another tenant."""
        user = user_of(request)
        chosen = str(self.data.get("tenant") if user.is_superuser else user.tenant_id)
        return filters_of(chosen) if is_ulid(chosen) else []

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if any(name.startswith(PREFIX) and name not in self.fields for name in self.data):
            self.add_error(None, _(GONE))
        if given.get("metadata_value") and not given.get("metadata_key"):
            self.add_error("metadata_value", _("Enter the metadata key, too."))
        return given

    def chosen(self, contacts: ContactQuerySet) -> ContactQuerySet:
        found = cast("ContactQuerySet", self.of_tenant(contacts))
        found = filters.choose(found, filters.of_form(self.cleaned_data))
        for one in self.defined:
            found = one.chosen(found, self.cleaned_data)
        return found

    def is_scanned(self) -> bool:
        """Whether the database has to read contacts one after the other to find those that match:
        no index has the values of fields."""
        given = self.cleaned_data if self.is_valid() else {}
        is_by_field = any(one.is_used(given) for one in self.defined)
        return is_by_field and not (given["tag"] and given["tag"].is_rare())

    def value_text(self, name: str, value: Any) -> str:
        field: Any = self.fields[name]
        if name in TAGS:
            return field.label_of(value)
        choices = dict(field.choices) if name in LABELLED else {}
        return str(choices[value]) if value in choices else super().value_text(name, value)

    def parameters(self, name: str) -> list[str]:
        """Metadata has two: a value without its key is invalid."""
        return ["metadata_key", "metadata_value"] if name == "metadata_key" else [name]


class ContactFilter(FormFilter):
    form_class = FilterForm

    def names(self, params: dict[str, Any]) -> list[str]:
        return [*super().names(params), *(name for name in params if name.startswith(PREFIX))]
