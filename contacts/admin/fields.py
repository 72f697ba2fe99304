"""The fields that a tenant defines: what metadata keys hold, and how people see them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts.importing.columns import is_reserved
from contacts.models import MetadataField
from contacts.values import defined_fields
from contacts.values.defined_fields import MAX_FIELDS, FieldKind
from tenants.admin import TenantForm, TenantOwnedRetryAdmin, save_changed
from tenants.models import Tenant

from .forms import RuleFormField

VALUES_STAY = "The values stay in the metadata of the contacts."


class LinesFormField(RuleFormField):
    """A list of texts, one on each line."""

    widget = UnfoldAdminTextareaWidget({"rows": 6})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class FieldForm(TenantForm):
    label = RuleFormField(
        defined_fields.label,
        help_text="The name for people. Also the name of the column in exports and imports.",
    )
    key = RuleFormField(
        defined_fields.key,
        help_text="The metadata key with the values, as programs write it. Leave empty to make it "
        "from the label. The key cannot be changed later.",
    )
    choices = LinesFormField(
        defined_fields.choices, help_text="For the kind “Choice”: one choice on each line."
    )

    class Meta:
        model = MetadataField
        fields = ["tenant", "label", "key", "kind", "choices", "position"]

    def clean_label(self) -> str:
        label = self.cleaned_data["label"]
        if is_reserved(label):
            raise forms.ValidationError(
                f"Imports read a column “{label}” as something else. Choose another label."
            )
        self.refuse_same_words(label)
        return label

    def refuse_same_words(self, label: str) -> None:
        """An import cannot distinguish two columns if their names have the same words."""
        for other in self.others():
            if defined_fields.key_from(other.label) == defined_fields.key_from(label):
                raise forms.ValidationError(f"The field “{other.label}” has this label.")

    def others(self) -> list[MetadataField]:
        found = MetadataField.objects.filter(tenant=self.row_tenant())
        return [*found.exclude(pk=self.instance.pk)]

    def clean_key(self) -> str:
        key = self.cleaned_data["key"] or defined_fields.key_from(self.data.get("label", ""))
        return self.refuse_duplicate("key", key, f"Another field has the key “{key}”.")

    def clean(self) -> None:
        super().clean()
        given = self.cleaned_data
        if given.get("kind") == FieldKind.CHOICE and given.get("choices") == []:
            self.add_error("choices", "Enter the choices, one on each line.")
        tenant = self.row_tenant()
        if tenant and self.instance._state.adding:
            self.refuse_too_many(tenant)

    def refuse_too_many(self, tenant: Tenant) -> None:
        if MetadataField.objects.filter(tenant=tenant).count() >= MAX_FIELDS:
            self.add_error(None, f"A tenant has at most {MAX_FIELDS} fields. Delete one first.")


@admin.register(MetadataField)
class MetadataFieldAdmin(TenantOwnedRetryAdmin):
    """The definitions. No definition changes a value: the metadata of contacts is what it was."""

    form = FieldForm
    list_display = ["label", "key", "kind", "position"]
    list_before_template = "admin/contacts/metadatafield/about.html"
    ordering = ["tenant_id", "position", "label"]
    fields = ["tenant", "label", "key", "kind", "choices", "position"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "key"] if obj else fields

    def save_model(self, request: HttpRequest, obj: MetadataField, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
        else:
            obj.save()

    def delete_model(self, request: HttpRequest, obj: MetadataField) -> None:
        super().delete_model(request, obj)
        self.message_user(request, VALUES_STAY, messages.INFO)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        super().delete_queryset(request, queryset)
        self.message_user(request, VALUES_STAY, messages.INFO)
