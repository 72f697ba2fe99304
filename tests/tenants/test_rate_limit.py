"""The rate limit: which requests count, the headers, the refusal, and shared counters."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerHour, parse

from tenants.models import ApiToken
from tenants.throttling import Counter, Quota
from tests.support.admin import token_form
from tests.support.api import ACTIONS, CREATE, ME, PHONE, Api, assert_error, remaining
from tests.support.concurrency import all_at_once
from tests.support.sql import statements

pytestmark = pytest.mark.django_db
HEADERS = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


@pytest.fixture(autouse=True)
def three_a_minute(settings: Any) -> None:
    settings.RATELIMIT_DEFAULT = "3/minute"


def limit_token(member: SimpleNamespace, limit: int | None) -> None:
    ApiToken.objects.filter(pk=member.token.pk).update(rate_limit=limit)


def test_every_authenticated_response_has_the_quota_and_counts_once(
    acme: SimpleNamespace, settings: Any
) -> None:
    settings.RATELIMIT_DEFAULT = "100/minute"
    api = acme.api
    many = {"contacts": [{"phone": f"+1415555{n:04}"} for n in range(50)]}
    answers = [
        (200, api.get(ME)),
        (201, api.create()),
        (200, api.act("create-contacts", **many)),
        (200, api.act("search-contacts")),
        (422, api.create("x")),
        (404, api.act("get-contact", phone="+14155559999")),
        (400, api.send("{")),
        (415, api.send("{}", content_type="text/plain")),
        (413, api.send(" " * 200_000)),
        (405, api.get(CREATE)),
        (200, api.client.head(ME, headers=api.headers)),
        (201, api.send(json.dumps({"phone": PHONE}), "/v1/actions/create-contact")),
    ]
    assert [answer.status_code for _, answer in answers] == [status for status, _ in answers]
    assert [remaining(answer) for _, answer in answers] == list(range(99, 99 - len(answers), -1))
    for _, answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "100"
        assert 1 <= int(answer.headers["X-RateLimit-Reset"]) <= 60


def test_requests_of_a_user_without_a_tenant_count_too(outsider: SimpleNamespace) -> None:
    assert remaining(outsider.api.get(ME)) == 2
    assert remaining(outsider.api.create()) == 1


def test_a_server_error_has_the_quota_too(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.api.contacts.CreateContact.clean", lambda self, request: 1 / 0)
    acme.api.client.raise_request_exception = False
    assert remaining(acme.api.create()) == 2
    answer = acme.api.create()
    assert_error(answer, 500, "server_error")
    assert remaining(answer) == 1


def test_unauthenticated_responses_have_no_quota(acme: SimpleNamespace) -> None:
    acme.token.revoke()
    for api in (Api(), Api("qyvo_" + "x" * 43), acme.api):
        answer = api.create()
        assert answer.status_code == 401
        assert not {*HEADERS} & {*answer.headers}


# What is refused


def test_a_request_over_the_limit_is_refused_and_changes_nothing(acme: SimpleNamespace) -> None:
    answers = [acme.api.create(name=str(n)) for n in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    for answer in answers[3:]:
        assert_error(answer, 429, "rate_limited")
        assert remaining(answer) == 0
        assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"]
        assert 30 < int(answer.headers["Retry-After"]) <= 60
    assert acme.tenant.contacts.get().name == "2"


def test_waiting_for_the_announced_time_is_enough(acme: SimpleNamespace, settings: Any) -> None:
    settings.RATELIMIT_DEFAULT = "2 per 2 seconds"
    answer = next(a for a in iter(lambda: acme.api.get(ME), None) if a.status_code == 429)
    time.sleep(int(answer.headers["Retry-After"]))
    assert acme.api.get(ME).status_code == 200


def test_each_key_is_kept_for_its_own_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("tenants.throttling.time.monotonic", lambda: now)
    counts, hourly, minutely = Counter(), parse("2/hour"), parse("2/minute")
    for _ in range(2):
        assert counts.count(hourly, "a")[0]
        assert counts.count(minutely, "b")[0]
    now += 120
    assert counts.count(minutely, "c")[0], "one that is new"
    assert counts.count(hourly, "a") == (False, Quota(2, 0, 3480))
    assert counts.count(minutely, "b") == (True, Quota(2, 1, 60))
    now += 3600
    assert counts.count(minutely, "d")[0]
    assert {*counts.passed} == {"d"}, "what has left its window takes no memory"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_no_window_has_more_requests_than_the_limit_and_none_is_refused_too_early(
    gaps: list[int],
) -> None:
    """Compared with a list of all allowed requests. A request counts for 60 seconds."""
    counts, item, now = Counter(), parse("4/minute"), 0
    passed: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenants.throttling.time.monotonic", lambda: float(now))
        for gap in gaps:
            now += gap
            window = [moment for moment in passed if moment > now - 60]
            is_allowed, quota = counts.count(item, "a")
            assert is_allowed == (len(window) < 4)
            if is_allowed:
                passed.append(now)
                window.append(now)
            assert quota == Quota(4, 4 - len(window), max(1, window[0] + 60 - now))


class Interrupted(RateLimitItemPerHour):
    """A limit that lets other threads run each time that it is read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "amount":
            time.sleep(0.0001)
        return super().__getattribute__(name)


