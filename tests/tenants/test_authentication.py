"""Tokens: which requests are authenticated, and what is stored of a token."""

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from contacts.models import Contact
from tenants import authentication
from tenants.models import ApiToken, ApiTokenQuerySet
from tests.support.api import Api, assert_error
from tests.support.cases import in_one_test
from tests.support.concurrency import all_at_once
from tests.support.sql import statements

pytestmark = pytest.mark.django_db
ME = "/api/v1/me"


def assert_refused(api: Api) -> None:
    for response in (api.create(tags="vip"), api.get("/api/v1/me")):
        body = assert_error(response, 401, "unauthenticated")
        assert body["message"] == "Unauthenticated."
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert not Contact.objects.exists()


@in_one_test(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer qyvo_" + "x" * 43,
        "Bearer qyvo_" + "é" * 43,
        "Bearer qyvo_" + "x" * 10_000,
        "Bearer TOKEN TOKEN",
        "Basic TOKEN",
        "Token TOKEN",
        "TOKEN",
        "Bearer TOKENx",
        "Bearer \x00",
    ],
)
def test_any_other_header_is_refused(acme: SimpleNamespace, header: str) -> None:
    api = Api()
    api.headers = {"Authorization": header.replace("TOKEN", acme.plaintext)}
    assert_refused(api)


def test_a_request_without_a_header_is_refused() -> None:
    assert_refused(Api())


@pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "Bearer  {} "])
def test_the_scheme_is_case_insensitive(acme: SimpleNamespace, form: str) -> None:
    api = Api()
    api.headers = {"Authorization": form.format(acme.plaintext)}
    assert api.get("/api/v1/me").status_code == 200


def test_a_revoked_token_is_refused_and_other_tokens_still_work(acme: SimpleNamespace) -> None:
    other = ApiToken.objects.issue(acme.user, "other")
    acme.token.revoke()
    assert_refused(acme.api)
    assert Api(other.plaintext).get("/api/v1/me").status_code == 200


def test_a_token_is_looked_up_once_a_second_and_a_revoked_token_ends_in_the_next(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.authentication.this_second", lambda: -1)
    assert acme.api.get(ME).status_code == 200
    assert statements(lambda: acme.api.get(ME)) == []
    acme.token.revoke()
    monkeypatch.setattr("tenants.authentication.this_second", lambda: -2)
    assert acme.api.get(ME).status_code == 401


def test_tokens_that_were_used_in_the_second_before_are_looked_up_together(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked = ApiToken.objects.issue(globex.user, "revoked")
    idle = ApiToken.objects.issue(acme.user, "idle")
    apis = [acme.api, globex.api, Api(revoked.plaintext), Api(idle.plaintext)]
    monkeypatch.setattr(authentication, "this_second", lambda: 1)
    first = [api.get(ME).json()["tenant"] for api in apis]
    revoked.revoke()
    monkeypatch.setattr(authentication, "this_second", lambda: 2)
    assert len(statements(lambda: acme.api.get(ME))) == 1
    assert statements(lambda: globex.api.get(ME)) == []
    assert [api.get(ME).json()["tenant"] for api in apis[:2]] == first[:2]
    assert apis[2].get(ME).status_code == 401
    monkeypatch.setattr(authentication, "this_second", lambda: 3)
    assert acme.api.get(ME).status_code == 200
    assert {*authentication.tokens.second.found} == {acme.token.digest, globex.token.digest}


def test_requests_at_the_same_time_look_a_token_up_once(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []

    def look_up(objects: object, digests: list[str]) -> list[ApiToken]:
        looked_up.extend(digests)
        time.sleep(0.05)
        return [acme.token]

    monkeypatch.setattr(authentication, "this_second", lambda: 1)
    monkeypatch.setattr(authentication, "PATIENCE", 60)
    monkeypatch.setattr(ApiTokenQuerySet, "for_digests", look_up)
    authentication.tokens.now()  # two requests may begin a second at once, and then look up twice
    digest = acme.token.digest
    assert all_at_once(lambda number: authentication.tokens.get(digest), 8) == [acme.token] * 8
    assert looked_up == [digest]


def test_a_look_up_that_hangs_holds_up_no_other_for_long(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "PATIENCE", 0.01)
    monkeypatch.setattr(authentication, "this_second", lambda: 1)
    with authentication.tokens.now().lock:
        assert acme.api.get(ME).status_code == 200


def test_an_expired_token_is_refused_although_it_is_cached(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.authentication.this_second", lambda: -1)
    end = timezone.now() + timedelta(hours=1)
    ApiToken.objects.filter(pk=acme.token.pk).update(expires_at=end)
    assert acme.api.get(ME).status_code == 200
    monkeypatch.setattr("tenants.models.timezone.now", lambda: end)
    assert acme.api.get(ME).status_code == 401


def test_a_new_token_works_at_once(acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if a request used the same token before it existed."""
    monkeypatch.setattr("tenants.authentication.this_second", lambda: -1)
    ApiToken.objects.filter(pk=acme.token.pk).update(revoked_at=timezone.now())
    assert acme.api.get(ME).status_code == 401
    ApiToken.objects.filter(pk=acme.token.pk).update(revoked_at=None)
    assert acme.api.get(ME).status_code == 200


def test_revoking_twice_keeps_the_first_time(acme: SimpleNamespace) -> None:
    acme.token.revoke()
    first = acme.token.revoked_at
    acme.token.revoke()
    assert acme.token.revoked_at == first


def test_a_token_works_until_it_expires(acme: SimpleNamespace) -> None:
    now = timezone.now()
    later = ApiToken.objects.issue(acme.user, "later", expires_at=now + timedelta(seconds=60))
    past = ApiToken.objects.issue(acme.user, "past", expires_at=now - timedelta(seconds=1))
    assert Api(later.plaintext).get("/api/v1/me").status_code == 200
    assert_refused(Api(past.plaintext))


def test_a_disabled_user_is_refused(acme: SimpleNamespace) -> None:
    acme.user.is_active = False
    acme.user.save()
    assert_refused(acme.api)


def test_a_session_of_the_admin_gives_no_access_to_the_api(acme: SimpleNamespace) -> None:
    api = Api()
    api.client.force_login(acme.user)
    assert_refused(api)


def test_only_the_digest_and_the_prefix_of_a_token_are_stored(acme: SimpleNamespace) -> None:
    assert acme.plaintext.startswith("qyvo_")
    row = ApiToken.objects.filter(pk=acme.token.pk).values().get()
    assert not [value for value in row.values() if acme.plaintext in str(value)]
    assert row["prefix"] == acme.plaintext[:11]
    assert not hasattr(ApiToken.objects.get(), "plaintext")


def test_tokens_never_repeat(acme: SimpleNamespace) -> None:
    assert len({ApiToken.objects.issue(acme.user, "x").plaintext for _ in range(20)}) == 20


def test_the_last_use_is_written_at_most_once_a_minute(acme: SimpleNamespace) -> None:
    def last_used_at() -> Any:
        return ApiToken.objects.get().last_used_at

    assert last_used_at() is None
    acme.api.get("/api/v1/me")
    first = last_used_at()
    assert first is not None
    acme.api.get("/api/v1/me")
    assert last_used_at() == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    acme.api.get("/api/v1/me")
    assert last_used_at() > first
