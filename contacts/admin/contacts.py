"""Contacts for the staff, by the same rules as the API."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db import connection
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.admin import RacingFormAdmin, TenantForm

from .. import rules
from ..changes import differ, exchanged
from ..models import Contact
from .contact_list import ContactListAdmin
from .contact_page import ContactPageAdmin
from .forms import (
    MetadataFormField,
    RuleFormField,
    TagNamesFormField,
    metadata_from_text,
    suggestions_of,
)
from .merging import MergeAdmin
from .overview import OverviewAdmin


class ContactForm(TenantForm):
    may_view = False  # set on the class that `ContactAdmin` makes of it

    phone = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        show_hidden_initial=True,
        help_text="With + and the country code, in any spelling.",
    )
    name = RuleFormField(rules.name)
    email = RuleFormField(rules.email)
    tags = TagNamesFormField(
        rules.tags,
        help_text="Separated by commas. Enter takes the marked suggestion, a comma what you typed.",
    )
    locale = RuleFormField(rules.locale)
    metadata = MetadataFormField(metadata_from_text, help_text="A JSON object.")

    class Meta:
        model = Contact
        fields = ["tenant", "phone", "name", "email", "tags", "locale", "metadata"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "tags" in self.fields and not self.instance._state.adding:
            widget: Any = self.fields["tags"].widget
            widget.suggest = suggestions_of(self.instance.tenant)

    def clean_phone(self) -> str:
        tenant = self.row_tenant()
        region = tenant.default_region if tenant else ""
        try:
            phone = rules.phone(self.cleaned_data["phone"], region)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        if other := self.other("phone", phone):
            raise forms.ValidationError(self.taken(other))
        return phone

    def taken(self, other: Contact) -> str:
        """With the way to it, for those who may see it."""
        told = f"There is a contact with {other.phone} already."
        if not self.may_view:
            return told
        page = reverse("admin:contacts_contact_change", args=[other.pk])
        return format_html('{} <a href="{}">Open it</a>', told, page)

    # What somebody has changed of a list or of some keys, and not what programs have written
    # beside it while the page stood open.

    def clean_tags(self) -> list[str]:
        given, shown = self.cleaned_data["tags"], self.shown("tags")
        if shown is None or shown == self.instance.tags:
            return given
        gone, new = ([t for t in a if t not in b] for a, b in ((shown, given), (given, shown)))
        return self.ruled(rules.tags, exchanged(self.instance.tags, gone, new))

    def clean_metadata(self) -> dict[str, Any]:
        given, shown = self.cleaned_data["metadata"], self.shown("metadata")
        if shown is None:
            return given
        kept = {k: v for k, v in self.instance.metadata.items() if k in given or k not in shown}
        new = {k: v for k, v in given.items() if k not in shown or differ(shown[k], v)}
        return self.ruled(rules.metadata, kept | new)

    def shown(self, name: str) -> Any:
        """What the page of a contact showed in a field."""
        text = self.data.get(self[name].html_initial_name)
        return (
            None if text is None or self.instance._state.adding else self.fields[name].clean(text)
        )

    def ruled(self, rule: Callable[[Any], Any], merged: Any) -> Any:
        try:
            return rule(merged)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Contact)
class ContactAdmin(ContactPageAdmin, ContactListAdmin, MergeAdmin, OverviewAdmin, RacingFormAdmin):
    form = ContactForm

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Where it is saved, nobody else writes it between the form's look at it and the end."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        return Contact.objects.filter(pk=found.pk).select_for_update().first()

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.may_view = self.has_view_permission(request)
        return form

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.MANUAL
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)
