"""Base classes of the admin that limit staff to the rows of their tenant."""

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
from django.utils.translation import get_language
from unfold.admin import ModelAdmin

from ..models import Tenant, User
from . import history
from .conflicts import ConflictForm

logger = logging.getLogger(__name__)
MAX_FOUND = 10_000  # rows; a statement cannot name more


def user_of(request: HttpRequest) -> User:
    """The user of a request to the admin, where nobody is anonymous."""
    return cast("User", request.user)


def label_for(user: User, row: Any) -> str:
    """The name of a row in a list; for superusers, who see all tenants, with the tenant."""
    tenant = getattr(row, "tenant", None) if user.is_superuser else None
    return f"{row} ({tenant})" if tenant else str(row)


def superusers_only(self: admin.ModelAdmin, request: HttpRequest, obj: Any = None) -> bool:
    """A permission method for a `ModelAdmin` of rows that belong to no tenant."""
    return bool(request.user.is_superuser)


@cache
def checkbox(language: str | None) -> str:
    """The theme's checkbox with `{}` for the key, in this language, which must be active. Rendering
    its template for each row is slow."""
    return ModelAdmin.action_checkbox(ModelAdmin, SimpleNamespace(pk="{}"))


class SafeChangelistAdmin(ModelAdmin):
    """A list that answers every query string, also an invalid one."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirects to the plain list if the database refuses a filter, as Django does for other
        invalid filters. Otherwise a date in the year 99999 in the address would give a 500."""
        try:
            return super().changelist_view(request, extra_context)
        except (ValueError, OverflowError, ValidationError, DatabaseError):
            logger.warning("The database refused the filter of a list", exc_info=True)
            if request.method == "GET" and [*request.GET] == [ERROR_FLAG]:
                raise  # the plain list fails too: no redirect loop
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's page, with the messages of the log in the language of the user."""
        answer = super().history_view(request, object_id, extra_context)
        context = getattr(answer, "context_data", None) or {}
        for entry in context.get("action_list", ()):
            entry.change_message = history.translated(entry.change_message)
        return answer


class TypedSearchAdmin(ModelAdmin):
    """Searches as people type: accents, apostrophes, case and width do not count. A row needs each
    word of the text in one of `search_fields`.

    Compared here, because databases fold texts differently. For tables with few rows.
    """

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        site: Any = self.admin_site
        finders = [site.finder(word) for word in search_term.split()]
        if not finders:
            return queryset, False
        rows = queryset.order_by().values_list("pk", *self.search_fields)
        found = [
            pk
            for pk, *texts in rows
            if all(any(is_in(text) for text in texts if text) for is_in in finders)
        ]
        return queryset.filter(pk__in=found[:MAX_FOUND]), False


class TenantScopedAdmin(SafeChangelistAdmin):
    """Superusers see the rows of every tenant. Other staff see only the rows of their own tenant,
    at every URL.

    Django's admin reads lists, single objects, choices, actions and histories through
    `get_queryset`, so the filter there covers all of them. `tenant_lookup`: the look-up from a row
    to its tenant.
    """

    tenant_lookup = "tenant"
    # The theme's templates read these for each row. If they were missing, each row would cost a
    # failed look-up through all names of this class.
    ordering_field = None
    list_sections = ()

    def action_checkbox(self, obj: Any) -> SafeString:
        return format_html(checkbox(get_language()), obj.pk)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return self.visible(request, super().get_queryset(request))

    def visible(self, request: HttpRequest, rows: models.QuerySet) -> models.QuerySet:
        """The rows of `rows` that the user may see."""
        user = user_of(request)
        if user.is_superuser:
            return rows
        if user.tenant is None:
            return rows.none()
        return rows.filter(**{self.tenant_lookup: user.tenant.pk})

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = user_of(request)
        has_tenant = user.is_superuser or user.tenant is not None
        return has_tenant and super().has_add_permission(request)

    def may_delete_all(self, request: HttpRequest, rows: models.QuerySet) -> bool:
        """Whether the user may delete `rows` together with their tenant. Does not look at each row:
        there may be a million."""
        return self.has_delete_permission(request)

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey, request: HttpRequest, **options: Any
    ) -> Any:
        """Offers and accepts only related rows that the user may see."""
        related = self.admin_site.get_model_admin(db_field.related_model)
        options.setdefault("queryset", related.get_queryset(request))
        return super().formfield_for_foreignkey(db_field, request, **options)


class TenantOwnedAdmin(TenantScopedAdmin):
    """For rows with a `tenant`. Superusers choose the tenant when they add the row; for other staff
    it is their own tenant. It cannot change later."""

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
        """The form class. Validation of a new row needs the tenant, so the class has it."""
        form: Any = super().get_form(request, obj, change, **options)
        form.tenant = obj.tenant if obj else user_of(request).tenant
        return form


class RetryOnConflictAdmin(TenantScopedAdmin):
    """Validates a form again if a program writes or deletes the row between the form's validation
    and its save: otherwise the user would get a 500. The page shows the conflicts of a
    `ConflictForm`."""

    change_form_before_template = "admin/conflicts.html"

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DatabaseError:
            return super().changeform_view(request, *args, **kwargs)


class TenantOwnedRetryAdmin(RetryOnConflictAdmin, TenantOwnedAdmin):
    """`RetryOnConflictAdmin` for rows with a `tenant`."""


def save_changed(row: models.Model, form: forms.ModelForm) -> None:
    """Writes only the fields of `row` that the form has changed: the row was read without a lock,
    and saving all of it would undo later changes to other fields. Raises `DatabaseError` if the row
    no longer exists."""
    own = {field.name for field in row._meta.concrete_fields}
    if changed := own.intersection(form.changed_data):
        row.save(update_fields=changed)


class TenantForm(ConflictForm):
    """A form for a row with a tenant."""

    tenant: Tenant | None = None  # set by `TenantOwnedAdmin.get_form`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and self.tenant:
            self.instance.tenant = self.tenant
            self.initial.setdefault("tenant", self.tenant)

    def row_tenant(self) -> Tenant | None:
        """The tenant that a superuser has chosen, or else the form's own."""
        return self.cleaned_data.get("tenant", self.tenant)

    def other(self, field: str, value: str) -> Any:
        """Another row of the tenant with `value` in `field`, or None."""
        others = self._meta.model._default_manager.exclude(pk=self.instance.pk)
        return others.filter(tenant=self.row_tenant(), **{field: value}).first()

    def refuse_duplicate(self, field: str, value: str, sentence: str) -> str:
        """Returns `value`. Raises `ValidationError` with `sentence` if another row of the tenant
        has this value in `field`."""
        if self.other(field, value):
            raise forms.ValidationError(sentence)
        return value
