"""The login of the admin: guessing is limited, nobody is locked out, sessions are protected."""

import io
from collections import Counter
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Import, Tag, Webhook
from tenants import passwords
from tenants.login_limits import ADDRESS_LIMIT, PAIR_LIMIT, Failures, count_failure, until_turn
from tenants.models import ApiToken, KnownAddress, Tenant, User
from tests.support.admin import LOGIN, WAIT, url
from tests.support.api import PASSWORD
from tests.support.cases import in_one_test
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.sql import all_rows

pytestmark = pytest.mark.django_db
HERE, THERE = "192.0.2.1", "198.51.100.7"


def log_in(email: str, password: str = PASSWORD, address: str = HERE, **headers: str) -> Any:
    data = {"username": email, "password": password}
    return Client().post(LOGIN, data, REMOTE_ADDR=address, headers=headers)


def enter(client: Client, user: User) -> None:
    answer = client.post(LOGIN, {"username": user.email, "password": PASSWORD})
    assert answer.status_code == 302


def guess(email: str, times: int, address: str = HERE, **headers: str) -> list[int]:
    """The status code of each response."""
    return [log_in(email, f"guess {n}", address, **headers).status_code for n in range(times)]


def guess_from_everywhere(email: str, times: int) -> list[int]:
    """The status code of each response. Each guess comes from another address."""
    return [log_in(email, "guess", f"203.0.113.{n}").status_code for n in range(times)]


def assert_has_to_wait(answer: Any, seconds: int, words: str) -> None:
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(seconds)
    assert f"{WAIT} {words}." in answer.content.decode()


