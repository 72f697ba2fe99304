"""The door of the admin: who guesses has to wait, and a session is its owner's alone."""

import io
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Import, Tag
from contacts.webhooks import Webhook
from tenants.models import ApiToken, Tenant, User

from .conftest import PASSWORD, serving
from .factories import ContactFactory
from .test_admin import url

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
LIMIT = django_settings.AXES_FAILURE_LIMIT
HERE, THERE = "192.0.2.1", "198.51.100.7"
WAIT = "Too many failed logins. Try again in 15 minutes."


def log_in(email: str, password: str = PASSWORD, address: str = HERE, **headers: str) -> Any:
    data = {"username": email, "password": password}
    return Client().post(LOGIN, data, REMOTE_ADDR=address, headers=headers)


def enter(client: Client, user: User) -> None:
    answer = client.post(LOGIN, {"username": user.email, "password": PASSWORD})
    assert answer.status_code == 302


def guess(email: str, times: int, address: str = HERE, **headers: str) -> list[int]:
    """The status of each answer."""
    return [log_in(email, f"guess {n}", address, **headers).status_code for n in range(times)]


def assert_has_to_wait(answer: Any) -> None:
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "900"
    assert WAIT in answer.content.decode()


# Guessing


def test_who_guesses_has_to_wait_wherever_from(ann: User) -> None:
    assert guess(ann.email, LIMIT) == [200] * (LIMIT - 1) + [429]
    for address in (HERE, THERE):
        assert_has_to_wait(log_in(ann.email, address=address))


def test_other_capitals_are_the_same_account(ann: User) -> None:
    for n in range(LIMIT):
        name = [ann.email, ann.email.upper(), f" {ann.email.title()} "][n % 3]
        log_in(name, f"guess {n}", f"192.0.2.{n}")
    assert_has_to_wait(log_in(ann.email, address=THERE))


def test_who_tries_one_password_on_many_accounts_has_to_wait(ann: User) -> None:
    for n in range(LIMIT):
        log_in(f"somebody{n}@acme.example")
    assert_has_to_wait(log_in(ann.email))
    assert log_in(ann.email, address=THERE).status_code == 302


