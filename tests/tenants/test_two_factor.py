"""Two-factor login: users who turned it on get no session without a code; keys stay secret."""

import io
import json
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.sites import site
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.login_limits import PAIR_LIMIT
from tenants.models import User
from tenants.two_factor import Authenticator
from tests.support.admin import LOGIN, WAIT, logged_in, url
from tests.support.api import PASSWORD, Api
from tests.support.concurrency import all_at_once
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/admin/two-factor/"
REFUSED = "and a new code if you turned on two-factor login"


def app_of(user: User) -> Authenticator:
    return Authenticator.objects.get(user=user)


def code_of(user: User) -> str:
    """The code that the app shows. Resets the wait after the last code and the last failure."""
    Authenticator.objects.filter(user=user).update(last_t=-1, drift=0, throttling_failure_count=0)
    StaticDevice.objects.filter(user=user).update(throttling_failure_count=0)
    return f"{TOTP(app_of(user).bin_key).token():06}"


def wrong(code: str) -> str:
    """A code that is none of the three valid codes."""
    return f"{(int(code) + 500_000) % 1_000_000:06}"


def log_in(user: User, code: str | None = None, password: str = PASSWORD, **query: str) -> Any:
    data = {"username": user.email, "password": password} | query
    client = Client()
    answer: Any = client.post(LOGIN, data if code is None else data | {"otp_token": code})
    answer.browser = client
    return answer


def is_in(client: Client) -> bool:
    """Whether the admin lets the client in, without a redirect to the login or elsewhere."""
    return client.get("/admin/").status_code == 200


def assert_refused(answer: Any) -> None:
    assert answer.status_code == 200
    assert REFUSED in answer.content.decode()
    assert not is_in(answer.browser)
    assert "sessionid" not in answer.browser.cookies


def turn_on(client: Client, user: User) -> list[str]:
    """Turns two-factor login on, and returns the recovery codes."""
    client.get(PAGE)
    answer = client.post(PAGE, {"code": code_of(user)})
    return answer.context["codes"]


@pytest.fixture
def recovery(ann: User) -> list[str]:
    """Turns two-factor login on for Ann. Her recovery codes."""
    return turn_on(logged_in(ann), ann)


@pytest.fixture
def gus(globex: SimpleNamespace) -> User:
    """A staff user of another tenant with every permission."""
    globex.user.is_staff = True
    globex.user.set_password(PASSWORD)
    globex.user.save()
    globex.user.user_permissions.set(Permission.objects.all())
    return globex.user


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


# The login


def test_a_login_without_two_factor_needs_no_code(ann: User) -> None:
    for code in (None, "", "123456"):
        assert is_in(log_in(ann, code).browser)


def test_a_login_with_two_factor_needs_a_code(ann: User, recovery: list[str]) -> None:
    code = code_of(ann)
    for bad in (None, " ", wrong(code), "x", "0" * 99, "\0", "١" * 6, "9" * 30):
        assert_refused(log_in(ann, bad))
        code_of(ann)  # time passes
    assert_refused(log_in(ann, code, "another password"))
    assert log_in(ann, code).headers["Location"] == "/admin/"


def test_a_code_may_contain_a_space(ann: User, recovery: list[str]) -> None:
    code = code_of(ann)
    assert is_in(log_in(ann, f" {code[:3]} {code[3:]} ").browser)


def test_a_code_works_once(ann: User, recovery: list[str]) -> None:
    code = code_of(ann)
    assert is_in(log_in(ann, code).browser)
    Authenticator.objects.update(throttling_failure_count=0)
    assert_refused(log_in(ann, code))