class Clock:
    """The time of the login limits. It stands still until a test changes it."""

    def __init__(self) -> None:
        self.time = timezone.now()

    def __call__(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("axes.handlers.proxy.now", clock)
    return clock


# Guessing


def test_ten_failures_lock_one_account_for_one_address(ann: User, clock: Clock) -> None:
    assert guess(ann.email, PAIR_LIMIT) == [200] * PAIR_LIMIT
    assert_has_to_wait(log_in(ann.email), 900, "15 minutes")
    clock.wait(899)
    assert_has_to_wait(log_in(ann.email), 1, "1 second")
    clock.wait(1)
    assert log_in(ann.email).status_code == 302


def test_failures_from_other_addresses_never_lock_an_address_of_an_earlier_login(
    ann: User, clock: Clock
) -> None:
    """For any number of guessing addresses, and for any time."""
    assert log_in(ann.email, address=HERE).status_code == 302
    guess(ann.email, PAIR_LIMIT + 1, THERE)
    for n in range(30):
        clock.wait(60)
        log_in(ann.email, "guess", f"203.0.113.{n}")
    assert log_in(ann.email, address="203.0.113.99").status_code == 429
    assert log_in(ann.email, address=HERE).status_code == 302


def test_an_address_that_one_account_has_used_is_new_to_another_account(
    ann: User, globex: SimpleNamespace, clock: Clock
) -> None:
    globex.user.is_staff = True
    globex.user.set_password(PASSWORD)
    globex.user.save()
    log_in(globex.user.email, address=HERE)
    guess_from_everywhere(ann.email, 10)
    assert log_in(ann.email, address=HERE).status_code == 429


def test_logins_from_new_addresses_are_slowed_down_after_ten_failures(
    ann: User, clock: Clock
) -> None:
    """The wait is one second after the tenth failure and doubles each time, up to one minute."""
    assert guess_from_everywhere(ann.email, 10) == [200] * 10
    waits = []
    for n in range(8):
        answer = log_in(ann.email, "guess", f"198.51.100.{n}")
        assert answer.status_code == 429
        waits.append(int(answer.headers["Retry-After"]))
        clock.wait(waits[-1] - 0.01)
        assert log_in(ann.email, address=f"198.51.100.{n}").status_code == 429, "a moment too early"
        clock.wait(0.01)
        assert log_in(ann.email, "guess", f"198.51.100.{n}").status_code == 200
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_new_address_without_failures_gets_in_while_an_attack_goes_on(
    ann: User, clock: Clock
) -> None:
    """An address that has failed within an hour waits longer than one that has not. So the owner
    waits no longer than the page says."""
    attackers = [f"203.0.113.{n}" for n in range(20)]
    for address in attackers:
        clock.wait(50)
        log_in(ann.email, "guess", address)
    wait = int(log_in(ann.email, address=THERE).headers["Retry-After"])
    assert 2 <= wait <= 60
    for _ in range(4):
        clock.wait(wait / 4)
        for address in attackers[::5]:
            assert log_in(ann.email, "guess", address).status_code == 429
    assert log_in(ann.email, address=THERE).status_code == 302


@pytest.mark.parametrize(
    ("number", "own", "seconds"),
    [(9, 0, 0), (9, 9, 0), (10, 0, 1), (15, 0, 32), (16, 0, 60), (999, 0, 60), (10, 1, 120),
     (999, 2, 240), (10, 4, 900)],
)  # fmt: skip
def test_the_wait_is_limited(number: int, own: int, seconds: int) -> None:
    pair = [Failures("ann", HERE, own, 0)] if own else []
    others = [Failures("ann", THERE, number - own, 0)] if number > own else []
    assert until_turn([*pair, *others], pair) == seconds


def test_any_number_of_addresses_can_make_fewer_than_80_guesses_an_hour() -> None:
    """OWASP ASVS 4.0.3, 2.2.1: 100. Each guess is sent as soon as it may be, from a new address."""
    second, guesses = 0, list[int]()
    while second < 3 * 3600:
        seen = [Failures("ann", str(at), 1, second - at) for at in guesses if second - at < 900]
        wait = until_turn(seen, [])
        second += max(0, int(wait))
        if wait <= 0:
            guesses.append(second)
    assert max(sum(at <= other < at + 3600 for other in guesses) for at in guesses) < 80


def test_a_refused_attempt_neither_counts_nor_prolongs_the_wait(ann: User, clock: Clock) -> None:
    guess(ann.email, PAIR_LIMIT)
    clock.wait(890)
    before = all_rows(AccessAttempt)
    guess(ann.email, 5)
    assert all_rows(AccessAttempt) == before
    clock.wait(10)
    assert log_in(ann.email).status_code == 302


def test_the_case_of_the_name_does_not_matter_to_the_limits(ann: User, clock: Clock) -> None:
    for n in range(PAIR_LIMIT):
        name = [ann.email, ann.email.upper(), f" {ann.email.title()} "][n % 3]
        log_in(name, f"guess {n}")
    assert_has_to_wait(log_in(ann.email), 900, "15 minutes")


def test_failures_for_many_accounts_lock_the_address(ann: User, clock: Clock) -> None:
    for n in range(1, ADDRESS_LIMIT):
        count_failure(f"somebody{n}@acme.example", HERE, clock())
    assert log_in("somebody@acme.example").status_code == 200
    assert_has_to_wait(log_in(ann.email), 900, "15 minutes")
    assert log_in(ann.email, address=THERE).status_code == 302


def test_failures_of_others_do_not_lock_users_out_of_a_shared_address_they_have_used(
    ann: User, clock: Clock
) -> None:
    assert log_in(ann.email).status_code == 302
    for n in range(ADDRESS_LIMIT):
        count_failure(f"somebody{n}@acme.example", HERE, clock())
    assert log_in("somebody@acme.example").status_code == 429
    assert log_in(ann.email).status_code == 302


def test_a_locked_address_gets_in_when_the_oldest_failures_leave_the_window(
    ann: User, clock: Clock
) -> None:
    for n in range(ADDRESS_LIMIT):
        clock.wait(10)
        count_failure(f"somebody{n}@acme.example", HERE, clock())
    assert_has_to_wait(log_in(ann.email), 900 - 490, "7 minutes")
    clock.wait(410)
    assert log_in(ann.email).status_code == 302


def test_a_successful_login_does_not_reset_the_failures_for_another_account(
    ann: User, globex: SimpleNamespace, clock: Clock
) -> None:
    guess(globex.user.email, PAIR_LIMIT)
    assert log_in(ann.email).status_code == 302
    assert_has_to_wait(log_in(globex.user.email, "another guess"), 900, "15 minutes")


def test_successful_logins_do_not_count_as_failures(ann: User, clock: Clock) -> None:
    """They do not delete earlier failures either."""
    guess(ann.email, PAIR_LIMIT - 1)
    for _ in range(3):
        assert log_in(ann.email).status_code == 302
    assert guess(ann.email, 2) == [200, 429]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("addresses", [1, 30])
def test_guesses_sent_at_the_same_time_are_limited_too(
    ann: User, clock: Clock, addresses: int
) -> None:
    def call(n: int) -> int:
        return log_in(ann.email, "guess", f"203.0.113.{n % addresses}").status_code

    assert Counter(all_at_once(call, 30)) == {200: 10, 429: 20}


def test_the_limits_do_not_reveal_which_accounts_exist(ann: User, clock: Clock) -> None:
    """Neither before nor after a limit, from a new address or an address of another account."""
    log_in(ann.email, address=THERE)
    shown = {}
    for email in [ann.email, "nobody@acme.example"]:
        AccessAttempt.objects.all().delete()
        answers = [log_in(email, "x", HERE) for _ in range(PAIR_LIMIT + 1)]
        answers += [log_in(email, "x", f"203.0.113.{n}") for n in (1, 1, 2)]
        shown[email] = [
            (a.status_code, a.headers.get("Retry-After"), a.context["form"].errors) for a in answers
        ]
    assert shown[ann.email] == shown["nobody@acme.example"]
    assert {status for status, _, _ in shown[ann.email]} == {200, 429}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_ipv6_addresses_count_as_networks(
    ann: User, clock: Clock, one: str, other: str, is_same: bool
) -> None:
    """A customer of a provider has 2^64 addresses. IPv4 written as IPv6 counts as IPv4."""
    guess(ann.email, PAIR_LIMIT, one)
    clock.wait(1)  # the account is slowed down
    assert log_in(ann.email, address=other).status_code == (429 if is_same else 302)


def test_a_known_ipv6_address_is_known_as_a_network(ann: User, clock: Clock) -> None:
    log_in(ann.email, address="2001:db8:1:2::1")
    guess_from_everywhere(ann.email, 11)
    assert log_in(ann.email, address="2001:db8:1:3::1").status_code == 429
    assert log_in(ann.email, address="2001:db8:1:2::ffff").status_code == 302


def test_the_latest_20_addresses_of_a_user_are_known_as_digests(ann: User) -> None:
    for n in [*range(25), 24]:
        assert log_in(ann.email, address=f"203.0.113.{n}").status_code == 302
    stored = KnownAddress.objects.filter(user=ann).values_list("digest", flat=True)
    assert {*stored} == {KnownAddress.digest_of(f"203.0.113.{n}") for n in range(5, 25)}
    assert "203.0.113" not in str([*KnownAddress.objects.values()])


def test_an_unknown_address_is_never_an_address_of_an_earlier_login(
    ann: User, clock: Clock
) -> None:
    assert log_in(ann.email, address="").status_code == 302
    assert not KnownAddress.objects.exists()


@pytest.mark.parametrize("command", [["axes_reset"], ["axes_reset_username", "ann@acme.example"]])
def test_the_operator_can_reset_the_failures(ann: User, clock: Clock, command: list[str]) -> None:
    guess(ann.email, PAIR_LIMIT)
    call_command(*command, stdout=io.StringIO())
    assert log_in(ann.email).status_code == 302


@pytest.mark.parametrize("behind", [True, False])
def test_behind_a_proxy_the_address_that_the_proxy_adds_counts(
    ann: User, clock: Clock, settings: Any, behind: bool
) -> None:
    """Addresses that callers send come before it. Without a proxy, the header does not count."""
    settings.BEHIND_HTTPS_PROXY = behind
    for n in range(PAIR_LIMIT):
        log_in(ann.email, "guess", **{"X-Forwarded-For": f"203.0.113.{n}, {THERE}"})
    clock.wait(1)  # the account is slowed down
    same = log_in(ann.email, **{"X-Forwarded-For": f"203.0.113.99, {THERE}"})
    assert same.status_code == 429
    other = log_in(ann.email, **{"X-Forwarded-For": f"{THERE}, 203.0.113.5"})
    assert other.status_code == (302 if behind else 429)


@pytest.mark.parametrize("told", ["", "unknown", "1.2.3.4:99", "x" * 5000, "'; --", "::1%x", "é"])
def test_an_invalid_address_in_the_header_causes_no_server_error(
    ann: User, settings: Any, told: str
) -> None:
    settings.BEHIND_HTTPS_PROXY = True
    assert log_in(ann.email, "x", "", **{"X-Forwarded-For": told}).status_code == 200
    assert log_in(ann.email, "x", "/run/socket", **{"X-Forwarded-For": told}).status_code == 200


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 300, "x" * 100_000, "a\x00b", "é@ü", "\ud83d", "'; --", "{{ 1 }}"]
)
def test_a_strange_name_causes_no_server_error(db: None, name: str) -> None:
    agent = {"User-Agent": "x" * 9000, "Accept": "y" * 9000}
    name = name.encode(errors="surrogatepass").decode("latin-1")
    assert log_in(name, "x", **agent).status_code == 200
    assert Client().post(LOGIN, {}).status_code == 200


