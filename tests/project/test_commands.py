"""Commands that create tenants, tokens and users: their output and their errors."""

import io
import re
import shlex
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from contacts.models import Contact
from tenants.models import ApiToken, Tenant, User
from tests.support.api import Api
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def token_in(text: str) -> str:
    [token] = re.findall(r"^export QYVO_TOKEN=(qyvo_\w{43})$", text, re.MULTILINE)
    return token


def test_create_tenant_prints_the_new_tenant_and_user() -> None:
    printed = run("create_tenant", "Acme Co.", "--region", "us", "--email", "Shop@Acme.example")
    tenant = Tenant.objects.get()
    assert (tenant.name, tenant.slug, tenant.default_region) == ("Acme Co.", "acme-co", "US")
    user = tenant.users.get()
    assert user.email == "shop@acme.example"
    assert not user.has_usable_password()
    for value in (tenant.name, tenant.slug, tenant.pk, user.email):
        assert value in printed


@pytest.mark.parametrize(
    "words",
    [
        ["Again", "--slug", "taken"],
        ["", "--slug", "x"],
        ["x", "--region", "XX"],
        ["x", "--slug", "a b"],
        ["...", "--email", "a@b.de"],
        ["New", "--email", "nonsense"],
        ["New", "--email", "USER@example.com"],
        ["株式会社"],
    ],
)
def test_create_tenant_creates_nothing_if_an_argument_is_wrong(words: list[str]) -> None:
    UserFactory.create(email="user@example.com", tenant__slug="taken")
    with pytest.raises(CommandError):
        run("create_tenant", *words)
    assert (Tenant.objects.count(), User.objects.count()) == (1, 1)


def test_create_tenant_names_the_wrong_argument() -> None:
    with pytest.raises(CommandError, match="slug: This field cannot be blank"):
        run("create_tenant", "株式会社")
    assert "x" * 50 in run("create_tenant", "x" * 64)


def test_create_token_refuses_a_disabled_user() -> None:
    UserFactory.create(email="shop@acme.example", is_active=False)
    with pytest.raises(CommandError, match="disabled"):
        run("create_token", "shop@acme.example")


def test_create_token_prints_a_token_that_works() -> None:
    user = UserFactory.create(email="shop@acme.example")
    printed = run("create_token", "Shop@acme.example", "--name", "n8n", "--days", "30")
    token = ApiToken.objects.get()
    assert (token.user, token.name) == (user, "n8n")
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert Api(token_in(printed)).create().status_code == 201


def test_a_token_never_expires_by_default() -> None:
    UserFactory.create(email="shop@acme.example")
    assert "never" in run("create_token", "shop@acme.example")
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(
    "words", [["nobody@acme.example"], ["shop@acme.example", "--days", "0"],
              ["shop@acme.example", "--days", "99999999"], ["shop@acme.example", "--days", "x"]]
)  # fmt: skip
def test_create_token_issues_nothing_if_an_argument_is_wrong(words: list[str]) -> None:
    UserFactory.create(email="shop@acme.example")
    with pytest.raises(CommandError):
        run("create_token", *words)
    assert not ApiToken.objects.exists()


def test_create_demo_creates_a_tenant_a_superuser_and_a_token_the_first_time() -> None:
    printed = run("create_demo", "--url", "http://127.0.0.1:9999")
    admin = User.objects.get()
    assert (admin.is_staff, admin.is_superuser) == (True, True)
    [password] = re.findall(r"login admin@example.com  password (\S+)", printed)
    assert admin.check_password(password)
    assert Api(token_in(printed)).create().status_code == 201
    assert Contact.objects.get().tenant == Tenant.objects.get() == admin.tenant
    assert "curl -sS -X POST http://127.0.0.1:9999/api/v1/actions/create-contact" in printed


def test_create_demo_changes_nothing_later_and_prints_how_to_get_a_token() -> None:
    run("create_demo")
    before = User.objects.values().get(), ApiToken.objects.values().get()
    printed = run("create_demo")
    assert (User.objects.values().get(), ApiToken.objects.values().get()) == before
    assert "manage.py create_token admin@example.com" in printed
    assert "login " not in printed
    assert "export QYVO_TOKEN" not in printed
    assert "curl " in printed


def test_create_demo_creates_nothing_on_postgresql_by_default() -> None:
    printed = run("create_demo", "--sqlite-only")
    if connection.vendor == "sqlite":
        assert Tenant.objects.get().slug == "demo"
        return
    for model in (Tenant, User, ApiToken):
        assert not model._default_manager.exists()
    assert "DEMO=1" in printed
    # The printed commands create a token that works.
    steps = re.findall(r"^\.venv/bin/python manage\.py (.+)$", printed, re.MULTILINE)
    assert steps.pop(0) == "createsuperuser"
    call_command("createsuperuser", interactive=False, email="boss@acme.example", verbosity=0)
    tenant, token = (run(*shlex.split(step)) for step in steps)
    assert "Acme Co." in tenant
    assert Api(token_in(token)).create().status_code == 201
    # Now the output suggests a token for the user with a tenant, not for the superuser.
    printed = run("create_demo", "--sqlite-only")
    assert "changepassword boss@acme.example" in printed
    assert "create_token shop@acme.example" in printed


def test_demo_passwords_differ() -> None:
    passwords = set()
    for _ in range(3):
        User.objects.all().delete()
        Tenant.objects.all().delete()
        passwords |= set(re.findall(r"password (\S{16})$", run("create_demo"), re.MULTILINE))
    assert len(passwords) == 3


def test_createsuperuser_needs_only_an_email() -> None:
    call_command("createsuperuser", interactive=False, email="Boss@Acme.example", verbosity=0)
    assert User.objects.get().email == "boss@acme.example"
    assert not User.objects.get().has_usable_password()


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "too short"),
        ("eleven char", "too short. It must contain at least 12 characters"),
        ("password1234", "too common"),
        ("908172635445", "entirely numeric"),
        ("boss@acme.example", "too similar to the email"),
    ],
)
@pytest.mark.parametrize("is_email_given", [True, False])
def test_createsuperuser_refuses_a_weak_password(
    monkeypatch: pytest.MonkeyPatch, password: str, reason: str, is_email_given: bool
) -> None:
    email = {"email": "boss@acme.example"} if is_email_given else {}
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "boss@acme.example")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    with pytest.raises(CommandError, match=f"DJANGO_SUPERUSER_PASSWORD is refused.*{reason}"):
        call_command("createsuperuser", interactive=False, **email)
    assert not User.objects.exists()


def test_createsuperuser_accepts_a_strong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery staple")
    call_command("createsuperuser", interactive=False, email="boss@acme.example", verbosity=0)
    assert User.objects.get().check_password("correct horse battery staple")
