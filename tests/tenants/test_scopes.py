"""The scopes of tokens: each operation needs exactly its documented scopes."""

import io
import json
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.views import APIView

from contacts.api.urls import urlpatterns
from contacts.change_log.cause import caused_by
from contacts.models import BulkAction, Contact, ContactTag, Export, Import, Tag, Webhook
from contacts.writing import former_phones
from qyvo.views import openapi
from tenants.models import ApiToken
from tenants.views import TenantAPIView
from tests.support.admin import errors, logged_in, token_form, url
from tests.support.api import (
    ACTION_BODIES,
    CHANGE_SET,
    GOES,
    PHONE,
    STAYS,
    Api,
    assert_error,
)
from tests.support.cases import in_one_test
from tests.support.documents import table
from tests.support.factories import ContactFactory, UserFactory

pytestmark = pytest.mark.django_db
READ, WRITE, DELETE, IMPORTS = "contacts:read", "contacts:write", "contacts:delete", "imports"
# Operation -> what a token needs for it.
NEEDS: dict[str, set[str]] = {
    "me": set(),
    "create-contact": {WRITE},
    "create-contacts": {WRITE},
    "update-contact": {WRITE},
    "get-contact": {READ},
    "get-contacts": {READ},
    "search-contacts": {READ},
    "list-contacts": {READ},
    "list-changes": {READ},
    "add-tag": {WRITE},
    "remove-tag": {WRITE},
    "list-tags": {READ},
    "list-fields": {READ},
    "list-views": {READ},
    "record-message": {WRITE},
    "rename-tag": {WRITE},
    "merge-tags": {WRITE},
    "delete-tag": {WRITE},
    "bulk-update": {WRITE},
    "bulk-delete": {DELETE},
    "record-consent": {WRITE},
    "merge-contacts": {WRITE},
    "undo": {WRITE, DELETE},
    "remove-former-phone": {WRITE},
    "delete-contact": {DELETE},
    "erase-contact": {DELETE},
    "create-import": {IMPORTS},
    "get-import": {IMPORTS},
    "get-import-errors": {IMPORTS},
    "create-export": {READ, IMPORTS},
    "get-export": {READ, IMPORTS},
    "get-export-file": {READ, IMPORTS},
    "get-bulk": {READ},
    "create-webhook": {READ, WRITE},
    "list-webhooks": {READ},
    "get-webhook": {READ},
    "update-webhook": {READ, WRITE},
    "delete-webhook": {WRITE},
    "rotate-webhook": {READ, WRITE},
    "test-webhook": {WRITE},
    "list-deliveries": {READ},
    "replay-webhook": {WRITE},
}

