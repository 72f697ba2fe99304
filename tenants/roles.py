"""The roles of the admin: three groups that a new installation has.

The table says with which permissions the groups begin. Operators may change the groups, and
nothing undoes their changes. A migration that adds a model adds the permissions for this model: see
`grant`.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext_lazy

from .models import ApiToken, User

VIEW, ADD, CHANGE, DELETE = "view", "add", "change", "delete"
EVERYTHING = (VIEW, ADD, CHANGE, DELETE)

VIEWER, EDITOR, MANAGER = "viewer", "editor", "manager"
ROLES = (VIEWER, EDITOR, MANAGER)
TITLES = {
    VIEWER: pgettext_lazy("role", "viewer"),
    EDITOR: pgettext_lazy("role", "editor"),
    MANAGER: pgettext_lazy("role", "manager"),
}
# Django's permissions in words.
ACTIONS = {
    VIEW: gettext_noop("Can view %(model)s"),
    ADD: gettext_noop("Can add %(model)s"),
    CHANGE: gettext_noop("Can change %(model)s"),
    DELETE: gettext_noop("Can delete %(model)s"),
}

# The permissions of each role per model. A later role has the permissions of the earlier roles too.
RIGHTS: dict[str, dict[str, tuple[str, ...]]] = {
    "contacts.contact": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.erasure": {MANAGER: (ADD,)},  # the permission to erase people
    "contacts.metadatafield": {MANAGER: EVERYTHING},
    "contacts.note": {MANAGER: (DELETE,)},  # those of others; contacts decide the rest
    "contacts.tag": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.import": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.export": {VIEWER: (VIEW,)},
    "contacts.bulkaction": {VIEWER: (VIEW,)},
    "contacts.webhook": {EDITOR: (VIEW,), MANAGER: EVERYTHING},
    "contacts.savedview": {MANAGER: (CHANGE, DELETE)},  # those that others have shared
    "contacts.delivery": {EDITOR: (VIEW,), MANAGER: (VIEW, CHANGE)},
    "tenants.apitoken": {EDITOR: (VIEW,), MANAGER: (VIEW, ADD, CHANGE)},
    "tenants.user": {MANAGER: (VIEW, ADD, CHANGE)},
    "tenants.tenant": {MANAGER: (VIEW,)},
}


def title_of(group: str) -> str:
    """The name of a group for people: translated for the roles, which have English names."""
    return str(TITLES.get(group, group))


def label_of(permission: Permission) -> str:
    """A permission for people. Its stored name is English, and Django does not translate it."""
    action, __, name = permission.codename.partition("_")
    kind = permission.content_type
    model = kind.model_class()
    if model is None or action not in ACTIONS or name != kind.model:
        return str(permission)
    return f"{kind} | {_(ACTIONS[action]) % {'model': model._meta.verbose_name}}"


# The permissions that a person needs to give an app a scope. They cover what the API's actions do
# with the scope, except webhooks and erasing: those views ask for permissions of their own.
SCOPE_RIGHTS: dict[str, tuple[str, ...]] = {
    ApiToken.Scope.READ: ("contacts.view_contact", "contacts.view_tag"),
    ApiToken.Scope.WRITE: (
        "contacts.add_contact",
        "contacts.change_contact",
        "contacts.add_tag",
        "contacts.change_tag",
        "contacts.delete_tag",
    ),
    ApiToken.Scope.DELETE: ("contacts.delete_contact",),
    ApiToken.Scope.IMPORTS: (
        "contacts.add_import",
        "contacts.view_export",
        "contacts.add_contact",
        "contacts.change_contact",
    ),
}


def scopes_to_give(user: User) -> list[str]:
    """The scopes that `user` may give to an app: those whose permissions `user` has."""
    return [scope for scope, rights in SCOPE_RIGHTS.items() if user.has_perms(rights)]


def rights_of(role: str, model: str) -> tuple[str, ...]:
    """The permissions of `role` on `model`: the entry of `role`, or of the nearest earlier role."""
    roles = reversed(ROLES[: ROLES.index(role) + 1])
    return next((RIGHTS[model][name] for name in roles if name in RIGHTS[model]), ())


def grant(apps: Any, models: Iterable[str]) -> None:
    """Gives the roles their permissions on `models`; for migrations.

    `apps`: the registry that the migration receives. `models`: labels such as `contacts.tag`.
    Creates groups and permissions that do not exist yet: Django creates permissions only after all
    migrations have run, and keeps the existing ones.
    """
    groups = {name: group_named(apps, name) for name in ROLES}
    for model in models:
        app_label, name = model.split(".")
        types = apps.get_model("contenttypes", "ContentType").objects
        content_type, _ = types.get_or_create(app_label=app_label, model=name)
        permissions = apps.get_model("auth", "Permission").objects
        for role, group in groups.items():
            for right in rights_of(role, model):
                permission, _ = permissions.get_or_create(
                    content_type=content_type,
                    codename=f"{right}_{name}",
                    defaults={"name": f"Can {right} {name}"},
                )
                group.permissions.add(permission)


def group_named(apps: Any, name: str) -> Any:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
    return group


# Nobody may give others more permissions than they have


def permissions_of(user: User) -> set[str]:
    """The permissions of `user`, such as `contacts.view_tag`: their own and those of their groups.

    A disabled user keeps them: somebody may enable the user again.
    """
    return permission_names(given_to(user))


def given_to(user: User) -> QuerySet[Permission]:
    """The permissions of `user` and of the groups of `user`; some twice."""
    return Permission.objects.filter(Q(user=user) | Q(group__user=user))


def permission_names(permissions: Any) -> set[str]:
    names = permissions.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in names}


def has_more_permissions(user: User, other: User) -> bool:
    """Whether `user` has all permissions of `other`, and more.

    Only then may `user` set the password of `other`, because whoever knows a password can log in
    and use the permissions of its owner.
    """
    if user.is_superuser:
        return True
    return not other.is_superuser and permissions_of(other) < permissions_of(user)


def users_without_more_permissions(user: User) -> QuerySet[User]:
    """The users of the same tenant, including `user`, who have no permission that `user` lacks."""
    more = Permission.objects.exclude(pk__in=given_to(user).values("pk"))
    people = User.objects.filter(tenant=user.tenant_id, is_superuser=False)
    return people.exclude(user_permissions__in=more).exclude(groups__permissions__in=more)


def roles_to_give(user: User) -> list[Group]:
    """The roles that `user` may give to others: those without a permission that `user` lacks. A
    superuser lacks none."""
    groups = Group.objects.filter(name__in=ROLES)
    if user.is_superuser:
        return [*groups]
    own = permissions_of(user)
    return [group for group in groups if permission_names(group.permissions) <= own]
