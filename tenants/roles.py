"""Who may do what in the admin: three groups that a new installation has.

The table is where they begin. What an operator changes of them stays; a migration that brings a new
model adds what the roles may do with that, see `grant`.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

from .models import User

VIEW, ADD, CHANGE, DELETE = "view", "add", "change", "delete"
EVERYTHING = (VIEW, ADD, CHANGE, DELETE)

VIEWER, EDITOR, MANAGER = "viewer", "editor", "manager"
ROLES = (VIEWER, EDITOR, MANAGER)

# What each role may do with rows of a model; whoever has a later role may do as much at least.
RIGHTS: dict[str, dict[str, tuple[str, ...]]] = {
    "contacts.contact": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.tag": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.import": {VIEWER: (VIEW,), EDITOR: EVERYTHING},
    "contacts.bulkaction": {VIEWER: (VIEW,)},
    "contacts.webhook": {EDITOR: (VIEW,), MANAGER: EVERYTHING},
    "contacts.delivery": {EDITOR: (VIEW,), MANAGER: (VIEW, CHANGE)},
    "tenants.apitoken": {EDITOR: (VIEW,), MANAGER: (VIEW, ADD, CHANGE)},
    "tenants.user": {MANAGER: (VIEW, ADD, CHANGE)},
    "tenants.tenant": {MANAGER: (VIEW,)},
}


def rights_of(role: str, model: str) -> tuple[str, ...]:
    """The latest that the table says for `role`, or for one before it."""
    told = (RIGHTS[model].get(name) for name in reversed(ROLES[: ROLES.index(role) + 1]))
    return next(filter(None, told), ())


def grant(apps: Any, models: Iterable[str]) -> None:
    """Gives the roles what the table says of `models`; for a migration, with its `apps`.

    Groups and permissions that are not there are created: Django makes permissions after all
    migrations only, and takes those that it finds.
    """
    groups = {name: named(apps, name) for name in ROLES}
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


def named(apps: Any, name: str) -> Any:
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
    return group


# Who may give rights to whom


def permissions_of(user: User) -> set[str]:
    """By their own and by their groups; also of somebody who is disabled, for that may end."""
    given = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return spelled(given)


def spelled(permissions: Any) -> set[str]:
    names = permissions.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in names}


def is_above(user: User, other: User) -> bool:
    """Whether `user` may do all that `other` may, and more: who sets the password of another has
    the other's rights."""
    if user.is_superuser:
        return True
    return not other.is_superuser and permissions_of(other) < permissions_of(user)


def no_higher_than(user: User) -> QuerySet[User]:
    """Those of the tenant of `user`, and the user, who may do nothing that `user` may not."""
    own = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    more = Permission.objects.exclude(pk__in=own.values("pk"))
    people = User.objects.filter(tenant=user.tenant_id, is_superuser=False)
    return people.exclude(user_permissions__in=more).exclude(groups__permissions__in=more)


def grantable(user: User) -> list[Group]:
    """The roles that `user` may give to others: no way up for anybody."""
    groups = Group.objects.filter(name__in=ROLES)
    own = permissions_of(user)
    return [group for group in groups if spelled(group.permissions) <= own]