@pytest.mark.parametrize(
    ("seconds", "is_good"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_codes_of_the_neighbouring_half_minutes_work(
    ann: User, recovery: list[str], monkeypatch: pytest.MonkeyPatch, seconds: int, is_good: bool
) -> None:
    """People type slowly, and clocks differ."""
    now = 1_800_000_000
    clock = SimpleNamespace(time=lambda: now + seconds)
    monkeypatch.setattr("django_otp.plugins.otp_totp.models.time", clock)
    code_of(ann)
    of_app = TOTP(app_of(ann).bin_key)
    of_app.time = now
    assert is_in(log_in(ann, f"{of_app.token():06}").browser) is is_good


def test_a_recovery_code_works_once(ann: User, recovery: list[str]) -> None:
    assert len({*recovery}) == 10
    for code in (recovery[3], recovery[7].upper().replace("-", "")):
        assert is_in(log_in(ann, code).browser)
        assert_refused(log_in(ann, code))
        code_of(ann)
    assert StaticToken.objects.count() == 8


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["of the app", "to recover with"])
def test_one_code_sent_several_times_at_the_same_moment_works_once(
    ann: User, recovery: list[str], kind: str
) -> None:
    code = code_of(ann) if kind == "of the app" else recovery[0]
    answers = all_at_once(lambda _: log_in(ann, code).status_code, 6)
    assert sorted(answers) == [200] * 5 + [302]


def test_the_codes_of_another_user_do_not_work(
    ann: User,
    gus: User,
    recovery: list[str],
) -> None:
    codes = turn_on(logged_in(gus), gus)
    for code in (codes[0], code_of(gus)):
        assert_refused(log_in(ann, code))
        code_of(ann)
    assert is_in(log_in(gus, codes[0]).browser), "untouched"


def test_guessing_codes_is_limited(ann: User, recovery: list[str]) -> None:
    """Like guessing passwords. During the wait a valid code is refused too."""
    bad = wrong(code_of(ann))
    answers = [log_in(ann, bad).status_code for _ in range(PAIR_LIMIT + 1)]
    assert answers == [200] * PAIR_LIMIT + [429]
    for code in (code_of(ann), recovery[0]):
        answer = log_in(ann, code)
        assert answer.status_code == 429
        assert WAIT in answer.content.decode()
        assert not is_in(answer.browser)


def test_a_code_right_after_a_wrong_code_is_refused(
    ann: User, recovery: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a guesser could try ten codes every 15 minutes for ever."""
    good, at = code_of(ann), timezone.now()
    monkeypatch.setattr("django_otp.models.timezone", SimpleNamespace(now=lambda: at))
    Authenticator.objects.update(throttling_failure_count=0)
    for _ in range(3):
        assert_refused(log_in(ann, wrong(good)))
    assert_refused(log_in(ann, good))
    assert app_of(ann).throttling_failure_count


def test_the_login_does_not_reveal_that_the_password_was_right(
    ann: User,
    recovery: list[str],
) -> None:
    shown = [
        log_in(ann, code, password).context["form"].errors
        for code in ("123456", "")
        for password in (PASSWORD, "guess")
    ]
    assert shown == shown[:1] * 4


def test_no_kind_of_request_bypasses_the_code(
    ann: User,
    recovery: list[str],
) -> None:
    assert_refused(log_in(ann, next="/admin/tenants/user/"))
    by_hand = logged_in(ann)  # a session of another login, or from before two-factor login was on
    for path in ("/admin/", PAGE, "/admin/password_change/", url(User, "changelist")):
        answer = by_hand.get(path)
        assert answer.headers["Location"].startswith(LOGIN), path
    assert by_hand.post(PAGE, {"code": recovery[0], "off": "1"}).status_code == 302
    assert app_of(ann).confirmed


def test_turning_two_factor_on_ends_the_other_sessions(ann: User) -> None:
    """The session of the change continues under a new key: a stolen cookie stops working."""
    here, there = logged_in(ann), logged_in(ann)
    before = here.cookies["sessionid"].value
    turn_on(here, ann)
    assert is_in(here)
    assert not is_in(there)
    there.cookies["sessionid"] = before
    assert not is_in(there)


def test_the_api_needs_no_code(acme: SimpleNamespace, ann: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    assert acme.api.get("/api/v1/me").status_code == 200
    turn_on(logged_in(ann), ann)
    assert Api(acme.plaintext).get("/api/v1/me").status_code == 200


# Turned on, changed, turned off


def test_a_code_of_the_app_turns_two_factor_on(ann: User) -> None:
    client = logged_in(ann)
    assert f'href="{PAGE}"' in client.get("/admin/").content.decode(), "the account's menu"
    page = client.get(PAGE).content.decode()
    app = app_of(ann)
    assert app.secret in page
    [image] = re.findall(r'src="(data:image/svg\+xml[^"]*)"', page)
    assert unquote(image).endswith("</svg>")
    bad = client.post(PAGE, {"code": wrong(code_of(ann))})
    assert "This code is wrong" in bad.content.decode()
    assert app.secret in bad.content.decode(), "the same, which is in the app already"
    assert is_in(log_in(ann).browser), "not on yet"
    shown = client.post(PAGE, {"code": code_of(ann)})
    assert all(code in shown.content.decode() for code in shown.context["codes"])
    assert "no-store" in shown.headers["Cache-Control"]
    assert_refused(log_in(ann))


def test_the_content_of_the_qr_code(ann: User, settings: Any) -> None:
    logged_in(ann).get(PAGE)
    app = app_of(ann)
    assert unquote(app.config_url).startswith(f"otpauth://totp/Qyvo Contacts:{ann.email}?")
    assert f"secret={app.secret}&" in app.config_url
    assert re.fullmatch(r"[A-Z2-7]{32}", app.secret)


def test_an_unconfirmed_key_is_not_offered_again(ann: User) -> None:
    client = logged_in(ann)
    client.get(PAGE)
    seen = app_of(ann).secret
    assert seen not in client.get(PAGE).content.decode()
    assert Authenticator.objects.count() == 1


def test_a_wrong_code_does_not_turn_two_factor_on(ann: User) -> None:
    client = logged_in(ann)
    for data in ({}, {"code": ""}, {"code": "\0"}, {"code": "9" * 5000}, {"code": "1" * 6}):
        assert client.post(PAGE, data).status_code == 200
    assert client.put(PAGE).status_code == 200
    assert not Authenticator.objects.filter(confirmed=True).exists()


def test_a_code_turns_two_factor_off(ann: User, recovery: list[str]) -> None:
    client = log_in(ann, code_of(ann)).browser
    assert "Turn off" in client.get(PAGE).content.decode()
    for code in ("", wrong(code_of(ann))):
        assert client.post(PAGE, {"code": code, "off": "1"}).context["form"].errors
    assert app_of(ann).confirmed
    answer = client.post(PAGE, {"code": code_of(ann), "off": "1"}, follow=True)
    assert "Two-factor login is off." in answer.content.decode()
    assert {TOTPDevice.objects.count(), StaticDevice.objects.count()} == {0}
    assert is_in(log_in(ann).browser)


def test_new_recovery_codes_replace_the_old_codes(ann: User, recovery: list[str]) -> None:
    client = log_in(ann, code_of(ann)).browser
    assert client.post(PAGE, {"code": "x" * 8, "codes": "1"}).context["form"].errors
    code_of(ann)
    new = client.post(PAGE, {"code": recovery[0], "codes": "1"}).context["codes"]
    assert len({*new} - {*recovery}) == 10
    assert_refused(log_in(ann, recovery[1]))
    code_of(ann)
    assert is_in(log_in(ann, new[1]).browser)


def test_changes_are_in_the_history_of_the_user(ann: User, recovery: list[str]) -> None:
    client = log_in(ann, code_of(ann)).browser
    client.post(PAGE, {"code": recovery[0], "codes": "1"})
    client.post(PAGE, {"code": code_of(ann), "off": "1"})
    told = [*LogEntry.objects.order_by("pk").values_list("user", "object_id", "change_message")]
    assert told == [
        (ann.pk, str(ann.pk), f"{what}.")
        for what in (
            "Turned two-factor login on",
            "Made new recovery codes",
            "Turned two-factor login off",
        )
    ]


# Others


def test_nobody_can_reach_the_second_factor_of_another_user(
    ann: User,
    gus: User,
    recovery: list[str],
    superuser: Client,
) -> None:
    """The page shows only the user's own second factor, and no other page shows one."""
    for client in (logged_in(gus), superuser):
        client.get(PAGE)
        client.post(PAGE, {"code": recovery[0], "off": "1", "user": str(ann.pk)})
        for app in ("otp_totp", "otp_static"):
            assert client.get(f"/admin/{app}/").status_code == 404
        for name in ("totpdevice", "staticdevice", "authenticator"):
            for label in ("otp_totp", "otp_static", "tenants"):
                assert client.get(f"/admin/{label}/{name}/").status_code == 404
    assert not {TOTPDevice, StaticDevice, StaticToken, Authenticator} & {*site._registry}
    assert app_of(ann).confirmed
    assert is_in(log_in(ann, recovery[0]).browser)


def test_only_the_two_factor_page_shows_a_key(
    ann: User,
    recovery: list[str],
    superuser: Client,
    log: io.StringIO,
) -> None:
    app, client = app_of(ann), log_in(ann, code_of(ann)).browser
    pages = [url(User, name, ann.pk) for name in ("change", "delete", "history")]
    shown = [superuser.get(page) for page in [*pages, url(User, "changelist"), "/admin/"]]
    shown += [client.get(page) for page in (PAGE, "/admin/")]
    assert [answer.status_code for answer in shown] == [200] * 7
    secrets = {app.secret, app.key, app.bin_key.hex(), *recovery}
    for text in [answer.content.decode() for answer in shown] + [log.getvalue()]:
        assert not [secret for secret in secrets if secret in text]


def test_neither_keys_nor_recovery_codes_are_stored(
    ann: User,
    recovery: list[str],
) -> None:
    apps, codes = [*TOTPDevice.objects.values()], [*StaticToken.objects.values()]
    assert (len(apps), len(codes)) == (1, len(recovery))
    stored = json.dumps(apps + codes, default=str).lower()
    app = app_of(ann)
    for secret in (app.bin_key.hex(), app.secret.lower(), *recovery):
        assert secret not in stored
        assert secret.replace("-", "") not in stored


def test_typed_codes_are_neither_logged_nor_stored(
    ann: User,
    recovery: list[str],
    log: io.StringIO,
) -> None:
    from axes.models import AccessAttempt

    answer = log_in(ann, recovery[0], "not the password")
    assert recovery[0] not in answer.content.decode(), "nor shown again"
    kept = [*AccessAttempt.objects.values_list("post_data", flat=True)]
    assert kept
    assert recovery[0] not in f"{kept} {log.getvalue()}"


# Required


def test_if_required_no_other_page_is_open_before_two_factor_is_on(
    ann: User,
    superuser: Client,
    settings: Any,
) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client = log_in(ann).browser
    for who in (client, superuser):
        for path in ("/admin/", url(User, "changelist"), url(User, "add"), "/admin/search/?s=x",
                     "/admin/jsi18n/", "/admin/autocomplete/", "/admin/tenants/", "/admin/nowhere/",
                     reverse("admin:contacts_contact_overview")):  # fmt: skip
            assert who.get(path).headers.get("Location") == PAGE, path
    name = {"name": "Mallory", "email": ann.email, "date_joined_0": "2026-01-01"}
    assert superuser.post(url(User, "change", ann.pk), name).headers["Location"] == PAGE
    assert client.get("/admin/password_change/").status_code == 200
    assert "This installation requires" in client.get(PAGE).content.decode()
    turn_on(client, ann)
    assert is_in(client)
    assert is_in(log_in(ann, code_of(ann)).browser)


def test_if_required_logout_and_password_change_stay_open(ann: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client = log_in(ann).browser
    assert client.post("/admin/logout/").status_code == 200
    assert client.get(PAGE).headers["Location"].startswith(LOGIN)


# The command


def test_the_operator_can_turn_two_factor_off_for_a_user(ann: User, recovery: list[str]) -> None:
    out = io.StringIO()
    for _ in range(2):
        call_command("reset_two_factor", ann.email.upper(), stdout=out)
    assert out.getvalue().splitlines() == [
        f"two-factor login of {ann.email}: {state}" for state in ("off", "was already off")
    ]
    assert is_in(log_in(ann).browser)
    assert {TOTPDevice.objects.count(), StaticDevice.objects.count()} == {0}


def test_the_command_refuses_an_unknown_user(ann: User) -> None:
    with pytest.raises(CommandError, match=r"There is no user x@acme\.example"):
        call_command("reset_two_factor", "x@acme.example")