def test_typed_names_and_passwords_are_neither_logged_nor_stored(
    ann: User, log: io.StringIO
) -> None:
    for _ in range(PAIR_LIMIT + 1):
        log_in(ann.email, "hunter22-typed")
    log_in("hunter22-typed-into-the-wrong-box", "y", THERE)
    log_in(ann.email, address=THERE)
    assert "hunter22" not in log.getvalue()
    assert PASSWORD not in log.getvalue()
    kept = [str(row) for row in AccessAttempt.objects.values_list("get_data", "post_data")]
    assert kept
    assert "hunter22" not in str(kept)
    assert "Too Many Requests: /admin/login/" in log.getvalue()


def test_old_failures_are_deleted(ann: User, clock: Clock) -> None:
    guess(ann.email, 3)
    clock.wait(3600)
    guess("somebody@acme.example", 1)
    assert AccessAttempt.objects.count() == 1


def test_occasional_failures_lock_nothing(ann: User, clock: Clock) -> None:
    for _ in range(PAIR_LIMIT + 2):
        clock.wait(901)
        assert log_in(ann.email, "guess").status_code == 200


def test_the_limits_do_not_apply_to_the_api(acme: SimpleNamespace, ann: User) -> None:
    guess(ann.email, PAIR_LIMIT + 1)
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


def test_the_login_replaces_the_session_key(ann: User) -> None:
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


def test_a_session_ends_with_the_logout_and_with_a_new_password(ann: User) -> None:
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


# Other sites


ELSEWHERE = [
    "https://evil.example/", "//evil.example", "///evil.example", r"\\evil.example",
    "/\\evil.example", "http:///evil.example", "javascript:alert(1)", "https:evil.example",
    "//evil.example\\@testserver", "https://testserver@evil.example", "\thttps://evil.example",
]  # fmt: skip


@in_one_test("target", ELSEWHERE)
def test_the_login_never_redirects_to_another_site(ann: User, target: str) -> None:
    client = Client()
    for ask in (client.post, client.get):  # the second request is logged in
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
        passwords.link_path(acme.user),
    ]  # fmt: skip


def test_every_page_refuses_forms_from_other_sites(ann: User, acme: SimpleNamespace) -> None:
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


def test_no_page_can_be_shown_in_a_frame_of_another_site(ann: User, acme: SimpleNamespace) -> None:
    User.objects.update(is_superuser=True)
    client = Client()
    client.force_login(ann)
    for page in [*pages(acme), "/", "/docs"]:
        assert client.get(page).headers["X-Frame-Options"] == "DENY", page
