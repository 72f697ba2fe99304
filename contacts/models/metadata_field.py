"""The fields that a tenant defines. Each is a view on one metadata key: the values are in
`Contact.metadata` only."""

from typing import Any

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy

from contacts.values.defined_fields import MAX_KEY, MAX_LABEL, DefinedField
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .owned import Owned

MAX_POSITION = 9_999


class MetadataField(Owned):
    """A definition; see `contacts.values.defined_fields`."""

    class Kind(models.TextChoices):
        TEXT = "text", gettext_lazy("Text")
        NUMBER = "number", gettext_lazy("Number")
        DATE = "date", gettext_lazy("Date")
        CHOICE = "choice", gettext_lazy("Choice")
        YES_NO = "yes_no", gettext_lazy("Yes or no")

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=MAX_KEY)
    label = models.CharField(max_length=MAX_LABEL)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.TEXT)
    choices = models.JSONField(default=list, blank=True)
    position = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(MAX_POSITION)],
        help_text=gettext_lazy("Fields with smaller numbers come first."),
    )

    class Meta:
        verbose_name = "field"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key"], name="field_key"),
            models.UniqueConstraint(fields=["tenant", "label"], name="field_label"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def definition(self) -> DefinedField:
        return DefinedField(self.key, self.label, self.kind, tuple(self.choices))


def rows_of(tenant_id: str) -> "list[MetadataField]":
    """The definitions of a tenant, in the order in which people see them."""
    found = MetadataField.objects.filter(tenant=tenant_id)
    return [*found.order_by("position", "label", "pk")]


def fields_of(tenant: Any) -> tuple[DefinedField, ...]:
    """The fields that `tenant` has defined, in the order in which people see them."""
    return tuple(row.definition for row in rows_of(tenant.pk))
