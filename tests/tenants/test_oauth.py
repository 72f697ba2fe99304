"""Apps that people connect by OAuth: registration, consent, tokens, and how a connection ends."""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from limits import RateLimitItemPerHour
from oauth2_provider.cimd import SafeMetadataFetcher
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken

from contacts.api.urls import webhook_paths
from contacts.models import Change, Contact
from tenants import roles
from tenants.admin.tokens import revoke_page
from tenants.authentication import MCP, challenge
from tenants.fields import new_ulid
from tenants.models import ApiToken, User
from tenants.oauth import clients, views
from tests.support.admin import context_of, logged_in
from tests.support.api import PHONE, Api
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory, UserFactory

pytestmark = pytest.mark.django_db
REDIRECT = "https://claude.ai/api/mcp/auth_callback"
HERE = "http://testserver"
AUTHORIZE = "/admin/oauth/authorize"
APPS = "/admin/connected-apps/"
READ, WRITE, DELETE, IMPORTS = ApiToken.Scope.values


@pytest.fixture(autouse=True)
def oauth_on(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OAUTH = True
    often = RateLimitItemPerHour(10_000)  # all tests register from one address
    monkeypatch.setattr(views, "REGISTRATIONS", often)


def with_role(user: User, role: str) -> User:
    if not Group.objects.exists():  # an earlier test with transactions has emptied the table
        roles.grant(apps, roles.RIGHTS)
    user.is_staff = True
    user.save()
    user.groups.set(Group.objects.filter(name=role))
    return user


@pytest.fixture
def editor(acme: SimpleNamespace) -> User:
    return with_role(acme.user, roles.EDITOR)


def post_json(path: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return Client().post(path, data, content_type="application/json")


def post_form(path: str, **fields: Any) -> Any:
    return Client().post(
        path,
        "&".join(f"{k}={v}" for k, v in fields.items()),
        content_type="application/x-www-form-urlencoded",
    )


class App:
    """A client such as Claude, and the browser of the person who connects it."""

    def __init__(self, name: str = "Claude", redirect_uri: str = REDIRECT) -> None:
        body = {"client_name": name, "redirect_uris": [redirect_uri]}
        answer = post_json("/oauth/register", body)
        assert answer.status_code == 201, answer.content
        self.client_id = answer.json()["client_id"]
        self.redirect_uri = redirect_uri
        self.verifier = secrets.token_urlsafe(40)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.challenge = urlsafe_b64encode(digest).decode().rstrip("=")

    def question(self, **changes: Any) -> dict[str, Any]:
        """The query of the consent page. None removes a parameter."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": "s1",
            "scope": " ".join(ApiToken.Scope.values),
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "resource": HERE + MCP,
        } | changes
        return {name: value for name, value in query.items() if value is not None}

    def ask(self, user: User, **changes: Any) -> Any:
        return logged_in(user).get(AUTHORIZE, self.question(**changes))

    def answer(self, user: User, **changes: Any) -> Any:
        """The person sends the form of the page, with all its scopes, or with `changes`."""
        form = {"scope": roles.scopes_to_give(user), "allow": "on"}
        given = self.question() | form | changes
        given = {name: value for name, value in given.items() if value is not None}
        return logged_in(user).post(AUTHORIZE, given)

    def code(self, user: User, **changes: Any) -> str:
        return returned(self.answer(user, **changes))["code"]

    def exchange(self, code: str, **changes: Any) -> Any:
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return post_form("/oauth/token", **given | changes)

    def connect(self, user: User, **changes: Any) -> dict[str, Any]:
        """The answer with the tokens."""
        answer = self.exchange(self.code(user, **changes))
        assert answer.status_code == 200, answer.content
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refresh(self, token: str, **changes: Any) -> Any:
        given = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client_id}
        return post_form("/oauth/token", **given | changes)


def returned(response: Any) -> dict[str, str]:
    """What the app receives by the redirect to it."""
    assert response.status_code == 302, response.content
    address = urlsplit(response["Location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == REDIRECT
    return {name: value for name, [value] in parse_qs(address.query).items()}


def works(tokens: dict[str, Any]) -> bool:
    status = Api(tokens["access_token"]).get("/api/v1/me").status_code
    assert status in (200, 401)
    return bool(status == 200)


def refusal(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.content
    code: str = answer.json()["error"]
    return code


# The whole way


@pytest.mark.both
def test_an_app_connects_calls_refreshes_and_disconnects(
    acme: SimpleNamespace, globex: SimpleNamespace, editor: User
) -> None:
    ContactFactory.create(tenant=globex.tenant, phone=PHONE, name="Gus's")
    app = App()
    answer = returned(app.answer(editor, scope=[READ, WRITE]))
    assert (answer["state"], answer["iss"]) == ("s1", HERE)
    first = app.exchange(answer["code"]).json()
    assert (first["token_type"], first["expires_in"]) == ("Bearer", 3600)
    assert first["scope"].split() == [READ, WRITE]
    api = Api(first["access_token"])
    assert api.get("/api/v1/me").json()["tenant"]["name"] == "Acme Co."
    assert api.create(name="Ann's").status_code == 201
    assert api.act("get-contact", phone=PHONE).json()["name"] == "Ann's"
    assert Contact.objects.get(tenant=globex.tenant).name == "Gus's"
    assert api.act("delete-contact", phone=PHONE).status_code == 403

    second = app.refresh(first["refresh_token"]).json()
    assert not works(first)
    assert works(second)
    api = Api(second["access_token"])
    assert api.act("update-contact", phone=PHONE, name="Ann").status_code == 200
    [connection] = ApiToken.objects.connections_of(editor)
    actors = Change.objects.filter(tenant=acme.tenant).values_list("actor", flat=True)
    assert {*actors} == {connection.actor}, "one author, whichever token wrote"

    gone = post_form("/oauth/revoke", token=second["refresh_token"], client_id=app.client_id)
    assert gone.status_code == 200
    assert not works(second)
    assert refusal(app.refresh(second["refresh_token"])) == "invalid_grant"


def test_nothing_that_opens_the_api_is_stored(editor: User) -> None:
    app = App()
    code = app.code(editor)
    assert not Grant.objects.filter(code=code).exists()
    tokens = app.exchange(code).json()
    rows = [
        row
        for model in (AccessToken, ApiToken, Grant, RefreshToken)
        for row in model._base_manager.values()
    ]
    assert len(rows) == 5, "Ann's own token too"
    for secret in (code, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in str(rows)


def test_without_the_setting_no_address_and_no_access_token_works(
    editor: User, settings: Any
) -> None:
    app = App()
    tokens = app.connect(editor)
    settings.OAUTH = False
    assert not works(tokens)
    browser = logged_in(editor)
    paths = [reverse(f"oauth2_provider:{name}") for name in views_of_oauth()]
    assert len(paths) == 7
    for path in (*paths, APPS):
        assert browser.get(path).status_code == 404, path
        assert browser.post(path).status_code == 404, path
    assert challenge(RequestFactory().post(MCP)) == "Bearer"
    settings.OAUTH = True
    assert works(tokens)


def views_of_oauth() -> list[str]:
    from tenants.urls import oauth

    return [str(pattern.name) for pattern in oauth]


# Metadata


def test_a_client_finds_every_address_from_the_401_of_mcp(db: None) -> None:
    header = challenge(RequestFactory().post(MCP))
    address = header.removeprefix('Bearer resource_metadata="').removesuffix('"')
    assert address == f"{HERE}/.well-known/oauth-protected-resource/mcp"
    resource = Client().get(urlsplit(address).path).json()
    assert resource["resource"] == HERE + MCP
    assert resource["authorization_servers"] == [HERE]
    assert {*resource["scopes_supported"]} == {*ApiToken.Scope.values}
    server = Client().get("/.well-known/oauth-authorization-server").json()
    assert server == {
        "issuer": HERE,
        "authorization_endpoint": HERE + AUTHORIZE,
        "token_endpoint": f"{HERE}/oauth/token",
        "revocation_endpoint": f"{HERE}/oauth/revoke",
        "registration_endpoint": f"{HERE}/oauth/register",
        "scopes_supported": sorted(ApiToken.Scope.values),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
    }
    whole = Client().get("/.well-known/oauth-protected-resource").json()
    assert whole["resource"] == HERE
    assert Client().get("/.well-known/openid-configuration").status_code == 404
    assert challenge(RequestFactory().post("/api/v1/me")) == "Bearer", "as before"


# Registration


def test_a_registered_client_is_public_whatever_it_asked_for(db: None) -> None:
    body = {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_basic"}
    told = post_json("/oauth/register", body).json()
    assert told["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in told
    assert Application.objects.get().client_secret == ""


@pytest.mark.parametrize(
    "uri",
    ["http://claude.ai/cb", "javascript:alert(1)", "cursor://cb", "http://localhost.evil.com/",
     "https://", "https://a b/", "https://[/", "https://a/\0", "//a/", "https://a/#b", "", 7, None],
)  # fmt: skip
def test_codes_go_by_https_or_to_the_own_computer_only(db: None, uri: Any) -> None:
    answer = post_json("/oauth/register", {"redirect_uris": [uri]})
    assert refusal(answer) == "invalid_redirect_uri"
    assert not Application.objects.exists()


@pytest.mark.parametrize(
    "uri", ["http://localhost:1/cb", "http://127.0.0.1/", "http://[::1]:9/", REDIRECT]
)
def test_an_app_on_the_own_computer_can_register(db: None, uri: str) -> None:
    App(redirect_uri=uri)


@pytest.mark.both
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b"[" * 9999, {}, {"redirect_uris": []},
     {"redirect_uris": [REDIRECT] * 11}, {"redirect_uris": REDIRECT},
     *({"redirect_uris": [REDIRECT], "client_name": name}
       for name in (7, "\0", "\ud800", "a\nb", "‮x", "x" * 101))],
    ids=repr,
)  # fmt: skip
def test_a_bad_registration_is_refused_and_stores_nothing(db: None, body: Any) -> None:
    assert post_json("/oauth/register", body).status_code == 400
    assert not Application.objects.exists()


def test_bodies_are_refused_before_they_are_read(db: None) -> None:
    assert refusal(post_json("/oauth/register", b"x" * 16385), 413) == "invalid_request"
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/register"):
        assert refusal(Client().post(path, {"a": "b"})) == "invalid_request", "multipart"
        assert Client().get(path).status_code == 405


def test_an_address_registers_few_clients_in_an_hour(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "REGISTRATIONS", RateLimitItemPerHour(2))
    monkeypatch.setattr("tenants.logins.address_of", lambda request: secrets.token_hex(4))
    for _ in range(3):
        App()
    monkeypatch.setattr("tenants.logins.address_of", lambda request: "203.0.113.9")
    App()
    App()
    answer = post_json("/oauth/register", {"redirect_uris": [REDIRECT]})
    assert refusal(answer, 429) == "temporarily_unavailable"
    assert 0 < int(answer["Retry-After"]) <= 3600


def test_clients_that_nobody_connects_are_bounded_and_deleted_after_a_day(
    editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_UNUSED", 1)
    used = App()
    used.connect(editor)
    App("unused")
    assert post_json("/oauth/register", {"redirect_uris": [REDIRECT]}).status_code == 429
    clients.delete_expired()
    assert Application.objects.count() == 2
    Application.objects.update(created=timezone.now() - timedelta(days=2))
    clients.delete_expired()
    assert Application.objects.get().client_id == used.client_id


# Consent


def test_the_page_names_the_app_its_host_the_tenant_and_what_it_may_do(editor: User) -> None:
    answer = App('<b>x</b>"').ask(editor)
    page = answer.content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;&quot;" in page
    assert "<b>x" not in page
    assert "claude.ai" in page
    assert "Acme Co." in page
    for scope in ApiToken.Scope:
        assert str(scope.label) in page
    assert "form-action 'self' https: http:" in answer["Content-Security-Policy"]
    assert answer["Cache-Control"].count("no-store")


def test_the_page_is_behind_the_login(editor: User) -> None:
    app = App()
    for client in (Client(), logged_in(UserFactory.create(tenant=editor.tenant))):
        answer = client.get(AUTHORIZE, app.question())
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=/admin/oauth/authorize")
        assert client.post(AUTHORIZE, app.question() | {"allow": "on"}).status_code == 302
    assert not Grant.objects.exists()


def test_a_login_that_needs_two_factor_needs_it_here_too(editor: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    answer = App().ask(editor)
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:two_factor"))


def test_no_parameter_skips_the_page(editor: User) -> None:
    app = App()
    app.connect(editor)
    for query in ({"approval_prompt": "auto"}, {"prompt": "none"}, {"prompt": "login"}):
        assert app.ask(editor, **query).status_code == 200, query


def test_a_person_can_refuse(editor: User) -> None:
    told = returned(App().answer(editor, allow=None))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "s1", HERE)
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    ("role", "given"),
    [(roles.VIEWER, [READ]), (roles.EDITOR, [READ, WRITE, DELETE, IMPORTS])],
)
def test_nobody_gives_an_app_more_than_the_own_role_has(
    acme: SimpleNamespace, role: str, given: list[str]
) -> None:
    user = with_role(acme.user, role)
    app = App()
    offered = app.ask(user).context_data["form"].fields["scope"].choices
    assert [scope for scope, _ in offered] == given
    for scope in {*ApiToken.Scope.values} - {*given} | {"admin"}:
        answer = app.answer(user, scope=[READ, scope])
        assert answer.status_code == 200, "the form again"
    assert not Grant.objects.exists()
    assert app.connect(user, scope=given)["scope"].split() == given


def test_an_app_gets_no_more_than_it_asked_for_and_unknown_scopes_are_ignored(
    editor: User,
) -> None:
    app = App()
    form = app.ask(editor, scope=f"openid {READ}").context_data["form"]
    assert [scope for scope, _ in form.fields["scope"].choices] == [READ]
    assert returned(app.ask(editor, scope="openid"))["error"] == "invalid_scope"


def test_an_outsider_and_a_role_without_rights_connect_nothing(
    outsider: SimpleNamespace, acme: SimpleNamespace
) -> None:
    outsider.user.user_permissions.set(Permission.objects.all())
    for user in (with_role(outsider.user, roles.EDITOR), with_role(acme.user, "nobody")):
        app = App()
        assert "allow" not in app.ask(user).content.decode().split("<form")[-1].split("name=")
        assert app.answer(user, scope=[READ]).status_code == 200
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "x" * 300}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ],
)
def test_an_app_must_ask_in_the_right_way(editor: User, changes: Any, error: str) -> None:
    app = App()
    told = returned(app.ask(editor, **changes))
    assert (told["error"], told["state"]) == (error, "s1")
    answer = app.answer(editor, **changes)
    assert answer.status_code == 200 or "code=" not in answer["Location"]
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [{"redirect_uri": "https://evil.example/"}, {"redirect_uri": REDIRECT + "?x=1"},
     {"redirect_uri": None, "client_id": "nobody"}, {"client_id": "a\0b"}, {"client_id": None}],
)  # fmt: skip
def test_a_request_of_nobody_known_leads_nowhere(editor: User, changes: Any) -> None:
    app = App()
    assert app.ask(editor, **changes).status_code == 400
    answer = app.answer(editor, **changes)
    assert answer.status_code in (200, 400)
    assert not Grant.objects.exists()


def test_http_redirects_that_somebody_stored_are_refused(editor: User) -> None:
    app = App()
    Application.objects.update(redirect_uris="http://claude.ai/cb")
    assert app.ask(editor, redirect_uri="http://claude.ai/cb").status_code == 400


def test_broken_queries_get_no_5xx(editor: User) -> None:
    browser = logged_in(editor)
    for query in ("%zz", "client_id=%ff", "scope=\0", "client_id=a&client_id=b"):
        assert browser.get(f"{AUTHORIZE}?{query}").status_code == 400, query
        answer = Client().post(
            f"/oauth/token?{query}", "a=%zz", content_type="application/x-www-form-urlencoded"
        )
        assert answer.status_code == 400, query
    for path in ("/oauth/token", "/oauth/revoke"):
        answer = Client().post(
            path,
            "grant_type=authorization_code&code=a&client_id=%00",
            content_type="application/x-www-form-urlencoded",
            headers={"Authorization": "Basic \xe9"},
        )
        assert answer.status_code in (400, 401), path
    device = "urn:ietf:params:oauth:grant-type:device_code"
    for grant in ("password", "client_credentials", device, "x", ""):
        assert post_form("/oauth/token", grant_type=grant).status_code == 400, grant


# Codes and tokens


@pytest.mark.parametrize(
    "changes",
    [{"code_verifier": "x" * 43}, {"redirect_uri": "https://claude.ai/other"},
     {"client_id": "nobody"}, {"code": "wrong"}, {"resource": "https://evil.example/"}],
)  # fmt: skip
def test_a_code_is_worth_nothing_to_others(editor: User, changes: Any) -> None:
    app = App()
    code = app.code(editor)
    answer = app.exchange(changes.pop("code", code), **changes)
    assert answer.status_code in (400, 401), answer.content
    assert not AccessToken.objects.exists()
    other = App("Other")
    assert refusal(other.exchange(code, code_verifier=app.verifier)) == "invalid_grant"


def test_a_code_without_its_verifier_gives_no_token(editor: User) -> None:
    app = App()
    code = app.code(editor)
    answer = post_form(
        "/oauth/token",
        grant_type="authorization_code",
        code=code,
        client_id=app.client_id,
        redirect_uri=REDIRECT,
    )
    assert refusal(answer) == "invalid_request"


def test_a_code_works_once_and_for_a_minute(editor: User) -> None:
    app = App()
    code = app.code(editor)
    assert app.exchange(code).status_code == 200
    assert refusal(app.exchange(code)) == "invalid_grant"
    late = app.code(editor)
    grant = Grant.objects.latest("pk")
    assert grant.expires - timezone.now() <= timedelta(minutes=1)
    Grant.objects.update(expires=timezone.now())
    assert refusal(app.exchange(late)) == "invalid_grant"


@pytest.mark.both
def test_a_code_that_is_used_twice_ends_the_connection_and_no_other(
    editor: User, globex: SimpleNamespace
) -> None:
    app, outsider = App(), App("Other")
    code = app.code(editor)
    tokens = app.exchange(code).json()
    others = [app.connect(editor), app.connect(with_role(globex.user, roles.EDITOR))]
    assert refusal(outsider.exchange(code, code_verifier=app.verifier)) == "invalid_grant"
    assert works(tokens), "another app cannot use the code, and ends nothing"
    tokens = app.refresh(tokens["refresh_token"]).json()
    for _ in range(2):
        assert refusal(app.exchange(code)) == "invalid_grant"
        assert not works(tokens), "one of the two may be a thief"
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert all(map(works, others))


def test_a_refresh_token_that_is_used_twice_ends_the_connection(editor: User) -> None:
    app = App()
    first = app.connect(editor)
    second = app.refresh(first["refresh_token"]).json()
    assert refusal(app.refresh(first["refresh_token"])) == "invalid_grant"
    assert not works(second)
    assert refusal(app.refresh(second["refresh_token"])) == "invalid_grant"
    other = App("Other")
    fresh = app.connect(editor)
    assert refusal(other.refresh(fresh["refresh_token"])) == "invalid_grant"


def test_a_refresh_gives_no_more_scopes_and_follows_the_role(editor: User) -> None:
    app = App()
    tokens = app.connect(editor, scope=[READ, WRITE])
    asked = app.refresh(tokens["refresh_token"], scope="+".join([READ, DELETE]))
    assert refusal(asked) == "invalid_scope"
    with_role(editor, roles.VIEWER)
    fewer = app.refresh(tokens["refresh_token"]).json()
    assert fewer["scope"] == READ
    assert Api(fewer["access_token"]).create().status_code == 403
    editor.groups.clear()
    assert refusal(app.refresh(fewer["refresh_token"])) == "invalid_grant"


def test_an_access_token_expires_after_an_hour_and_a_refresh_token_after_30_idle_days(
    editor: User,
) -> None:
    app = App()
    tokens = app.connect(editor)
    hour_ago = timezone.now() - timedelta(hours=1)
    ApiToken.objects.connections_of(editor).update(expires_at=hour_ago)
    assert not works(tokens)
    tokens = app.refresh(tokens["refresh_token"]).json()
    assert works(tokens)
    AccessToken.objects.update(expires=timezone.now() - timedelta(days=30))
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_a_connection_ends_with_the_access_of_its_person(editor: User, change: Any) -> None:
    app = App()
    tokens = app.connect(editor)
    User.objects.filter(pk=editor.pk).update(**change)
    assert not works(tokens)
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_deleting_the_person_deletes_the_connection(editor: User) -> None:
    app = App()
    tokens = app.connect(editor)
    editor.delete()
    assert not works(tokens)
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert not RefreshToken.objects.exists()


def test_an_app_creates_webhooks_and_erases_people_only_if_the_role_of_its_person_does(
    acme: SimpleNamespace, editor: User
) -> None:
    erase = {"contact_id": ContactFactory.create(tenant=acme.tenant).pk}
    body = json.dumps({"url": "https://shop.example/hook"})
    api = Api(App().connect(editor)["access_token"])
    assert api.send(body, "/api/v1/webhooks").status_code == 403
    assert api.get("/api/v1/webhooks").status_code == 200
    assert acme.api.send(body, "/api/v1/webhooks").status_code == 201, "a token of the API"
    assert api.act("erase-contact", **erase).status_code == 403
    with_role(editor, roles.MANAGER)
    assert api.act("erase-contact", **erase).status_code == 200
    assert api.send(body.replace("hook", "other"), "/api/v1/webhooks").status_code == 201


def test_an_app_of_an_editor_only_reads_webhooks(editor: User) -> None:
    """Whoever changes the address of a webhook, or reads its new secret, gets the contacts."""
    api = Api(App().connect(editor)["access_token"])
    for pattern in webhook_paths:
        path = f"/api/v1/{str(pattern.pattern).replace('<str:id>', new_ulid())}"
        view: Any = pattern.callback
        for method in {*view.cls.http_method_names} - {"head"}:
            answer = api.client.generic(method, path, "{}", headers=api.headers)
            assert (answer.status_code == 403) is (method != "get"), (method, path)


# What people see


def shown_apps(browser: Client) -> list[ApiToken]:
    return [*context_of(browser, APPS)["apps"]]


def test_a_person_sees_and_ends_the_own_connections_only(
    acme: SimpleNamespace, globex: SimpleNamespace, editor: User
) -> None:
    gus = with_role(globex.user, roles.VIEWER)
    bea = with_role(UserFactory.create(tenant=acme.tenant), roles.MANAGER)
    app = App()
    tokens = app.connect(editor)
    [connection] = ApiToken.objects.connections_of(editor)
    for other in (gus, bea):
        browser = logged_in(other)
        assert shown_apps(browser) == []
        browser.post(APPS, {"app": connection.pk})
        assert works(tokens)
    browser = logged_in(editor)
    assert shown_apps(browser) == [connection]
    for wrong in ("", "x", "9" * 30, acme.token.pk):
        assert browser.post(APPS, {"app": wrong}).status_code == 302
    assert works(tokens)
    assert acme.api.get("/api/v1/me").status_code == 200
    browser.post(APPS, {"app": connection.pk})
    assert not works(tokens)
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_managers_see_the_connections_of_their_tenant_among_the_tokens(
    acme: SimpleNamespace, globex: SimpleNamespace, editor: User
) -> None:
    bea = with_role(UserFactory.create(tenant=acme.tenant), roles.MANAGER)
    gus = with_role(globex.user, roles.MANAGER)
    app = App()
    tokens = app.connect(editor)
    [connection] = ApiToken.objects.connections_of(editor)
    address = reverse("admin:tenants_apitoken_change", args=[connection.pk])
    page = logged_in(bea).get(address).content.decode()
    assert "Connected app" in page
    assert "Rotate" not in page
    assert logged_in(gus).get(address).status_code == 302, "no such token"
    every = reverse("admin:tenants_apitoken_changelist")
    AccessToken.objects.update(expires=timezone.now())
    ApiToken.objects.filter(pk=connection.pk).update(expires_at=timezone.now())
    active = context_of(logged_in(bea), every, {"state": "active"})["cl"].result_list
    assert connection in active, "it renews its token"
    with pytest.raises(ValueError, match="renews its token itself"):
        connection.rotate(timedelta(0))
    logged_in(bea).post(revoke_page([connection.pk]))
    assert refusal(app.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_no_page_of_the_admin_shows_the_toolkits_rows(superuser: Client) -> None:
    for model in ("application", "accesstoken", "grant", "refreshtoken", "idtoken"):
        assert superuser.get(f"/admin/oauth2_provider/{model}/").status_code == 404


# Client ID Metadata Documents


def test_a_document_about_a_client_is_read_for_people_who_are_logged_in_only(
    editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App()
    app.client_id = "https://claude.ai/oauth/client.json"
    fetched = []

    def fetch(self: Any, client_id: str) -> Any:
        fetched.append(client_id)
        document = {"client_id": client_id, "client_name": name, "redirect_uris": [REDIRECT]}
        return document, 3600

    monkeypatch.setattr(SafeMetadataFetcher, "fetch", fetch)
    name = "Claude"
    assert refusal(app.exchange("x"), 401) == "invalid_client"
    Client().get(AUTHORIZE, app.question())
    assert not fetched
    assert "claude.ai" in app.ask(editor).content.decode()
    assert works(app.connect(editor))
    assert fetched == [app.client_id]
    name, app.client_id = "\0", "https://claude.ai/oauth/other.json"
    assert app.ask(editor).status_code == 400


# Races


@pytest.mark.django_db(transaction=True)
@pytest.mark.both
def test_a_code_and_a_refresh_token_work_once_even_at_the_same_time(editor: User) -> None:
    app = App()
    code = app.code(editor)
    answers: list[Any] = all_at_once(lambda _: app.exchange(code), 4)
    assert sorted(a.status_code for a in answers) == [200, 400, 400, 400]
    [tokens] = [a.json() for a in answers if a.status_code == 200]
    assert not works(tokens), "one of the four may be a thief"
    tokens = app.connect(editor)
    answers = all_at_once(lambda _: app.refresh(tokens["refresh_token"]), 4)
    assert sorted(a.status_code for a in answers) == [200, 400, 400, 400]
    [second] = [a.json() for a in answers if a.status_code == 200]
    assert not works(second), "one of the two may be a thief"
    assert ApiToken.objects.filter(application__isnull=False).count() == 2
