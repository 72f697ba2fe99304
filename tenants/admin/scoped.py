"""What keeps staff inside their tenant."""

import logging
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from ..models import Tenant, User
from .conflicts import ConflictForm

logger = logging.getLogger(__name__)


def user_of(request: HttpRequest) -> User:
    """The user of a request to the admin, where nobody is anonymous."""
    return cast("User", request.user)


def named_for(user: User, row: Any) -> str:
    """What tells a row from others: to superusers, who see every tenant's, its tenant too."""
    tenant = getattr(row, "tenant", None) if user.is_superuser else None
    return f"{row} ({tenant})" if tenant else str(row)


def superusers_only(self: admin.ModelAdmin, request: HttpRequest, obj: Any = None) -> bool:
    """A permission of a `ModelAdmin` whose rows belong to no tenant."""
    return bool(request.user.is_superuser)


@cache
def checkbox() -> str:
    """The theme's, with `{}` for the key, instead of a template for each row."""
    return ModelAdmin.action_checkbox(ModelAdmin, SimpleNamespace(pk="{}"))


class SafeChangelistAdmin(ModelAdmin):
    """Its list can be asked for anything."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A look-up that the database refuses is answered as Django answers other wrong ones."""
        try:
            return super().changelist_view(request, extra_context)
        except (ValueError, OverflowError, ValidationError, DatabaseError):
            logger.warning("The list cannot be what was asked for", exc_info=True)
            if request.method == "GET" and [*request.GET] == [ERROR_FLAG]:
                raise  # the plain list fails too
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")


class TenantScopedAdmin(SafeChangelistAdmin):
    """Superusers see every tenant's rows; other staff their own tenant's, by any URL.

    Django's admin takes lists, single objects, choices, actions and histories from
    `get_queryset`, so the one filter there covers them all.
    """

    tenant_lookup = "tenant"
    # The theme's templates ask each row for these; where they are missing, Django looks through all
    # names of this class.
    ordering_field = None
    list_sections = ()

    def action_checkbox(self, obj: Any) -> SafeString:
        return format_html(checkbox(), obj.pk)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return self.visible(request, super().get_queryset(request))

    def visible(self, request: HttpRequest, rows: models.QuerySet) -> models.QuerySet:
        """Those of `rows` that the user may see."""
        user = user_of(request)
        if user.is_superuser:
            return rows
        if user.tenant is None:
            return rows.none()
        return rows.filter(**{self.tenant_lookup: user.tenant.pk})

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = user_of(request)
        placed = user.is_superuser or user.tenant is not None
        return placed and super().has_add_permission(request)

    def may_delete_all(self, request: HttpRequest, rows: models.QuerySet) -> bool:
        """Whether the user may delete `rows`, maybe a million, together with their tenant."""
        return self.has_delete_permission(request)

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey, request: HttpRequest, **options: Any
    ) -> Any:
        """Offers, and accepts, only what the user may see of the related rows."""
        related = self.admin_site.get_model_admin(db_field.related_model)
        options.setdefault("queryset", related.get_queryset(request))
        return super().formfield_for_foreignkey(db_field, request, **options)


class TenantOwnedAdmin(TenantScopedAdmin):
    """For rows with a `tenant`: chosen by superusers, once; given by the user's own for others."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        return [*columns, "tenant"] if request.user.is_superuser else columns

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["tenant"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return [name for name in fields if name != "tenant" or request.user.is_superuser]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        return [*fields, "tenant"] if obj and request.user.is_superuser else fields

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        """The form class; its instances know the tenant before they check anything."""
        form: Any = super().get_form(request, obj, change, **options)
        form.tenant = obj.tenant if obj else user_of(request).tenant
        return form


class RetryOnConflictAdmin(TenantScopedAdmin):
    """Where a program writes or deletes the row between a form's check and its save, the form is
    checked again. A `ConflictForm` shows here what the user has to decide."""

    change_form_before_template = "admin/conflicts.html"

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DatabaseError:
            return super().changeform_view(request, *args, **kwargs)


class TenantOwnedRetryAdmin(RetryOnConflictAdmin, TenantOwnedAdmin):
    """The same, for rows with a `tenant`."""


def save_changed(row: models.Model, form: forms.ModelForm) -> None:
    """Writes what the form has changed of `row`, and nothing where it has changed nothing: the row
    was read without a lock, and what else it holds may have changed since. Raises `DatabaseError`
    where it is gone."""
    own = {field.name for field in row._meta.concrete_fields}
    if changed := own.intersection(form.changed_data):
        row.save(update_fields=changed)


class TenantForm(ConflictForm):
    """A form for a row of a tenant. `row_tenant` is the chosen one, or the form's own."""

    tenant: Tenant | None = None  # set on the class that `TenantOwnedAdmin` makes of it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and self.tenant:
            self.instance.tenant = self.tenant
            self.initial.setdefault("tenant", self.tenant)

    def row_tenant(self) -> Tenant | None:
        return self.cleaned_data.get("tenant", self.tenant)

    def other(self, field: str, value: str) -> Any:
        """Another row of the tenant that has `value` in `field`; none, where there is none."""
        others = self._meta.model._default_manager.exclude(pk=self.instance.pk)
        return others.filter(tenant=self.row_tenant(), **{field: value}).first()

    def refuse_duplicate(self, field: str, value: str, sentence: str) -> str:
        """`value`, unless another row of the tenant has it in `field`."""
        if self.other(field, value):
            raise forms.ValidationError(sentence)
        return value
