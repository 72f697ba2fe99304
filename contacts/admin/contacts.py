"""Contacts for the staff, by the same rules as the API."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from contacts.change_log.difference import exchanged, of_metadata
from contacts.models import Change, Contact
from contacts.values import rules
from contacts.writing import edit
from tenants.admin import THEIRS, UNDECIDED, UNKNOWN, RetryOnConflictOwnedAdmin, TenantForm

from . import words
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

MOST_KEYS = 100  # of metadata, that are decided one by one
RECENT = 50  # changes that are looked through for who has made one

Metadata = dict[str, Any]


class ContactForm(TenantForm):
    merged = ("tags", "metadata")
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
        self.before = copy(self.instance)  # the instance takes over what was typed
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
        if phone != self.before.phone and (other := self.other("phone", phone)):
            raise forms.ValidationError(self.taken(other))
        return phone

    def taken(self, other: Contact) -> str:
        """With the way to it, for those who may see it."""
        told = f"There is a contact with {other.phone} already."
        if not self.may_view:
            return told
        page = reverse("admin:contacts_contact_change", args=[other.pk])
        return format_html('{} <a href="{}">Open it</a>', told, page)

    # What somebody has changed of a list or of some keys, and not what others have written beside
    # it while the page stood open.

    def clean_tags(self) -> list[str]:
        given, shown = self.cleaned_data["tags"], self.shown("tags")
        if self.instance._state.adding or shown is UNKNOWN or shown == self.instance.tags:
            return given
        gone, new = ([t for t in a if t not in b] for a, b in ((shown, given), (given, shown)))
        return self.ruled(rules.tags, exchanged(self.instance.tags, gone, new))

    def clean_metadata(self) -> Metadata:
        given, shown = self.cleaned_data["metadata"], self.shown("metadata")
        if self.instance._state.adding or shown is UNKNOWN:
            return given
        stored = self.initial["metadata"]
        mine = {*of_metadata(shown, given)}
        contested = mine & {*of_metadata(shown, stored)} & {*of_metadata(given, stored)}
        choices = {keys: self.choice_of(keys, given, stored) for keys in apart(contested)}
        if "" in choices.values():
            raise forms.ValidationError(UNDECIDED)
        mine -= {key for keys, choice in choices.items() if choice == THEIRS for key in keys}
        kept = {key: value for key, value in stored.items() if key not in mine}
        new = {key: value for key, value in given.items() if key in mine}
        return self.ruled(rules.metadata, kept | new)

    def choice_of(self, keys: tuple[str, ...], given: Metadata, stored: Metadata) -> str:
        """What the user has chosen of metadata: of one key, or of several together."""
        mine, theirs = ({k: all_[k] for k in keys if k in all_} for all_ in (given, stored))
        name, label, shown = "metadata", f"Metadata, {len(keys)} keys", in_json
        if len(keys) == 1:
            name, label = f"metadata.{keys[0]}", f"Metadata, {words.short(keys[0])}"
            shown = partial(value_in_json, keys[0])
        return self.choice(name, label, shown(mine), shown(theirs), theirs)

    def changed_by(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """As the change log has it, which also knows what programs do."""
        tenant, pk = self.instance.tenant_id, self.instance.pk
        found = Change.objects.filter(tenant=tenant, contact_id=pk).order_by("-pk")[:RECENT]
        actors = words.Actors((change.actor for change in found), [tenant])
        for name in names:
            if change := next((change for change in found if has_changed(change, name)), None):
                who = actors.who(change.actor).text
                yield name, f"by {who} at {words.when(change.at)}"

    def ruled(self, rule: Callable[[Any], Any], merged: Any) -> Any:
        try:
            return rule(merged)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


def apart(keys: set[str]) -> list[tuple[str, ...]]:
    """The keys of metadata that are decided one by one; together where there are very many, for
    which a form could not have enough fields (`DATA_UPLOAD_MAX_NUMBER_FIELDS`)."""
    ordered = sorted(keys)
    return [tuple(ordered)] if len(ordered) > MOST_KEYS else [(key,) for key in ordered]


def in_json(values: Metadata) -> str:
    return words.short(rules.spelled(values))


def value_in_json(key: str, values: Metadata) -> str:
    return words.short(rules.spelled(values[key])) if key in values else words.NOTHING


def has_changed(change: Change, name: str) -> bool:
    """Whether it is one of the field `name`, or of that key: `metadata.KEY`."""
    column, _, key = name.partition(".")
    return column in change.fields and (not key or key in change.fields[column])


@admin.register(Contact)
class ContactAdmin(
    ContactPageAdmin, ContactListAdmin, MergeAdmin, OverviewAdmin, RetryOnConflictOwnedAdmin
):
    form = ContactForm

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Where the contact is going to be saved, it is read once, and locked: so nobody else
        writes it between the check of the form and the end of the transaction."""
        if request.method != "POST" or not connection.in_atomic_block:
            return super().get_object(request, object_id, from_field)
        try:
            found = self.get_queryset(request).filter(pk=object_id)
            return found.select_for_update(of=("self",)).first()
        except (ValueError, ValidationError):
            return None

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.may_view = self.has_view_permission(request)
        return form

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.MANUAL
            edit.save(obj)
        elif form.changed_data:
            edit.save(obj, update_fields=form.changed_data, before=form.before)