def test_the_wait_ends(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though somebody goes on meanwhile."""
    guess(ann.email, LIMIT + 5)
    later = timezone.now() + timedelta(minutes=15, seconds=1)
    monkeypatch.setattr("axes.handlers.proxy.now", lambda: later)
    assert log_in(ann.email).status_code == 302


def test_a_good_login_lets_nobody_go_on_guessing(ann: User, globex: SimpleNamespace) -> None:
    guess(globex.user.email, LIMIT - 1)
    assert log_in(ann.email).status_code == 302
    assert_has_to_wait(log_in(globex.user.email, "another guess"))


def test_nobody_learns_which_accounts_there_are(ann: User) -> None:
    """Neither before nor after the limit."""
    shown = {}
    for n, email in enumerate([ann.email, "nobody@acme.example"]):
        answers = [log_in(email, "x", f"192.0.2.{n}") for _ in range(LIMIT + 1)]
        token = answers[0].context["csrf_token"]
        assert token
        shown[n] = [(a.status_code, a.context["form"].errors) for a in answers]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("behind", [True, False])
def test_behind_a_proxy_callers_are_told_apart_by_what_it_adds(
    ann: User, settings: Any, behind: bool
) -> None:
    """What they send themselves stands before that, and without a proxy counts for nothing."""
    settings.BEHIND_HTTPS_PROXY = behind
    for n in range(LIMIT):
        log_in(f"x{n}@acme.example", **{"X-Forwarded-For": f"203.0.113.{n}, {THERE}"})
    same = log_in(ann.email, **{"X-Forwarded-For": f"203.0.113.99, {THERE}"})
    assert same.status_code == 429
    other = log_in(ann.email, **{"X-Forwarded-For": f"{THERE}, 203.0.113.5"})
    assert other.status_code == (302 if behind else 429)


@pytest.mark.parametrize("told", ["", "unknown", "1.2.3.4:99", "x" * 5000, "'; --", "::1%x", "é"])
def test_a_made_up_address_is_no_fault_of_ours(ann: User, settings: Any, told: str) -> None:
    settings.BEHIND_HTTPS_PROXY = True
    assert log_in(ann.email, "x", "", **{"X-Forwarded-For": told}).status_code == 200
    assert log_in(ann.email, "x", "/run/socket", **{"X-Forwarded-For": told}).status_code == 200


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 300, "x" * 100_000, "a\x00b", "é@ü", "\ud83d", "'; --", "{{ 1 }}"]
)
def test_a_strange_name_is_no_fault_of_ours(db: None, name: str) -> None:
    agent = {"User-Agent": "x" * 9000, "Accept": "y" * 9000}
    name = name.encode(errors="surrogatepass").decode("latin-1")
    assert log_in(name, "x", **agent).status_code == 200
    assert Client().post(LOGIN, {}).status_code == 200


def test_what_was_typed_is_neither_logged_nor_kept(ann: User, log: io.StringIO) -> None:
    for _ in range(LIMIT + 1):
        log_in(ann.email, "hunter22-typed")
    log_in("hunter22-typed-into-the-wrong-box", "y", THERE)
    log_in(ann.email, address=THERE)
    assert "hunter22" not in log.getvalue()
    assert PASSWORD not in log.getvalue()
    kept = [str(row) for row in AccessAttempt.objects.values_list("get_data", "post_data")]
    assert kept
    assert "hunter22" not in str(kept)
    assert "Locking out" in log.getvalue()


def test_what_has_failed_is_forgotten(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    guess(ann.email, 3)
    later = timezone.now() + timedelta(minutes=16)
    monkeypatch.setattr("axes.handlers.proxy.now", lambda: later)
    guess("somebody@acme.example", 1)
    assert AccessAttempt.objects.count() == 1


def test_the_api_goes_on_for_those_who_have_to_wait(acme: SimpleNamespace, ann: User) -> None:
    guess(ann.email, LIMIT)
    assert acme.api.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize(
    "password", ["eleven char", "password1234", "908172635445", "ann@acme.example"]
)
def test_a_weak_password_is_refused(ann: User, password: str) -> None:
    client = Client()
    enter(client, ann)
    data = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    answer = client.post("/admin/password_change/", data)
    assert "new_password2" in answer.context["form"].errors
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)
    good = dict.fromkeys(["new_password1", "new_password2"], "12 good: é🐎" + "x" * 60)
    assert client.post("/admin/password_change/", data | good).status_code == 302


# Sessions


def test_a_session_known_before_the_login_is_worth_nothing_after_it(ann: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = True
    session.save()
    planted = str(session.session_key)
    client.cookies["sessionid"] = planted
    enter(client, ann)
    assert client.cookies["sessionid"].value != planted
    other = Client()
    other.cookies["sessionid"] = planted
    assert other.get("/admin/").status_code == 302


def test_a_session_ends_with_the_logout_and_with_another_password(ann: User) -> None:
    first, second = Client(), Client()
    for client in (first, second):
        enter(client, ann)
    kept = first.cookies["sessionid"].value
    first.post("/admin/logout/")
    first.cookies["sessionid"] = kept
    assert first.get("/admin/").status_code == 302
    assert second.get("/admin/").status_code == 200
    ann.set_password("another battery staple")
    ann.save()
    assert second.get("/admin/").status_code == 302


def test_cookies_are_for_this_site_over_https_only(
    transactional_db: None, ann: User, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", workers=1, BEHIND_HTTPS_PROXY="true") as address:
        secure = {"X-Forwarded-Proto": "https", "Referer": "https://127.0.0.1/"}
        with httpx.Client(base_url=address, headers=secure, timeout=60) as web:
            page = web.get(LOGIN)
            [token] = [c.value for c in web.cookies.jar if c.name == "csrftoken"]
            # httpx keeps a secure cookie to itself, as this is HTTP
            web.cookies.clear()
            answer = web.post(
                LOGIN,
                data={"username": ann.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
                headers={
                    "Cookie": f"csrftoken={token}",
                    "Origin": address.replace("http", "https"),
                },
            )
        assert answer.status_code == 302, answer.text
        cookies = {c.partition("=")[0]: c for c in answer.headers.get_list("Set-Cookie")}
        for name in ("sessionid", "csrftoken"):
            assert {"Secure", "SameSite=Lax"} <= {*cookies[name].split("; ")}
        assert "HttpOnly" in cookies["sessionid"].split("; ")
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        plain = httpx.get(f"{address}{LOGIN}", timeout=60)
        assert plain.status_code == 301
        assert plain.headers["Location"].startswith("https://")


# Other sites


ELSEWHERE = [
    "https://evil.example/", "//evil.example", "///evil.example", r"\\evil.example",
    "/\\evil.example", "http:///evil.example", "javascript:alert(1)", "https:evil.example",
    "//evil.example\\@testserver", "https://testserver@evil.example", "\thttps://evil.example",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
def test_nobody_is_led_elsewhere_by_a_login(ann: User, target: str) -> None:
    client = Client()
    for ask in (client.post, client.get):  # the second time as somebody who is logged in
        answer = ask(
            f"{LOGIN}?next=x", {"username": ann.email, "password": PASSWORD, "next": target}
        )
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/")
        assert not answer.headers["Location"].startswith(("//", "/\\"))


@pytest.mark.parametrize("host", ["evil.example", "testserver:80@evil.example", "a b", "x" * 500])
@pytest.mark.parametrize("path", ["/", "/docs", LOGIN, "/admin/"])
def test_another_host_is_refused(client: Client, host: str, path: str) -> None:
    assert client.get(path, headers={"Host": host}).status_code == 400
    told = {"X-Forwarded-Host": host, "Forwarded": f"host={host}"}
    answer = client.get(path, headers=told)
    assert answer.status_code in {200, 302}
    assert host not in answer.content.decode() + answer.headers.get("Location", "")


def pages(acme: SimpleNamespace) -> list[str]:
    contact = ContactFactory.create(tenant=acme.tenant, tags=["vip"]).pk
    tag = acme.tenant.tags.get().pk
    job = Import.objects.create(tenant=acme.tenant, file_name="x.csv").pk
    hook = Webhook.objects.create(tenant=acme.tenant, url="https://example.com", events=[]).pk
    return [
        LOGIN, "/admin/logout/", "/admin/password_change/",
        *[url(model, page) for model in (Contact, Tag, Import, Webhook, ApiToken, User, Tenant)
          for page in ("changelist", "add")],
        *[url(Contact, page, contact) for page in ("change", "delete")],
        reverse("admin:contacts_contact_consent", args=[contact]),
        *[url(Tag, page, tag) for page in ("change", "delete", "merge")],
        url(Import, "change", job),
        *[url(Webhook, page, hook) for page in ("change", "delete")],
        *[url(ApiToken, page, acme.token.pk) for page in ("change", "rotate")],
        url(User, "change", acme.user.pk), url(User, "delete", acme.user.pk),
    ]  # fmt: skip


def test_no_page_takes_what_another_site_sends(ann: User, acme: SimpleNamespace) -> None:
    User.objects.update(is_superuser=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    for page in pages(acme):
        assert client.get(page).status_code in {200, 302, 405}, page
        assert client.post(page, {"post": "yes"}).status_code == 403, page
    token = client.get(url(Tag, "add")).context["csrf_token"]
    data = {"name": "x", "csrfmiddlewaretoken": str(token)}
    evil = client.post(url(Tag, "add"), data, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert {*Tag.objects.values_list("name", flat=True)} == {"vip"}


def test_no_page_is_shown_in_another_sites_frame(ann: User, acme: SimpleNamespace) -> None:
    User.objects.update(is_superuser=True)
    client = Client()
    client.force_login(ann)
    for page in [*pages(acme), "/", "/docs"]:
        assert client.get(page).headers["X-Frame-Options"] == "DENY", page
