"""The admin of contacts: the form of one contact, by the rules of the API, and the whole class.

If somebody else changes a contact while its page is open, the form keeps both changes where it can,
and otherwise asks which value to keep; see `tenants.admin.conflicts`.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import cached_property, partial
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from contacts import schema
from contacts.change_log.difference import exchanged, of_metadata
from contacts.models import Change, Contact, fields_of
from contacts.schema import Kind
from contacts.values import rules
from contacts.values.defined_fields import DefinedField
from contacts.values.numbering_plans import forms as forms_of
from contacts.writing import change_phone, edit
from tenants.admin import (
    THEIRS,
    UNDECIDED,
    UNKNOWN,
    TenantForm,
    TenantOwnedRetryAdmin,
    user_of,
)

from . import describe
from .contact_list import ContactListAdmin
from .contact_page import ContactPageAdmin
from .field_inputs import boxes_of, names_of, with_boxes
from .finder import FinderAdmin
from .forms import (
    MetadataFormField,
    RuleFormField,
    TagNamesFormField,
    metadata_from_text,
    suggestions_of,
)
from .merging import MergeAdmin
from .overview import OverviewAdmin
from .shown_fields import ShownField, ShownMetadata

MAX_KEYS = 100  # conflicting metadata keys that the page asks about one by one
RECENT = 50  # changes; the author of an older change is not shown

Metadata = dict[str, Any]


class ContactForm(TenantForm):
    merged = ("tags", "metadata")
    # Set by `ContactAdmin.get_form`.
    may_view = may_merge = False
    defined: tuple[DefinedField, ...] = ()

    phone = forms.CharField(
        label=gettext_lazy("Phone"),
        widget=UnfoldAdminTextInputWidget,
        show_hidden_initial=True,
        help_text=gettext_lazy("Include + and country code; spaces are fine."),
    )
    keep_former = forms.BooleanField(
        required=False,
        label=gettext_lazy("Keep the old phone as a former phone"),
        help_text=gettext_lazy(
            "If you change the phone: the contact is then found by both phones."
        ),
        widget=UnfoldBooleanWidget,
    )
    tags = TagNamesFormField(
        rules.tags,
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy(
            "Separate with commas. Enter adds the marked suggestion, a comma your own text."
        ),
    )
    metadata = MetadataFormField(
        metadata_from_text,
        label=gettext_lazy("Metadata"),
        help_text=gettext_lazy("Keys with values. As JSON, an object."),
    )

    class Meta:
        model = Contact
        fields = ["tenant", *(field.name for field in schema.FIELDS if field.is_edited)]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.before = copy(self.instance)  # the instance takes over what was typed
        if "tags" in self.fields and not self.instance._state.adding:
            widget: Any = self.fields["tags"].widget
            widget.suggest = suggestions_of(self.instance.tenant)
        shown = self.shown("metadata") if self.defined else UNKNOWN
        self.boxes = boxes_of(self.defined, self.before.metadata if shown is UNKNOWN else shown)
        self.fields = self.boxes | self.fields  # before the metadata, which takes over their values
        if self.boxes:  # its rows leave these keys out, its JSON has them
            keys = [field.key for field in self.defined]
            self.fields["metadata"].widget.attrs["data-fields"] = rules.spelled(keys)

    @cached_property
    def changed_data(self) -> list[str]:
        """The changed fields of the contact. A change of a box is a change of the metadata."""
        changed = dict.fromkeys(super().changed_data)
        if not self.boxes.keys().isdisjoint(changed):
            changed["metadata"] = None
        return [name for name in changed if name not in self.boxes]

    def clean_phone(self) -> str:
        tenant = self.row_tenant()
        region = tenant.default_region if tenant else ""
        try:
            phone = rules.phone(self.cleaned_data["phone"], region)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        if tenant is None or phone == self.before.phone:
            return phone
        if other := change_phone.other_with(tenant.pk, phone, but=self.instance.pk):
            raise forms.ValidationError(self.taken(phone, other))
        return phone

    def taken(self, phone: str, other: Contact) -> str:
        """An error with links to the other contact and to the page that merges both contacts, if
        the user may see and merge contacts."""
        if other.phone in forms_of([phone]):
            sentence = _("Another contact already has the phone %(phone)s.")
        else:
            sentence = _("Another contact already has the phone %(phone)s as a former phone.")
        sentence %= {"phone": phone}
        if not self.may_view:
            return sentence
        page = reverse("admin:contacts_contact_change", args=[other.pk])
        if self.instance._state.adding or not self.may_merge:
            link = format_html(_('<a href="{page}">Open it</a>'), page=page)
            return format_html("{} {}", sentence, link)
        both = [self.instance.pk, other.pk]
        merge = reverse("admin:contacts_contact_merge", query={"contact": both})
        links = format_html(
            _('<a href="{page}">Open it</a> or <a href="{merge}">merge the two</a>'),
            page=page, merge=merge,
        )  # fmt: skip
        return format_html("{} {}", sentence, links)

    # Tags and metadata are merged: the user's changes are applied to the stored value. Saving the
    # whole list would remove a tag that a program added while the page was open.

    def clean_tags(self) -> list[str]:
        given, shown = self.cleaned_data["tags"], self.shown("tags")
        if self.instance._state.adding or shown is UNKNOWN or shown == self.instance.tags:
            return given
        gone, new = ([t for t in a if t not in b] for a, b in ((shown, given), (given, shown)))
        return self.ruled(rules.tags, exchanged(self.instance.tags, gone, new))

    def clean_metadata(self) -> Metadata:
        typed, shown = self.cleaned_data["metadata"], self.shown("metadata")
        given = self.ruled(rules.metadata, with_boxes(typed, self.boxes, self.cleaned_data))
        if self.instance._state.adding or shown is UNKNOWN:
            return given
        stored = self.initial["metadata"]
        mine = {*of_metadata(shown, given)}
        contested = mine & {*of_metadata(shown, stored)} & {*of_metadata(given, stored)}
        choices = {keys: self.choice_of(keys, given, stored) for keys in groups_of(contested)}
        if "" in choices.values():
            raise forms.ValidationError(_(UNDECIDED))
        mine -= {key for keys, choice in choices.items() if choice == THEIRS for key in keys}
        kept = {key: value for key, value in stored.items() if key not in mine}
        new = {key: value for key, value in given.items() if key in mine}
        return self.ruled(rules.metadata, kept | new)

    def choice_of(self, keys: tuple[str, ...], given: Metadata, stored: Metadata) -> str:
        """The user's choice for one metadata key, or for several keys together."""
        mine, theirs = ({k: all_[k] for k in keys if k in all_} for all_ in (given, stored))
        name, shown, number = "metadata", as_json, {"count": len(keys)}
        label = ngettext("Metadata, %(count)s key", "Metadata, %(count)s keys", len(keys)) % number
        if len(keys) == 1:
            name, shown = f"metadata.{keys[0]}", partial(json_of_value, keys[0])
            label = _("Metadata, %(key)s") % {"key": describe.shortened(keys[0])}
        return self.choice(name, label, shown(mine), shown(theirs), theirs)

    def changed_by(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """From the change log, which also contains the changes of programs."""
        tenant, pk = self.instance.tenant_id, self.instance.pk
        found = Change.objects.filter(tenant=tenant, contact_id=pk).order_by("-pk")[:RECENT]
        actors = describe.Actors((change.actor for change in found), [tenant])
        for name in names:
            if change := next((change for change in found if has_changed(change, name)), None):
                who, at = actors.who(change.actor).text, describe.local_time(change.at)
                yield name, _("by %(who)s at %(at)s") % {"who": who, "at": at}

    def ruled(self, rule: Callable[[Any], Any], merged: Any) -> Any:
        try:
            return rule(merged)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


def groups_of(keys: set[str]) -> list[tuple[str, ...]]:
    """Groups of metadata keys; the page asks once for each group. Each key is a group of its own,
    unless there are too many for Django's limit on form fields (`DATA_UPLOAD_MAX_NUMBER_FIELDS`):
    then all keys are one group."""
    ordered = sorted(keys)
    return [tuple(ordered)] if len(ordered) > MAX_KEYS else [(key,) for key in ordered]


def as_json(values: Metadata) -> str:
    return describe.shortened(rules.spelled(values))


def json_of_value(key: str, values: Metadata) -> str:
    return describe.shortened(rules.spelled(values[key])) if key in values else describe.NOTHING


def has_changed(change: Change, name: str) -> bool:
    """Whether the change changed the field `name`, or the metadata key of `metadata.KEY`."""
    column, _, key = name.partition(".")
    return column in change.fields and (not key or key in change.fields[column])


@admin.register(Contact)
class ContactAdmin(
    ContactPageAdmin,
    ContactListAdmin,
    MergeAdmin,
    OverviewAdmin,
    FinderAdmin,
    TenantOwnedRetryAdmin,
):
    """Contacts in the admin. Each base class adds one part: the page of a contact, the list, the
    bulk actions with merging, the first page, and the search of each page."""

    form = ContactForm

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Reads the contact once and locks it if it is going to be saved: nobody else may change it
        between the form's validation and the end of the transaction."""
        if request.method != "POST" or not connection.in_atomic_block:
            return super().get_object(request, object_id, from_field)
        try:
            found = self.get_queryset(request).filter(pk=object_id)
            if user_of(request).is_superuser:  # a sharded database locks no row by its id alone
                found = found.filter(tenant__in=[*found.values_list("tenant", flat=True)])
            return found.select_for_update(of=("self",)).first()
        except (ValueError, ValidationError):
            return None

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        fieldsets = super().get_fieldsets(request, obj)  # without the boxes, see `ContactForm`
        options["fields"] = flatten_fieldsets(fieldsets)
        # For those who may only look: the help of the model is about the API.
        options["help_texts"] = {"phone": ""}
        form = super().get_form(request, obj, change, **options)
        form.may_view = self.has_view_permission(request)
        form.may_merge = self.has_merge_permission(request)
        may_write = self.has_change_permission if obj else self.has_add_permission
        form.defined = self.defined_for(request, obj) if may_write(request) else ()
        return form

    def defined_for(
        self, request: HttpRequest, contact: Contact | None
    ) -> tuple[DefinedField, ...]:
        """The fields that the tenant defines. Read once for a request, which asks three times."""
        tenant = contact.tenant if contact else user_of(request).tenant
        if not tenant:
            return ()
        read: dict[str, tuple[DefinedField, ...]]
        read = request.__dict__.setdefault("defined_fields", {})
        if tenant.pk not in read:
            read[tenant.pk] = fields_of(tenant)
        return read[tenant.pk]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first, *others = super().get_fieldsets(request, obj)
        defined = self.defined_for(request, obj)
        names: list[Any] = names_of(defined)
        if obj and not self.has_change_permission(request, obj):
            names = [ShownField(field) for field in defined]
            others[0] = (others[0][0], {"fields": ["tags", ShownMetadata(defined)]})
        return [first, *[(_("Fields"), {"fields": names})] * bool(names), *others]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **options: Any) -> Any:
        """Texts are cleaned by their rules."""
        for field in schema.FIELDS:
            if field.name == db_field.name and field.is_edited and field.kind is Kind.TEXT:
                label = capfirst(db_field.verbose_name)
                return RuleFormField(cast("schema.Rule", field.rule), label=label)
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.MANUAL
            edit.save(obj)
        elif fields := {*form.changed_data} - {"keep_former"}:
            keep_former = form.cleaned_data["keep_former"]
            edit.save(obj, update_fields=fields, before=form.before, keep_former=keep_former)
