"""Contacts and tags for the staff, by the same rules as the API."""

import json
from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.db import DatabaseError, models
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from tenants.admin import TenantForm, TenantOwnedAdmin, user_of

from . import rules, strict_json
from .exports import export
from .models import Contact, ContactQuerySet, Tag, TagQuerySet


class RuleFormField(forms.Field):
    """A form field that one of `rules` cleans.

    Its page carries the value it showed, so that saving writes only what the user changed,
    not what a program has changed meanwhile.
    """

    widget: type[forms.Widget] = AdminTextInputWidget

    def __init__(self, rule: Callable[[Any], Any], **options: Any) -> None:
        self.rule = rule
        super().__init__(required=False, show_hidden_initial=True, **options)

    def to_python(self, value: Any) -> Any:
        try:
            return self.rule(value)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class TagNamesFormField(RuleFormField):
    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class MetadataFormField(RuleFormField):
    widget = AdminTextareaWidget

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


class ContactForm(TenantForm):
    phone = forms.CharField(
        widget=AdminTextInputWidget,
        show_hidden_initial=True,
        help_text="With + and the country code, in any spelling.",
    )
    name = RuleFormField(rules.name)
    email = RuleFormField(rules.email)
    tags = TagNamesFormField(rules.tags, help_text="Separated by commas, in this order.")
    locale = RuleFormField(rules.locale)
    metadata = MetadataFormField(metadata_from_text, help_text="A JSON object.")

    class Meta:
        model = Contact
        fields = ["tenant", "phone", "name", "email", "tags", "locale", "metadata"]

    def clean_phone(self) -> str:
        tenant = self.row_tenant()
        region = tenant.default_region if tenant else ""
        try:
            phone = rules.phone(self.cleaned_data["phone"], region)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return self.refuse_duplicate("phone", phone, f"There is a contact with {phone} already.")


class TagFilter(admin.SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = model_admin.visible(request, Tag.objects.order_by("name"))
        return list(tags.values_list("pk", "name"))

    def queryset(self, request: HttpRequest, contacts: models.QuerySet) -> models.QuerySet:
        if self.value() not in {key for key, _ in self.lookup_choices}:
            return contacts
        return contacts.filter(links__tag=self.value())


class RacingFormAdmin(TenantOwnedAdmin):
    """Where a program writes or deletes the row between a form's check and its save, the form is
    checked again."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DatabaseError:
            return super().changeform_view(request, *args, **kwargs)


@admin.register(Contact)
class ContactAdmin(RacingFormAdmin):
    form = ContactForm
    list_display = ["phone", "name", "email", "tag_list", "source", "created_at"]
    list_filter = [TagFilter, "source"]
    actions = ["export_csv", "export_ndjson"]
    ordering = ["-pk"]  # ULIDs order by time
    search_fields = ["name", "email", "phone"]  # shows the box; `matching` does the search
    search_help_text = "Parts of the name or e-mail, or a phone in any spelling"
    fields = ["tenant", "phone", "name", "email", "tags", "locale", "metadata", "id", "source",
              "opted_in_at", "opted_out_at", "last_message_at", "total_messages", "created_at",
              "updated_at"]  # fmt: skip
    readonly_fields = [field.name for field in Contact._meta.concrete_fields if not field.editable]

    @admin.display(description="tags")
    def tag_list(self, contact: Contact) -> str:
        return ", ".join(contact.tags)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        tenant = user_of(request).tenant
        region = tenant.default_region if tenant else ""
        contacts = words_found = cast("ContactQuerySet", queryset)
        for word in search_term.split():
            words_found = words_found.matching(word, region)
        return words_found | contacts.matching(search_term.strip(), region), False

    @admin.action(description="Export selected contacts as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponseBase:
        return download(contacts, "csv", "text/csv; charset=utf-8")

    @admin.action(description="Export selected contacts as NDJSON", permissions=["view"])
    def export_ndjson(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponseBase:
        return download(contacts, "ndjson", "application/x-ndjson")

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.MANUAL
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)


def download(contacts: ContactQuerySet, form: str, content_type: str) -> HttpResponseBase:
    name = f"contacts-{timezone.now():%Y-%m-%d}.{form}"
    return StreamingHttpResponse(
        export(contacts, form),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class TagForm(TenantForm):
    name = RuleFormField(rules.tag)

    class Meta:
        model = Tag
        fields = ["tenant", "name"]

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if not name:
            raise forms.ValidationError("The name is required.")
        return self.refuse_duplicate("name", name, f"There is a tag “{name}” already.")


@admin.register(Tag)
class TagAdmin(RacingFormAdmin):
    form = TagForm
    list_display = ["name", "contacts_count", "created_at"]
    search_fields = ["name"]
    fields = ["tenant", "name", "id", "created_at"]
    readonly_fields = ["id", "created_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        tags = cast("TagQuerySet", super().get_queryset(request))
        return tags.with_contact_counts()

    @admin.display(description="contacts", ordering="contacts_count")
    def contacts_count(self, tag: Any) -> int:
        return tag.contacts_count

    def get_deleted_objects(self, tags: Any, request: HttpRequest) -> Any:
        """What the confirmation page says: not a line for each of maybe a million links."""
        names = [str(tag) for tag in tags]
        links = sum(tag.links.count() for tag in tags)
        return names, {"tags": len(names), "contacts that lose a tag": links}, set(), []
