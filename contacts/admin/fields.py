"""The fields that a tenant defines: what metadata keys hold, and how people see them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts.importing.columns import is_reserved
from contacts.models import MetadataField
from contacts.values import defined_fields
from contacts.values.defined_fields import MAX_FIELDS, FieldKind
from tenants.admin import TenantForm, TenantOwnedRetryAdmin, save_changed
from tenants.models import Tenant

from .forms import RuleFormField

VALUES_STAY = gettext_noop("The values stay in the metadata of the contacts.")


class LinesFormField(RuleFormField):
    """A list of texts, one on each line."""

    widget = UnfoldAdminTextareaWidget({"rows": 6})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class FieldForm(TenantForm):
    label = RuleFormField(
        defined_fields.label,
        label=gettext_lazy("Label"),
        help_text=gettext_lazy(
            "The name for people. Also the name of the column in exports and imports."
        ),
    )
    key = RuleFormField(
        defined_fields.key,
        label=gettext_lazy("Key"),
        help_text=gettext_lazy(
            "The metadata key with the values, as programs write it. Leave empty to make it "
            "from the label. The key cannot be changed later."
        ),
    )
    choices = LinesFormField(
        defined_fields.choices,
        label=gettext_lazy("Choices"),
        help_text=gettext_lazy("For the kind “Choice”: one choice on each line."),
    )

    class Meta:
        model = MetadataField
        fields = ["tenant", "label", "key", "kind", "choices", "position"]

    def clean_label(self) -> str:
        label = self.cleaned_data["label"]
        if is_reserved(label):
            sentence = _(
                "Imports read a column “%(label)s” as something else. Choose another label."
            )
            raise forms.ValidationError(sentence % {"label": label})
        self.refuse_same_words(label)
        return label

    def refuse_same_words(self, label: str) -> None:
        """An import cannot distinguish two columns if their names have the same words."""
        for other in self.others():
            if defined_fields.key_from(other.label) == defined_fields.key_from(label):
                sentence = _("The field “%(label)s” has this label.") % {"label": other.label}
                raise forms.ValidationError(sentence)

    def others(self) -> list[MetadataField]:
        found = MetadataField.objects.filter(tenant=self.row_tenant())
        return [*found.exclude(pk=self.instance.pk)]

    def clean_key(self) -> str:
        key = self.cleaned_data["key"] or defined_fields.key_from(self.data.get("label", ""))
        sentence = _("Another field has the key “%(key)s”.") % {"key": key}
        return self.refuse_duplicate("key", key, sentence)

    def clean(self) -> None:
        super().clean()
        given = self.cleaned_data
        if given.get("kind") == FieldKind.CHOICE and given.get("choices") == []:
            self.add_error("choices", _("Enter the choices, one on each line."))
        tenant = self.row_tenant()
        if tenant and self.instance._state.adding:
            self.refuse_too_many(tenant)

    def refuse_too_many(self, tenant: Tenant) -> None:
        if MetadataField.objects.filter(tenant=tenant).count() >= MAX_FIELDS:
            sentence = _("A tenant has at most %(most)s fields. Delete one first.")
            self.add_error(None, sentence % {"most": MAX_FIELDS})


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
        self.message_user(request, _(VALUES_STAY), messages.INFO)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        super().delete_queryset(request, queryset)
        self.message_user(request, _(VALUES_STAY), messages.INFO)
