"""The admin of users, roles and groups."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.forms import UserCreationForm as UnfoldUserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from .. import roles
from ..models import User
from .conflicts import ConflictForm
from .scoped import (
    RetryOnConflictAdmin,
    SafeChangelistAdmin,
    TypedSearchAdmin,
    save_changed,
    superusers_only,
    user_of,
)


class UserCreationForm(UnfoldUserCreationForm):
    class Meta:
        model = User
        fields = ["email"]


class UserForm(ConflictForm, UserChangeForm):
    """The theme's form, with protection against conflicts. Groups and permissions are many-to-many
    fields: they are written as the page shows them."""


@admin.register(User)
class UserAdmin(TypedSearchAdmin, RetryOnConflictAdmin, DjangoUserAdmin):
    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ["email"]
    list_display = ["email", "name", "tenant", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    list_select_related = ["tenant"]
    search_fields = ["email", "name"]
    filter_horizontal = ["user_permissions"]
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
    # Only superusers set these. Otherwise staff could give themselves more permissions.
    superuser_fields = ["tenant", "is_superuser", "user_permissions"]
    rights = ["is_active", "is_staff", "groups"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        users = super().get_queryset(request)
        return users if request.user.is_superuser else users.filter(is_superuser=False)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_manage(request, obj)

    def may_manage(self, request: HttpRequest, obj: User | None) -> bool:
        """Whether the user may change or delete `obj`: themselves, or somebody with fewer
        permissions."""
        user = user_of(request)
        return obj is None or obj == user or roles.has_more_permissions(user, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        own = self.rights if obj == request.user else []
        return [*fields, *self.superuser_fields, *own]

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField, request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "groups":
            options["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
            if not request.user.is_superuser:
                offered = [group.pk for group in roles.roles_to_give(user_of(request))]
                options["queryset"] = Group.objects.filter(pk__in=offered)
        return super().formfield_for_manytomany(db_field, request, **options)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keeps the groups that the form does not offer: saving would remove them."""
        hidden = []
        if "groups" in form.cleaned_data:
            offered = form.fields["groups"].queryset
            hidden = list(form.instance.groups.exclude(pk__in=offered.values("pk")))
        super().save_related(request, form, formsets, change)
        form.instance.groups.add(*hidden)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
            return
        if not request.user.is_superuser:
            obj.tenant = user_of(request).tenant
        obj.save()


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, SafeChangelistAdmin):
    """Groups hold permissions and belong to no tenant: superusers only."""

    has_module_permission = superusers_only
    has_view_permission = superusers_only
    has_add_permission = superusers_only
    has_change_permission = superusers_only
    has_delete_permission = superusers_only
