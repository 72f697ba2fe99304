"""Contacts for the staff, by the same rules as the API."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.admin import RacingFormAdmin, TenantForm

from .. import rules
from ..models import Contact
from .contact_list import ContactListAdmin
from .contact_page import ContactPageAdmin
from .forms import MetadataFormField, RuleFormField, TagNamesFormField, metadata_from_text
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
        rules.tags, help_text="Type to find one, or to make a new one: Enter or a comma ends it."
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
            widget.suggest_those_of(self.instance.tenant)

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


@admin.register(Contact)
class ContactAdmin(ContactPageAdmin, ContactListAdmin, MergeAdmin, OverviewAdmin, RacingFormAdmin):
    form = ContactForm

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
