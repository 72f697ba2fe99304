"""How people get a password: added with one form, and by links."""

import io
import smtplib
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from tenants import passwords, throttling
from tenants.login_limits import PAIR_LIMIT
from tenants.models import User
from tenants.roles import EDITOR, MANAGER, ROLES, VIEWER
from tests.support.admin import LOGIN, errors, logged_in, url
from tests.support.api import PASSWORD
from tests.support.factories import UserFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("groups")]
NEW = "a bicycle for two 7"
FORGOTTEN = "/admin/password/forgotten/"


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
    own = {"language": "fr", "time_zone": "Europe/Paris"}
    answer = add(boss, tenant=globex.tenant.pk, is_superuser="on", **own)
    link = answer.context["secret"]
    assert '<option value="viewer" selected' in boss.get(url(User, "add")).content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    user = User.objects.get(email="new@acme.example")
    assert (user.tenant, user.name, user.is_staff) == (acme.tenant, "New", True)
    assert {"language": user.language, "time_zone": user.time_zone} == own
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


def test_a_link_that_somebody_made_up_does_not_work(acme: SimpleNamespace) -> None:
    real = passwords.link_path(member(acme, VIEWER)).split("/")[3]
    for uid in (real, "x", "AA", "-", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"):
        for token in ("set-password", "x-y", "é", "%00"):
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


# By e-mail


@pytest.fixture
def with_email(settings: Any) -> None:
    """Where a mail server is configured. Requests are counted from the start."""
    settings.HAS_EMAIL = True
    throttling._counter.cache_clear()


def ask(
    email: str, query: str = "", address: str = "192.0.2.1", browser: Client | None = None
) -> Any:
    """Asks for an e-mail on the page. Returns the answer."""
    client = browser or Client()
    return client.post(FORGOTTEN + query, {"email": email}, REMOTE_ADDR=address)


def work() -> int:
    """Does what is in the queue, as a worker does; returns the number of tasks."""
    tasks = [*DBTaskResult.objects.all()]
    DBTaskResult.objects.all().delete()
    for task in tasks:
        passwords.send_letter.call(*task.args_kwargs["args"])
    return len(tasks)


def letters() -> list[mail.EmailMessage]:
    """What a worker sends for the requests so far."""
    mail.outbox = []
    work()
    return [*mail.outbox]


def link_in(letter: mail.EmailMessage) -> str:
    [link] = [line for line in str(letter.body).splitlines() if line.startswith("http")]
    return link


def test_a_forgotten_password_is_replaced_by_a_link_that_leads_back_to_where_the_login_was_asked(
    acme: SimpleNamespace, with_email: None
) -> None:
    user, target = member(acme, VIEWER), "/admin/oauth/authorize?client_id=x&state=1"
    session, browser = logged_in(user), Client()
    login = browser.get(f"{LOGIN}?next={quote(target)}").content.decode()
    assert f"{FORGOTTEN}?next={quote(target, safe='')}" in login
    asked = ask(user.email.upper(), f"?next={quote(target)}", browser=browser)
    assert asked.url == f"{LOGIN}?next={quote(target, safe='')}"
    assert "is on its way" in browser.get(asked.url).content.decode()
    for n in range(PAIR_LIMIT):
        browser.post(LOGIN, {"username": user.email, "password": f"guess {n}"})
    [letter] = letters()
    assert letter.to == [user.email]
    assert enters(user, PASSWORD) is False, "after so many guesses"
    page = browser.get(link_in(letter), follow=True)
    data = dict.fromkeys(["new_password1", "new_password2"], NEW)
    done: Any = browser.post(page.request["PATH_INFO"], data)
    assert done.url == asked.url
    assert session.get("/admin/").status_code == 302, "all sessions have ended"
    assert enters(user, NEW), "without the wait for the guesses"
    assert [letter.subject for letter in letters()] == [
        "Your password for Qyvo Contacts was changed"
    ]


def test_nothing_tells_whether_an_account_exists(
    acme: SimpleNamespace, with_email: None, log: io.StringIO
) -> None:
    """Neither the answer, nor the work that the request does, nor the log."""
    user, program = member(acme, VIEWER), acme.user
    invited, locked = member(acme, VIEWER), member(acme, VIEWER)
    locked.last_login = timezone.now()
    for person in (invited, locked):
        person.set_unusable_password()
        person.save()
    gone = member(acme, VIEWER)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    seen = []
    people = [user, program, gone, invited, locked]
    for email in [*(person.email for person in people), "nobody@acme.example"]:
        answers: list[Any] = []
        sent = statements(lambda: answers.append(ask(email)))  # noqa: B023 - called at once
        [answer] = answers
        shown = answer.client.get(answer.url).content.decode()
        assert email not in shown
        seen.append((answer.status_code, answer.url, len(sent), "is on its way" in shown))
    assert {*seen} == {seen[0]}
    stored = str([*DBTaskResult.objects.values_list("args_kwargs", flat=True)])
    sent_letters = [(letter.to, letter.subject.partition(" ")[0]) for letter in letters()]
    assert sent_letters == [([user.email], "A"), ([invited.email], "Choose")]
    assert "@" not in log.getvalue() + stored


def test_requests_are_limited_for_each_address_and_mailbox(
    acme: SimpleNamespace, with_email: None
) -> None:
    user = member(acme, VIEWER)
    assert {ask(user.email, address=f"192.0.2.{n}").status_code for n in range(5)} == {302}
    assert len(letters()) == 3
    answers = [ask(f"somebody{n}@acme.example", address="198.51.100.7") for n in range(21)]
    assert [answer.status_code for answer in answers] == [302] * 20 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert "Too many requests. Try again in" in answers[-1].content.decode()


def test_a_mail_server_that_is_down_fails_no_request_and_the_worker_tries_again(
    acme: SimpleNamespace, with_email: None, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise smtplib.SMTPServerDisconnected(f"somebody@acme.example {PASSWORD}")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    user = member(acme, VIEWER)
    assert ask(user.email).status_code == 302
    for number in range(1, passwords.TRIES + 1):
        assert work() == 1
        assert f"was not sent (SMTPServerDisconnected), try {number}" in log.getvalue()
        later = DBTaskResult.objects.filter(run_after__gt=timezone.now())
        assert later.count() == (number < passwords.TRIES)
    assert work() == 0
    assert "acme.example" not in log.getvalue()


def test_where_a_mail_server_is_configured_invitations_go_by_e_mail(
    acme: SimpleNamespace, with_email: None
) -> None:
    boss = logged_in(member(acme, MANAGER))
    assert "an e-mail brings the person a link" in boss.get(url(User, "add")).content.decode()
    assert add(boss, email="robot@acme.example", role="").status_code == 302
    answer = add(boss)
    assert answer.status_code == 302
    assert "goes to new@acme.example" in boss.get(answer.url).content.decode()
    [letter] = letters()
    assert letter.to == ["new@acme.example"]
    user = User.objects.get(email="new@acme.example")
    assert boss.post(link_page(user), {"send": "1"}).status_code == 302
    [again] = letters()
    assert "Your password is set" in choose(link_in(again)).content.decode()
    assert enters(user, NEW)
    assert not letters(), "a first password was not changed"
    assert "secret" in boss.post(link_page(user), {"show": "1"}).context


def test_without_a_mail_server_nothing_offers_an_e_mail(acme: SimpleNamespace) -> None:
    assert Client().get(FORGOTTEN).status_code == 404
    assert "Forgot" not in Client().get(LOGIN).content.decode()
    page = logged_in(member(acme, MANAGER)).get(link_page(member(acme, VIEWER)))
    assert "by e-mail" not in page.content.decode()


def test_a_strange_address_is_a_form_error(with_email: None) -> None:
    for email in ("", "x", "a\0@b.example", "é@ü.example", "x" * 999 + "@b.example"):
        answer = ask(email, "?next=https://evil.example")
        assert answer.status_code == 200
        assert answer.context["form"].errors
