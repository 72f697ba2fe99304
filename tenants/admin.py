"""Tenants, users and tokens for the staff; and what keeps staff inside their tenant."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from .models import ApiToken, Tenant, User


def user_of(request: HttpRequest) -> User:
    """The user of a request to the admin, where nobody is anonymous."""
    return cast("User", request.user)


def superusers_only(self: admin.ModelAdmin, request: HttpRequest, obj: Any = None) -> bool:
    """A permission of a `ModelAdmin` whose rows belong to no tenant."""
    return bool(request.user.is_superuser)


class TenantScopedAdmin(admin.ModelAdmin):
    """Superusers see every tenant's rows; other staff their own tenant's, by any URL.

    Django's admin takes lists, single objects, choices, actions and histories from
    `get_queryset`, so the one filter there covers them all.
    """

    tenant_lookup = "tenant"

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

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A look-up that the database refuses is answered as Django answers other wrong ones."""
        try:
            return super().changelist_view(request, extra_context)
        except (ValueError, ValidationError, DatabaseError):
            if ERROR_FLAG in request.GET:
                raise  # the plain list fails too
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = user_of(request)
        placed = user.is_superuser or user.tenant is not None
        return placed and super().has_add_permission(request)

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


class TenantForm(forms.ModelForm):
    """A form for a row of a tenant. `row_tenant` is the chosen one, or the form's own."""

    tenant: Tenant | None = None  # set on the class that `TenantOwnedAdmin` makes of it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and self.tenant:
            self.instance.tenant = self.tenant
            self.initial.setdefault("tenant", self.tenant)

    def row_tenant(self) -> Tenant | None:
        return self.cleaned_data.get("tenant", self.tenant)

    def refuse_duplicate(self, field: str, value: str, sentence: str) -> str:
        """`value`, unless another row of the tenant has it in `field`."""
        others = self._meta.model._default_manager.exclude(pk=self.instance.pk)
        if others.filter(tenant=self.row_tenant(), **{field: value}).exists():
            raise forms.ValidationError(sentence)
        return value


@admin.register(Tenant)
class TenantAdmin(TenantScopedAdmin):
    tenant_lookup = "pk"
    list_display = ["name", "slug", "default_region", "created_at"]
    search_fields = ["name", "slug"]
    readonly_fields = ["id", "created_at"]
    prepopulated_fields = {"slug": ["name"]}


class UserCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ["email"]


@admin.register(User)
class UserAdmin(TenantScopedAdmin, DjangoUserAdmin):
    add_form = UserCreationForm
    ordering = ["email"]
    list_display = ["email", "name", "tenant", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    list_select_related = ["tenant"]
    search_fields = ["email", "name"]
    filter_horizontal = ["groups", "user_permissions"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name", "tenant"]}),
        (
            "Permissions",
            {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]},
        ),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": ["email", "name", "tenant", "usable_password", "password1", "password2"],
            },
        ),
    ]
    # What a user may grant to others, only a superuser may: no way up for other staff.
    superuser_fields = ["tenant", "is_staff", "is_superuser", "groups", "user_permissions"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        users = super().get_queryset(request)
        return users if request.user.is_superuser else users.filter(is_superuser=False)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_touch(request, obj)

    def may_touch(self, request: HttpRequest, obj: User | None) -> bool:
        """Whoever sets a colleague's password has that colleague's rights."""
        return bool(
            request.user.is_superuser or obj is None or obj == request.user or not obj.is_staff
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else [*fields, *self.superuser_fields]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change and not request.user.is_superuser:
            obj.tenant = user_of(request).tenant
        super().save_model(request, obj, form, change)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin):
    """Groups hold permissions and belong to no tenant: superusers only."""

    has_module_permission = superusers_only
    has_view_permission = superusers_only
    has_add_permission = superusers_only
    has_change_permission = superusers_only
    has_delete_permission = superusers_only


@admin.register(ApiToken)
class ApiTokenAdmin(TenantScopedAdmin):
    """A token is issued here and shown in the answer itself: it is stored nowhere, no session
    or message holds it, no browser caches it (the admin's pages say no-store), and no later
    page can show it."""

    tenant_lookup = "user__tenant"
    list_display = [
        "name", "prefix", "user", "created_at", "last_used_at", "expires_at", "revoked_at",
    ]  # fmt: skip
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = ["name", "prefix", "user__email"]
    fields = ["name", "user", "expires_at", "rate_limit"]
    shown = ["prefix", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        tokens = super().get_queryset(request)
        return tokens if request.user.is_superuser else tokens.filter(user__is_superuser=False)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*self.fields, *self.shown] if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["user", *self.shown] if obj else []

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if not change:
            obj.make_secret()
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Token issued", "token": obj, "secret": obj.plaintext, "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/tenants/apitoken/issued.html", context)

    @admin.action(description="Revoke selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, tokens: models.QuerySet) -> None:
        for token in tokens.filter(revoked_at=None):
            token.revoke()
            self.log_change(request, token, "Revoked.")
        self.message_user(request, "The selected tokens are revoked.")
