"""The filters of the list of contacts: one form, and Django's filter that applies it."""

from collections.abc import Iterator
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import INPUT_CLASSES, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from contacts.finding import filters
from contacts.models import Contact, ContactQuerySet, Tag
from contacts.values import countries
from tenants.admin import user_of
from tenants.fields import is_ulid
from tenants.models import FIRST_DAY, LAST_DAY, Tenant

from .forms import TagField, TagInput, suggestions_of_all

TAGS = ("tag", "without")
LABELLED = ("source", "consent", "has_email")  # their choices have labels for people
CONSENTS = [("in", "Opted in"), ("out", "Opted out"), ("none", "No decision")]


def select(*choices: tuple[str, str], label: str | None = None) -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=[("", "All"), *choices], label=label, widget=UnfoldAdminSelectWidget
    )


def day(label: str) -> forms.DateField:
    attrs = {"type": "date", "class": " ".join(INPUT_CLASSES)}
    return forms.DateField(
        label=label,
        widget=forms.DateInput(attrs, format="%Y-%m-%d"),
        validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)],
    )


class CountrySelect(UnfoldAdminSelectWidget):
    """A select box with 240 options. The usual widget renders a template for each option, which
    would take a fifth of the page's time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = format_html_join(
            "\n",
            "<option{}>{}</option>",
            ((flatatt({"value": c, "selected": c == value}), label) for c, label in self.choices),
        )
        own = flatatt({"name": name, **self.build_attrs(self.attrs, attrs)})
        return format_html("<select{}>{}</select>", own, options)


class FilterForm(forms.Form):
    """The form of all filters. `contacts.finding.filters` says which contacts each filter finds."""

    tag = TagField(label="With tag")
    without = TagField(label="Without tag")
    country = forms.ChoiceField(widget=CountrySelect)
    source = select(*Contact.Source.choices)
    consent = select(*CONSENTS)
    has_email = select(("yes", "With e-mail"), ("no", "Without e-mail"), label="E-mail")
    created_from = day("Created from")
    created_to = day("Created until")
    updated_from = day("Updated from")
    updated_to = day("Updated until")
    metadata_key = forms.CharField(widget=UnfoldAdminTextInputWidget)
    metadata_value = forms.CharField(
        widget=UnfoldAdminTextInputWidget, help_text="Leave empty to find any value of the key."
    )
    tenant = forms.ModelChoiceField(Tenant.objects.none(), widget=UnfoldAdminSelectWidget)

    class Media(TagInput.Media):
        """The theme reads the scripts of filters from here."""

    def __init__(self, data: Any, request: HttpRequest, site: Any) -> None:
        super().__init__(data)
        fields: dict[str, Any] = self.fields
        for field in fields.values():
            field.required = False
        tags = site.get_model_admin(Tag).visible(request, Tag.objects.all())
        if request.user.is_superuser:
            fields["tenant"].queryset = Tenant.objects.all()
            if is_ulid(chosen := self.data.get("tenant", "")):
                tags = tags.filter(tenant=chosen)
        else:
            del fields["tenant"]
        for name in TAGS:
            fields[name].choose_from(tags, user_of(request), suggestions_of_all())
        codes = sorted(countries.numbering())
        fields["country"].choices = [("", "All"), *((code, code) for code in codes)]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("metadata_value") and not given.get("metadata_key"):
            self.add_error("metadata_value", "Enter the metadata key, too.")
        return given

    def chosen(self, contacts: ContactQuerySet) -> ContactQuerySet:
        """Those of `contacts` that match all filters of the form, which is valid."""
        given = self.cleaned_data
        return filters.choose(of_tenant(contacts, given.get("tenant")), filters.of_form(given))

    def problems(self) -> Iterator[str]:
        """The errors, each with the label of its field."""
        for name, sentences in self.errors.items():
            yield f"{self[name].label}: {' '.join(map(str, sentences))}"

    def active(self) -> Iterator[tuple[str, str, list[str]]]:
        """The label, the value and the URL parameters of each filter that has a value."""
        for name, value in self.cleaned_data.items():
            if value and name in self.fields:
                yield str(self[name].label), self.value_text(name, value), self.parameters(name)

    def value_text(self, name: str, value: Any) -> str:
        field: Any = self.fields[name]
        if name in TAGS:
            return field.label_of(value)
        choices = dict(field.choices) if name in LABELLED else {}
        return str(choices.get(value, value))

    def parameters(self, name: str) -> list[str]:
        """The URL parameters of a filter. Metadata has two: a value without its key is invalid."""
        return ["metadata_key", "metadata_value"] if name == "metadata_key" else [name]


def of_tenant(contacts: ContactQuerySet, tenant: Tenant | None) -> ContactQuerySet:
    """Those of `contacts` that belong to `tenant`; None means all tenants, which superusers see."""
    return contacts.filter(tenant=tenant) if tenant else contacts


class ContactFilter(admin.ListFilter):
    """Makes all filters one form, so that one click applies several of them."""

    title = "filter"
    # The theme reads this attribute of every filter since 0.92, and fails without it.
    parameter_name = "filter"
    template = "unfold/filters/filters_field.html"
    form_class = FilterForm

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in FilterForm.base_fields:
            if values := params.pop(name, None):
                self.used_parameters[name] = values[-1]
        self.form = FilterForm(self.used_parameters, request, model_admin.admin_site)

    def expected_parameters(self) -> list[str | None]:
        return [*FilterForm.base_fields]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form}

    def queryset(self, request: HttpRequest, queryset: models.QuerySet) -> models.QuerySet:
        """An invalid filter finds no contact. If it were ignored, a bulk action would change
        contacts that the filter was meant to leave out."""
        if self.form.is_valid():
            return self.form.chosen(cast("ContactQuerySet", queryset))
        for sentence in self.form.problems():
            messages.error(request, sentence)
        return queryset.none()
