"""The permissions of viewers, editors and managers, and who may give the roles."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from contacts.models import (
    BulkAction,
    Contact,
    Delivery,
    Export,
    Import,
    MetadataField,
    Tag,
    Webhook,
)
from tenants import roles
from tenants.models import ApiToken, Tenant, User
from tenants.roles import EDITOR, MANAGER, RIGHTS, ROLES, VIEWER
from tests.support.admin import logged_in, password_page, url
from tests.support.factories import ContactFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("groups")]
MODELS = [
    Contact, Tag, Import, Export, BulkAction, MetadataField, Webhook, Delivery, ApiToken, User,
    Tenant,
]  # fmt: skip


def member(acme: SimpleNamespace, *names: str) -> User:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=names))
    return user


def edited(client: Client, user: User, **changes: Any) -> Any:
    """Submits the form of `user` with `changes`, and returns the response."""
    form = client.get(url(User, "change", user.pk)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields if name != "password"}
    given = {name: value for name, value in data.items() if value not in (None, False)}
    changed = {name: value for name, value in (given | changes).items() if value is not None}
    return client.post(url(User, "change", user.pk), changed)


def group_of(name: str) -> int:
    return Group.objects.get(name=name).pk


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_exactly_the_permissions_of_the_table(acme: SimpleNamespace, role: str) -> None:
    client = logged_in(member(acme, role))
    for model in MODELS:
        rights = roles.rights_of(role, model._meta.label_lower)
        listed = client.get(url(model, "changelist")).status_code
        assert listed == (200 if "view" in rights else 403), model
        if model not in (BulkAction, Delivery, Export):
            added = client.get(url(model, "add")).status_code
            assert added == (200 if "add" in rights else 403), model
    contact = ContactFactory.create(tenant=acme.tenant)
    answer = client.post(url(Contact, "delete", contact.pk), {"post": "yes"})
    assert answer.status_code == (403 if role == VIEWER else 302)


def test_a_later_role_has_all_permissions_of_the_earlier_roles() -> None:
    held = [roles.permission_names(Group.objects.get(name=name).permissions) for name in ROLES]
    assert held[0] < held[1] < held[2]


def test_the_table_has_every_model_that_the_admin_shows_to_staff() -> None:
    without_a_list = {"contacts.erasure", "contacts.note", "contacts.savedview"}
    assert {model._meta.label_lower for model in MODELS} == {*RIGHTS} - without_a_list
    for label in RIGHTS:
        assert ContentType.objects.filter(
            app_label=label.split(".")[0], model=label.split(".")[1]
        ).exists()


def test_granting_is_idempotent() -> None:
    before = {*Permission.objects.values_list("pk", "name")}
    editors = Group.objects.get(name=EDITOR)
    extra = Permission.objects.get(codename="view_group")
    editors.permissions.add(extra)
    editors.permissions.remove(Permission.objects.get(codename="delete_contact"))
    roles.grant(apps, ["contacts.tag"])
    assert {*Permission.objects.values_list("pk", "name")} == before
    held = roles.permission_names(editors.permissions)
    assert "auth.view_group" in held
    assert "contacts.delete_contact" not in held, "what an operator has taken away stays so"


@pytest.mark.parametrize("role", ROLES)
def test_a_manager_can_give_a_role_to_a_user_of_the_tenant(
    acme: SimpleNamespace, role: str
) -> None:
    client = logged_in(member(acme, MANAGER))
    assert edited(client, acme.user, is_staff="on", groups=[group_of(role)]).status_code == 302
    acme.user.refresh_from_db()
    assert acme.user.is_staff
    assert [group.name for group in acme.user.groups.all()] == [role]


def test_a_manager_can_remove_a_role(acme: SimpleNamespace) -> None:
    client, editor = logged_in(member(acme, MANAGER)), member(acme, EDITOR)
    assert edited(client, editor, groups=None).status_code == 302
    assert not editor.groups.exists()


def test_a_manager_can_neither_give_nor_remove_other_groups(acme: SimpleNamespace) -> None:
    client, viewer = logged_in(member(acme, MANAGER)), member(acme, VIEWER)
    special = Group.objects.create(name="special")
    viewer.groups.add(special)
    form = client.get(url(User, "change", viewer.pk)).context["adminform"].form
    assert {group.name for group in form.fields["groups"].queryset} == {*ROLES}
    answer = edited(client, viewer, groups=[special.pk])
    assert answer.status_code == 200
    assert edited(client, viewer, groups=[group_of(EDITOR)]).status_code == 302
    assert {group.name for group in viewer.groups.all()} == {"special", EDITOR}


def test_a_manager_cannot_give_a_role_with_more_permissions(acme: SimpleNamespace) -> None:
    client = logged_in(member(acme, MANAGER))
    Group.objects.get(name=EDITOR).permissions.add(Permission.objects.get(codename="delete_user"))
    form = client.get(url(User, "change", acme.user.pk)).context["adminform"].form
    assert {group.name for group in form.fields["groups"].queryset} == {VIEWER, MANAGER}


@pytest.mark.parametrize("is_active", [True, False])
def test_a_manager_cannot_change_users_with_the_same_or_more_permissions(
    acme: SimpleNamespace, is_active: bool
) -> None:
    client, other = logged_in(member(acme, MANAGER)), member(acme, MANAGER)
    stranger = member(acme, VIEWER)
    stranger.user_permissions.add(Permission.objects.get(codename="delete_user"))
    for user in (other, stranger):
        User.objects.filter(pk=user.pk).update(is_active=is_active)
        assert client.post(url(User, "change", user.pk), {"email": user.email}).status_code == 403
        assert client.post(password_page(user), {}).status_code == 403


def test_a_manager_cannot_change_their_own_permissions(acme: SimpleNamespace) -> None:
    user = member(acme, MANAGER)
    client = logged_in(user)
    assert edited(client, user, name="Boss", groups=[], is_superuser="on").status_code == 302
    user.refresh_from_db()
    assert (user.name, user.is_staff, user.is_superuser) == ("Boss", True, False)
    assert [group.name for group in user.groups.all()] == [MANAGER]


def test_a_manager_can_add_users_only_to_their_own_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    client = logged_in(member(acme, MANAGER))
    data = {"email": "new@acme.example", "usable_password": "false", "tenant": globex.tenant.pk}
    assert client.post(url(User, "add"), data).status_code == 302
    assert User.objects.get(email="new@acme.example").tenant == acme.tenant
    assert client.get(url(User, "change", globex.user.pk)).status_code == 302
    assert client.post(password_page(globex.user), {}).status_code == 404