HAD = "+14155550999"  # a former phone
NO_FILE = {"get-import-errors", "get-export-file"}  # the rows of `there` have none


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Name -> method, path and description in the schema."""
    return {
        told["operationId"]: (method.upper(), path, told)
        for path, methods in openapi()["paths"].items()
        for method, told in methods.items()
    }


@pytest.fixture
def there(acme: SimpleNamespace, settings: Any, tmp_path: Path) -> str:
    """The id of an import, an export, a bulk action and a webhook of Acme, which also has
    contacts."""
    settings.DATA_DIR = tmp_path
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["vip"])
    former_phones.insert(contact, [HAD])
    with caused_by("command:test", CHANGE_SET):
        for pk in (STAYS, GOES):
            ContactFactory.create(pk=pk, tenant=acme.tenant)
    job = Import(tenant=acme.tenant, file_name="x.csv", state=Import.State.DONE)
    job.options = {"mode": "upsert", "fields": {}}
    job.save()
    Export.objects.create(pk=job.pk, tenant=acme.tenant, format="csv", state=Export.State.EXPIRED)
    BulkAction.objects.create(pk=job.pk, tenant=acme.tenant, kind="delete", total=0)
    Webhook.objects.create(pk=job.pk, tenant=acme.tenant, url="https://example.com/", events=[])
    return job.pk


def may(member: SimpleNamespace, *scopes: str) -> Api:
    return Api(ApiToken.objects.issue(member.user, "x", scopes=[*scopes]).plaintext)


def ask(api: Api, name: str, pk: str) -> Any:
    method, path, _ = operations()[name]
    body: Any = ACTION_BODIES.get(name, {}) | {"phone": PHONE}
    kind = "application/json"
    if name == "remove-former-phone":
        body |= {"contact_id": Contact.objects.get(phone=PHONE).pk, "phone": HAD}
    if name == "create-webhook":
        body = {"url": "https://example.com/new", "events": ["contact.created"]}
    if name == "replay-webhook":
        body = {"since": "2026-05-07T00:00:00Z"}
    data = json.dumps(body)
    if name == "create-import":
        data, kind = "phone\n+33612345678\n", "text/csv"
    return api.client.generic(
        method, path.replace("{id}", pk), data, content_type=kind, headers=api.headers
    )


def rows() -> Any:
    models: Any = (Contact, Tag, ContactTag, Import, Export, Webhook)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_every_view_names_its_scopes() -> None:
    """A view that names no scopes would need all scopes."""
    patterns = [p for pattern in urlpatterns for p in getattr(pattern, "url_patterns", [pattern])]
    views: list[type[APIView]] = [pattern.callback.cls for pattern in patterns]
    assert len(views) > 16
    for view in views:
        assert issubclass(view, TenantAPIView)
        told = view.operations.values() if view.operations else [view]
        for one in told:
            assert one.scopes is not TenantAPIView.scopes, one
            assert {*one.scopes} <= {*ApiToken.Scope}, one


def test_the_schema_names_the_scopes_of_each_operation() -> None:
    assert {name: {*told["x-required-scopes"]} for name, (*_, told) in operations().items()} == (
        NEEDS
    )
    for name, (*_, told) in operations().items():
        assert ("403" in told["responses"]) is bool(NEEDS[name]), name
        assert all(f"`{scope}`" in told["description"] for scope in NEEDS[name]), name


def test_the_table_of_scopes_in_the_documentation_is_complete() -> None:
    from contacts.api.urls import actions

    said = {name: re.findall(r"`([a-z-]+)`", what) for name, what in table("| scope |")}
    assert [name.strip(" `") for name in said] == [*ApiToken.Scope]
    for scope, names in said.items():
        needs = {
            pattern.name for pattern in actions if scope.strip(" `") in NEEDS[str(pattern.name)]
        }
        assert {*names} == needs


@in_one_test("name", NEEDS)
def test_a_token_without_a_required_scope_is_refused(
    acme: SimpleNamespace, there: str, name: str
) -> None:
    before = rows()
    for scope in NEEDS[name]:
        answer = ask(may(acme, *{*ApiToken.Scope} - {scope}), name, there)
        body = assert_error(answer, 403, "forbidden")
        assert body["message"] == f"This token lacks the scope {scope}."
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        assert answer.headers["WWW-Authenticate"] == challenge
    assert rows() == before


@in_one_test("name", NEEDS)
def test_an_operation_needs_only_its_documented_scopes(
    acme: SimpleNamespace, there: str, name: str
) -> None:
    answer = ask(may(acme, *NEEDS[name]), name, there)
    assert answer.status_code in {200, 201, 202, 204} | ({404} if name in NO_FILE else set())


@in_one_test("name", NEEDS)
def test_scopes_give_no_access_to_another_tenant(
    globex: SimpleNamespace, outsider: SimpleNamespace, there: str, name: str
) -> None:
    acmes = Contact.objects.values().get(phone=PHONE)
    answer = ask(may(globex, *NEEDS[name]), name, there)
    assert answer.status_code == 404 or acmes["id"] not in answer.content.decode()
    assert Contact.objects.values().get(pk=acmes["id"]) == acmes
    if name != "me":
        for scopes in (NEEDS[name], ()):
            assert_error(ask(may(outsider, *scopes), name, there), 422, "no_workspace")


def test_a_missing_scope_counts_for_the_rate_limit_and_is_refused_before_the_body_is_read(
    acme: SimpleNamespace, settings: Any
) -> None:
    settings.RATELIMIT_DEFAULT = "2/hour"
    api = may(acme, READ)
    for left in ("1", "0"):
        answer = api.send("{")
        assert_error(answer, 403, "forbidden")
        assert answer.headers["X-RateLimit-Remaining"] == left
    assert_error(api.send("{"), 429, "rate_limited")


def test_me_shows_the_scopes_of_the_token(acme: SimpleNamespace) -> None:
    assert acme.api.get("/api/v1/me").headers["Qyvo-Scopes"] == " ".join(ApiToken.Scope)
    assert may(acme, READ, IMPORTS).get("/api/v1/me").headers["Qyvo-Scopes"] == f"{READ} {IMPORTS}"


def test_an_unknown_method_gets_405(acme: SimpleNamespace, there: str) -> None:
    answer = acme.api.client.put(f"/api/v1/webhooks/{there}", headers=acme.api.headers)
    assert_error(answer, 405, "method_not_allowed")
    head = may(acme, READ)
    assert head.client.head("/api/v1/webhooks", headers=head.headers).status_code == 200


def test_a_rotated_token_keeps_its_scopes(acme: SimpleNamespace) -> None:
    old = ApiToken.objects.issue(acme.user, "x", scopes=[READ])
    assert old.rotate(timedelta(hours=1)).scopes == [READ]


# Where they are chosen


def test_create_token_gives_all_scopes_or_the_named_scopes() -> None:
    UserFactory.create(email="shop@acme.example")
    out = io.StringIO()
    call_command("create_token", "shop@acme.example", stdout=out)
    assert ApiToken.objects.latest("pk").scopes == [*ApiToken.Scope]
    call_command(
        "create_token", "shop@acme.example", "--scope", READ, "--scope", IMPORTS, stdout=out
    )
    assert ApiToken.objects.latest("pk").scopes == [READ, IMPORTS]
    assert f"# scopes:  {READ} {IMPORTS}\n" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("create_token", "shop@acme.example", "--scope", "everything")


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    acme.user.is_staff = acme.user.is_superuser = True
    acme.user.save()
    return logged_in(acme.user)


def test_the_admin_offers_all_scopes_as_checked_and_stores_the_checked_scopes(
    staff: Client, acme: SimpleNamespace
) -> None:
    text = staff.get(url(ApiToken, "add")).content.decode()
    for scope in ApiToken.Scope:
        assert f'value="{scope}"' in text
    checked = re.findall(r'<input[^>]* name="scopes"[^>]* checked', text)
    assert text.count('name="scopes"') == len(checked) == len(ApiToken.Scope)
    form = token_form(name="shop", user=acme.user.pk)
    staff.post(url(ApiToken, "add"), form | {"scopes": [WRITE]})
    assert ApiToken.objects.get(name="shop").scopes == [WRITE]
    listing = staff.get(url(ApiToken, "changelist")).content.decode()
    assert WRITE in listing
    assert READ not in listing
    for bad in ([], ["everything"]):
        assert "scopes" in errors(staff.post(url(ApiToken, "add"), form | {"scopes": bad}))


def test_scopes_can_be_removed_from_a_working_token(staff: Client, acme: SimpleNamespace) -> None:
    address = url(ApiToken, "change", acme.token.pk)
    form = token_form(name="x", scopes=[READ])
    assert staff.post(address, form).status_code == 302
    assert_error(acme.api.create(), 403, "forbidden")
    assert acme.api.act("list-tags").status_code == 200
