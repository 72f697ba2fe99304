"""The admin of users, roles and groups."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.forms import UserCreationForm as UnfoldUserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from .. import passwords, roles
from ..models import User
from . import history
from .conflicts import ConflictForm
from .role_fields import GroupsField, PermissionsField, RoleField, titles_of_groups
from .scoped import (
    RetryOnConflictAdmin,
    SafeChangelistAdmin,
    TypedSearchAdmin,
    save_changed,
    superusers_only,
    user_of,
)
from .selects import language_field, time_zone_field


class UserCreationForm(UnfoldUserCreationForm):
    """Adds a person with a role, or a program. Without a password, a person gets a link to set it.

    `giver`: who adds the user; set by `UserAdmin.get_form`.
    """

    giver: User
    usable_password = None  # the choice of Django's form: here, empty fields say the same
    role = RoleField(
        Group.objects.filter(name__in=roles.ROLES),
        required=False,
        to_field_name="name",
        initial=roles.VIEWER,
        empty_label=gettext_lazy("None: a program that only has API tokens"),
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy(
            "A viewer looks at contacts. An editor also changes them. A manager also manages "
            "people, tokens and webhooks, and erases people."
        ),
    )

    language = language_field()
    time_zone = time_zone_field()

    class Meta:
        model = User
        fields = ["email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [group.pk for group in roles.roles_to_give(self.giver)]
        role: Any = self.fields["role"]
        role.queryset = Group.objects.filter(pk__in=offered).order_by("pk")

    def validate_passwords(self, *args: Any, **kwargs: Any) -> None:
        given = self.cleaned_data
        is_typed = given.get("password1") or given.get("password2")
        if not is_typed:
            given["usable_password"] = "false"  # noqa: S105 - a word of Django's form
        elif given.get("role", "") is None:
            problem = _("Only people with a role can log in. Choose a role.")
            self.add_error("password1", problem)
        super().validate_passwords(*args, **kwargs)


BY_EMAIL = gettext_noop(
    "Leave both fields empty: then an e-mail brings the person a link to choose a password. "
    "Programs need no password."
)
BY_HAND = gettext_noop(
    "Leave both fields empty: then you get a link with which the person chooses a password. "
    "Programs need no password."
)


class UserForm(ConflictForm, UserChangeForm):
    """The theme's form, with protection against conflicts. Groups and permissions are many-to-many
    fields: they are written as the page shows them."""

    language = language_field()
    time_zone = time_zone_field()


@admin.register(User)
class UserAdmin(TypedSearchAdmin, RetryOnConflictAdmin, DjangoUserAdmin):
    form = UserForm
    add_form = UserCreationForm
    add_form_template = "admin/change_form.html"  # Django's says that options follow
    change_password_form = AdminPasswordChangeForm
    ordering = ["email"]
    list_display = ["email", "name", "tenant", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    list_select_related = ["tenant"]
    search_fields = ["email", "name"]
    filter_horizontal = ["user_permissions"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name", "language", "time_zone", "tenant"]}),
        (
            gettext_lazy("Permissions"),
            {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]},
        ),
        (gettext_lazy("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "name", "role", "language", "time_zone", "tenant"]}),
        (gettext_lazy("Password"), {"fields": ["password1", "password2"]}),
    ]
    # Only superusers set these. Otherwise staff could give themselves more permissions.
    superuser_fields = ["tenant", "is_superuser", "user_permissions"]
    rights = ["is_active", "is_staff", "groups"]
    readonly_preprocess_fields = {"groups": titles_of_groups}

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

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj:
            return super().get_fieldsets(request, obj)
        (__, person), (title, password) = self.add_fieldsets
        hidden = [] if request.user.is_superuser else ["tenant"]
        hint = _(BY_EMAIL if settings.HAS_EMAIL else BY_HAND)
        return [
            (None, {"fields": [name for name in person["fields"] if name not in hidden]}),
            (title, password | {"description": hint}),
        ]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"tenant": user_of(request).tenant_id} | super().get_changeform_initial_data(request)

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **options)
        form.giver = user_of(request)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        own = self.rights if obj == request.user else []
        return [*fields, *self.superuser_fields, *own]

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField, request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "user_permissions":
            options["form_class"] = PermissionsField
        if db_field.name == "groups":
            options["form_class"] = GroupsField
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
        given = form.cleaned_data.get("role")
        form.instance.groups.add(*hidden, *([given] if given else []))

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
            return
        if not request.user.is_superuser:
            obj.tenant = user_of(request).tenant
        obj.is_staff = form.cleaned_data["role"] is not None
        obj.save()

    # Links to set a password

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.link_view)
        return [path("<str:pk>/link/", view, name="tenants_user_link"), *super().get_urls()]

    def response_add(
        self, request: HttpRequest, obj: User, post_url_continue: str | None = None
    ) -> HttpResponse:
        if obj.is_staff and not obj.has_usable_password():
            if not settings.HAS_EMAIL:
                return self.show_link(request, obj)
            self.invite(request, obj)
        # Not Django's own, which opens the page of the user: the form has asked for everything.
        return super(DjangoUserAdmin, self).response_add(request, obj, post_url_continue)

    def link_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Asks, and makes a link with which somebody else sets a password. Who may set the password
        of a user may do this."""
        user = self.get_object(request, pk)
        if user is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        if not self.has_change_permission(request, user) or not self.may_get_link(request, user):
            raise PermissionDenied
        if request.method != "POST":
            context = self.context_of_link(request, user, _("Set a new password"))
            return TemplateResponse(request, "admin/tenants/user/ask_link.html", context)
        if settings.HAS_EMAIL and "send" in request.POST:
            self.log_change(request, user, history.SENT_LINK)
            self.invite(request, user)
            return redirect("admin:tenants_user_change", user.pk)
        self.log_change(request, user, history.MADE_LINK)
        return self.show_link(request, user)

    def invite(self, request: HttpRequest, user: User) -> None:
        passwords.send(request, user.pk, passwords.INVITATION)
        sentence = _("An e-mail with a link to set the password goes to %(user)s.")
        self.message_user(request, sentence % {"user": user})

    def may_get_link(self, request: HttpRequest, user: User) -> bool:
        """Not for oneself: changing one's own password needs the old one. Not for programs."""
        return user != request.user and user.is_active and user.is_staff

    def show_link(self, request: HttpRequest, user: User) -> HttpResponse:
        """In this response only: the link is stored nowhere."""
        secret = request.build_absolute_uri(passwords.link_path(user))
        context = self.context_of_link(request, user, _("Link to set the password"))
        return TemplateResponse(
            request, "admin/tenants/user/link.html", context | {"secret": secret}
        )

    def context_of_link(self, request: HttpRequest, user: User, title: str) -> dict[str, Any]:
        return self.admin_site.each_context(request) | {
            "title": title, "of": user, "opts": self.opts, "has_email": settings.HAS_EMAIL,
        }  # fmt: skip


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, SafeChangelistAdmin):
    """Groups hold permissions and belong to no tenant: superusers only."""

    has_module_permission = superusers_only
    has_view_permission = superusers_only
    has_add_permission = superusers_only
    has_change_permission = superusers_only
    has_delete_permission = superusers_only

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField, request: HttpRequest | None = None, **options: Any
    ) -> Any:
        options["form_class"] = PermissionsField
        return super().formfield_for_manytomany(db_field, request, **options)
