"""How people get a password: added with one form, and by links."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from tenants import passwords, roles
from tenants.models import User
from tenants.roles import EDITOR, MANAGER, ROLES, VIEWER
from tests.support.admin import LOGIN, errors, logged_in, url
from tests.support.api import PASSWORD
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db
NEW = "a bicycle for two 7"


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """Creates the roles again: tests that empty the database delete them."""
    roles.grant(apps, roles.RIGHTS)


def member(of: SimpleNamespace, role: str) -> User:
    user = UserFactory.create(tenant=of.tenant, is_staff=True)
    user.set_password(PASSWORD)
    user.save()
    user.groups.set(Group.objects.filter(name=role))
    return user


def add(client: Client, **given: Any) -> Any:
    data = {"email": "New@Acme.example", "name": "New", "role": EDITOR}
    return client.post(url(User, "add"), data | given)


def choose(link: str, password: str = NEW) -> Any:
    """Opens the link in a new browser and sends its form."""
    browser = Client()
    page = browser.get(link, follow=True)
    if not page.context["validlink"]:
        return page
    data = dict.fromkeys(["new_password1", "new_password2"], password)
    return browser.post(page.request["PATH_INFO"], data, follow=True)


def enters(user: User, password: str) -> bool:
    login = {"username": user.email, "password": password}
    return bool(Client().post(LOGIN, login).status_code == 302)


def link_page(user: User) -> str:
    return reverse("admin:tenants_user_link", args=[user.pk])


def test_one_form_adds_a_person_with_a_role_and_shows_a_link_that_sets_the_password_once(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    boss = logged_in(member(acme, MANAGER))
    answer = add(boss, tenant=globex.tenant.pk, is_superuser="on")
    link = answer.context["secret"]
    assert "no-store" in answer.headers["Cache-Control"]
    user = User.objects.get(email="new@acme.example")
    assert (user.tenant, user.name, user.is_staff) == (acme.tenant, "New", True)
    assert [group.name for group in user.groups.all()] == [EDITOR]
    assert not user.is_superuser
    assert "is too common" in choose(link, "password1234").content.decode()
    assert "Your password is set" in choose(link).content.decode()
    assert enters(user, NEW)
    assert "This link does not work" in choose(link).content.decode()
    assert link.rpartition("/admin/")[2] not in str([*LogEntry.objects.values()])


def test_a_typed_password_needs_a_role_and_a_program_gets_neither_password_nor_link(
    acme: SimpleNamespace,
) -> None:
    boss = logged_in(member(acme, MANAGER))
    assert "password2" in errors(add(boss, password1=NEW, password2="x"))
    assert "password2" in errors(add(boss, password1="short", password2="short"))
    assert "password1" in errors(add(boss, role="", password1=NEW, password2=NEW))
    assert not User.objects.filter(email="new@acme.example").exists()
    assert add(boss, password1=NEW, password2=NEW).status_code == 302
    assert enters(User.objects.get(email="new@acme.example"), NEW)
    assert add(boss, email="robot@acme.example", role="").status_code == 302
    robot = User.objects.get(email="robot@acme.example")
    assert (robot.is_staff, robot.has_usable_password(), robot.groups.count()) == (False, False, 0)


def test_nobody_gives_a_new_user_a_role_with_more_permissions(acme: SimpleNamespace) -> None:
    boss = logged_in(member(acme, MANAGER))
    special = Group.objects.create(name="special")
    Group.objects.get(name=EDITOR).permissions.add(Permission.objects.get(codename="delete_user"))
    form = boss.get(url(User, "add")).context["adminform"].form
    assert [group.name for group in form.fields["role"].queryset] == [VIEWER, MANAGER]
    for role in (EDITOR, special.name, str(special.pk), "nonsense"):
        assert "role" in errors(add(boss, role=role))
    root = logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    page = root.get(url(User, "add"))
    assert {group.name for group in page.context["adminform"].form.fields["role"].queryset} == {
        *ROLES
    }
    assert add(root, tenant=acme.tenant.pk).context["secret"]
    assert User.objects.get(email="new@acme.example").tenant == acme.tenant


def test_who_may_set_a_password_gets_a_link_for_it(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    me, viewer, equal = (member(acme, role) for role in (MANAGER, VIEWER, MANAGER))
    stranger, boss, theirs = member(globex, VIEWER), logged_in(me), logged_in(viewer)
    for user in (me, equal, acme.user):
        assert boss.post(link_page(user)).status_code == 403, "neither oneself nor a program"
    for pk in (stranger.pk, "x", "%00"):
        assert boss.post(f"/admin/tenants/user/{pk}/link/").status_code == 302
    assert logged_in(viewer).post(link_page(me)).status_code == 403
    assert viewer.email in boss.get(link_page(viewer)).content.decode()
    link = boss.post(link_page(viewer)).context["secret"]
    assert enters(viewer, PASSWORD), "until the link is used"
    choose(boss.post(link_page(viewer)).context["secret"])
    assert theirs.get("/admin/").status_code == 302, "their sessions have ended"
    assert "does not work" in choose(link).content.decode(), "and so have other links"
    assert enters(viewer, NEW)


@pytest.mark.parametrize("uid", ["MQ", "x", "AA", "-", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"])
@pytest.mark.parametrize("token", ["set-password", "x-y", "é", "%00"])
def test_a_link_that_somebody_made_up_does_not_work(uid: str, token: str) -> None:
    answer = Client().get(f"/admin/password/{uid}/{token}/")
    assert "This link does not work" in answer.content.decode()


def test_a_link_ends_after_a_day_and_when_the_user_is_disabled(
    acme: SimpleNamespace, settings: Any
) -> None:
    user = member(acme, VIEWER)
    link = passwords.link_path(user)
    assert settings.PASSWORD_RESET_TIMEOUT == 24 * 60 * 60
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "does not work" in choose(link).content.decode()
    settings.PASSWORD_RESET_TIMEOUT = 60
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert "does not work" in choose(link).content.decode()
