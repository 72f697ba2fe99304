"""The admin of tenants: superusers see all of them, other staff see their own tenant."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import password_validation
from django.contrib.auth.models import Group
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from ..models import Tenant, User, models_of_tenants
from ..roles import MANAGER, ROLES
from .conflicts import ConflictForm
from .role_fields import RoleField
from .scoped import RetryOnConflictAdmin, TypedSearchAdmin, save_changed, superusers_only

LISTED_USERS = 20  # on the page that refuses to delete a tenant


class NewTenantForm(forms.ModelForm):
    """Adds a tenant and, if an e-mail address is given, its first user."""

    email = forms.EmailField(
        required=False,
        label=gettext_lazy("E-mail of the first user"),
        widget=UnfoldAdminEmailInputWidget,
        help_text=gettext_lazy("Empty: the tenant has no user yet."),
    )
    user_name = forms.CharField(
        required=False,
        label=gettext_lazy("Name"),
        widget=UnfoldAdminTextInputWidget,
        max_length=255,
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Empty: the user can have API tokens but cannot log in."),
    )
    role = RoleField(
        Group.objects.filter(name__in=ROLES),
        required=False,
        to_field_name="name",
        initial=MANAGER,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("What the user may do in this admin. Empty: nothing."),
    )

    class Meta:
        model = Tenant
        fields = ["name", "slug", "default_region"]

    def clean(self) -> None:
        super().clean()
        given, self.user = self.cleaned_data, None
        if not given.get("email"):
            if given.get("password") or given.get("user_name"):
                self.add_error("email", _("Enter the e-mail address of the user."))
            return
        user = User(
            email=User.objects.normalize_email(given["email"]), name=given.get("user_name", "")
        )
        user.set_password(given.get("password") or None)
        user.is_staff = bool(given.get("role"))
        try:
            user.full_clean(exclude=["password", "tenant"])
        except ValidationError as error:
            for name, problems in error.error_dict.items():
                self.add_error("user_name" if name == "name" else "email", problems)
        if given.get("password"):
            self.check_password(given["password"], user)
        self.user = user

    def check_password(self, password: str, user: User) -> None:
        try:
            password_validation.validate_password(password, user)
        except ValidationError as error:
            self.add_error("password", error)


@admin.register(Tenant)
class TenantAdmin(TypedSearchAdmin, RetryOnConflictAdmin):
    form = ConflictForm
    tenant_lookup = "pk"
    list_display = ["name", "slug", "default_region", "created_at"]
    search_fields = ["name", "slug"]
    readonly_fields = ["id", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    add_fieldsets = (
        (None, {"fields": ["name", "slug", "default_region"]}),
        (gettext_lazy("First user"), {"fields": ["email", "user_name", "password", "role"]}),
    )
    has_add_permission = superusers_only

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        if obj is None:
            options["form"] = NewTenantForm
        return super().get_form(request, obj, change, **options)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
        else:
            role = form.cleaned_data.get("role")
            obj.save_with_user(form.user, [role] if role else [])

    # Deleting

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The content of the confirmation page: numbers per kind of row, because a line per row
        would be a million lines."""
        counts, lacking = {str(self.opts.verbose_name_plural): len(objs)}, set()
        for model in models_of_tenants():
            rows = model._default_manager.filter(tenant__in=objs).order_by()
            if not (number := rows.count()):
                continue
            if not is_detail(model):
                counts[str(model._meta.verbose_name_plural)] = number
            if self.is_kept(request, rows):
                lacking.add(str(model._meta.verbose_name))
        return [str(tenant) for tenant in objs], counts, lacking, protected(objs)

    def is_kept(self, request: HttpRequest, rows: models.QuerySet) -> bool:
        """Whether the admin shows rows of this kind and the user may not delete them."""
        if not self.admin_site.is_registered(rows.model):
            return False
        owner: Any = self.admin_site.get_model_admin(rows.model)
        return not owner.may_delete_all(request, rows)


def is_detail(model: Any) -> bool:
    """Whether rows of `model` are only a part of other rows, such as the links between contacts and
    tags: people do not count them."""
    return bool(model._meta.get_field("tenant").remote_field.hidden)


def protected(tenants: Any) -> list[str]:
    """The users of the tenants, as lines of the page: they must be deleted first."""
    users = User.objects.filter(tenant__in=tenants)
    lines: list[str] = [
        format_html(
            _('User: <a href="{page}">{user}</a>'),
            page=reverse("admin:tenants_user_change", args=[user.pk]),
            user=user,
        )
        for user in users[:LISTED_USERS]
    ]
    more = users.count() - len(lines)
    rest = ngettext("and %(count)s more", "and %(count)s more", more) % {"count": intcomma(more)}
    return [*lines, rest] if more else lines