def test_threads_share_a_counter_and_each_request_gets_its_own_remainder() -> None:
    counts, item = Counter(), Interrupted(50)
    answers = [
        answer
        for answers in all_at_once(lambda _: [counts.count(item, "a") for _ in range(10)], 8)
        for answer in answers
    ]
    told = [quota.remaining for is_allowed, quota in answers if is_allowed]
    assert sorted(told, reverse=True) == [*range(49, -1, -1)]
    assert len(answers) == 80


def test_each_token_has_its_own_counter(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    second = Api(ApiToken.objects.issue(acme.user, "second").plaintext)
    assert [acme.api.get(ME).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert remaining(second.get(ME)) == remaining(globex.api.get(ME)) == 2


def test_authentication_comes_first_and_the_rate_limit_second(
    acme: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    for member in (acme, outsider):
        for _ in range(3):
            member.api.get(ME)
        for answer in (member.api.create("x"), member.api.send("{"), member.api.get(CREATE)):
            assert_error(answer, 429, "rate_limited")
    acme.token.revoke()
    assert_error(acme.api.create(), 401, "unauthenticated")


# Whose limit


@pytest.mark.parametrize(
    ("default", "own", "limit"),
    [
        ("3/minute", None, "3"),
        ("3/minute", 5, "5"),
        ("3/minute", 0, None),
        ("", None, None),
        ("0/minute", None, None),
        ("", 5, "5"),
        ("10000 per hour", None, "10000"),
    ],
)
def test_the_limit_of_a_token_replaces_the_default(
    acme: SimpleNamespace, settings: Any, default: str, own: int | None, limit: str | None
) -> None:
    settings.RATELIMIT_DEFAULT = default
    limit_token(acme, own)
    answers = [acme.api.get(ME) for _ in range(7)]
    assert {answer.headers.get("X-RateLimit-Limit") for answer in answers} == {limit}
    allowed = 7 if limit is None else min(7, int(limit))
    assert [answer.status_code for answer in answers] == [200] * allowed + [429] * (7 - allowed)


def test_the_limit_of_a_token_can_be_set_by_command_and_in_the_admin(
    acme: SimpleNamespace, capsys: pytest.CaptureFixture, admin_client: Client
) -> None:
    call_command("create_token", acme.user.email, "--rate-limit", "7")
    [_, token] = capsys.readouterr().out.rsplit("=", 1)
    assert Api(token.strip()).get(ME).headers["X-RateLimit-Limit"] == "7"
    page = f"/admin/tenants/apitoken/{acme.token.pk}/change/"
    form = token_form(name="x", rate_limit="9")
    assert admin_client.post(page, form).status_code == 302
    assert acme.api.get(ME).headers["X-RateLimit-Limit"] == "9"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("RATELIMIT_DEFAULT", "many", "tenants.E001"),
        ("RATELIMIT_DEFAULT", "120", "tenants.E001"),
        ("RATELIMIT_DEFAULT", "120/minute, 5/second", "tenants.E001"),
        ("RATELIMIT_STORAGE_URL", "nowhere://x", "tenants.E002"),
        ("RATELIMIT_STORAGE_URL", "memcache+hunter2://x", "tenants.E002"),
        ("RATELIMIT_STORAGE_URL", "", "tenants.E002"),
        ("RATELIMIT_STORAGE_URL", "redis://u:hunter2@redis:port/0", "tenants.E002"),
    ],
)
def test_the_system_checks_find_an_invalid_limit_or_store(
    settings: Any, name: str, value: str, code: str
) -> None:
    setattr(settings, name, value)
    [error] = run_checks(tags=["variables"])
    assert error.id == code
    assert name in error.msg
    assert "hunter2" not in str(error)


def test_the_rate_limit_executes_no_database_statement(acme: SimpleNamespace) -> None:
    acme.api.get(ME)
    assert len(statements(lambda: acme.api.get(ME))) == 1


def test_a_batch_counts_once(acme: SimpleNamespace) -> None:
    body = {"contacts": [{"phone": f"+1415555{n:04}"} for n in range(100)]}
    answers = [acme.api.send(json.dumps(body), ACTIONS + "create-contacts") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
