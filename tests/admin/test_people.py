"""Tokens, tenants and their first user in the admin."""

import io
import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import (
    BulkAction,
    BulkBatch,
    ContactCounts,
    Delivery,
    Duplicate,
    DuplicateSearch,
    Erasure,
    Export,
    Import,
    ImportBatch,
    ImportFailure,
    MetadataField,
    NameFolding,
    NearKey,
    Note,
    OptOut,
    SavedView,
    StoredAnswer,
    TagCounts,
    TenantLock,
    Webhook,
)
from tenants import models as tenant_models
from tenants import roles
from tenants.admin.tokens import ApiTokenAdmin, revoke_page
from tenants.admin.users import UserAdmin
from tenants.fields import new_ulid
from tenants.models import LATEST, ApiToken, Tenant, User, models_of_tenants
from tests.support.admin import errors, listed, logged_in, permit, url
from tests.support.api import Api
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, TenantFactory, UserFactory
from tests.support.sql import statements

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    permit(user, content_type__app_label="tenants")
    return logged_in(user)


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


def rotate_page(pk: Any) -> str:
    return reverse("admin:tenants_apitoken_rotate", args=[pk])


def works(plaintext: str) -> bool:
    return Api(plaintext).get("/api/v1/me").status_code == 200


def test_people_tokens_and_tenants_are_found_as_people_type(
    staff: Client, superuser: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        user = UserFactory.create(tenant=member.tenant, name="Zoé O'Brien")
        ApiToken.objects.issue(user, f"Łukasz {member.tenant.slug}")
    Tenant.objects.filter(pk=acme.tenant.pk).update(name="Café Acme")
    assert len(listed(staff, User, q="zoe obrien")) == 1
    assert len(listed(superuser, User, q="ZOE")) == 2
    assert len(listed(staff, ApiToken, q="lukasz")) == 1
    assert listed(superuser, Tenant, q="cafe") == {"Café Acme"}
    assert listed(staff, User, q="zoe nobody") == set()


# Rotation


def test_a_rotated_token_works_with_both_secrets_until_the_old_one_expires(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ApiToken.objects.filter(pk=acme.token.pk).update(rate_limit=7)
    assert "In 24 hours" in staff.get(rotate_page(acme.token.pk)).content.decode()
    answer = staff.post(rotate_page(acme.token.pk), {"overlap": "24"})
    secret = answer.context["secret"]
    assert works(secret)
    assert works(acme.plaintext)
    new = ApiToken.objects.get(replaces=acme.token)
    assert (new.name, new.user, new.rate_limit) == (acme.token.name, acme.user, 7)
    acme.token.refresh_from_db()
    assert abs(acme.token.expires_at - timezone.now() - 24 * HOUR) < HOUR
    ApiToken.objects.filter(pk=acme.token.pk).update(expires_at=timezone.now())
    assert not works(acme.plaintext)
    assert works(secret)


def test_without_an_overlap_the_old_secret_expires_at_once(
    staff: Client, acme: SimpleNamespace
) -> None:
    secret = staff.post(rotate_page(acme.token.pk), {"overlap": "0"}).context["secret"]
    assert (works(secret), works(acme.plaintext)) == (True, False)


def test_the_new_token_has_the_lifetime_of_the_old_one(acme: SimpleNamespace) -> None:
    old = ApiToken.objects.issue(acme.user, "x", expires_at=timezone.now() + 30 * 24 * HOUR)
    new = old.rotate(365 * 24 * HOUR)
    old_end = ApiToken.objects.get(pk=old.pk).expires_at
    assert new.expires_at
    assert old_end
    assert old.expires_at
    assert abs(new.expires_at - old.expires_at) < HOUR
    assert abs(old_end - old.expires_at) < HOUR, "no overlap makes it live longer"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"revoked_at": timezone.now()}, "is revoked or expired"),
        ({"expires_at": timezone.now()}, "is revoked or expired"),
    ],
)
def test_an_expired_token_is_not_rotated(
    staff: Client, acme: SimpleNamespace, fields: dict[str, Any], sentence: str
) -> None:
    ApiToken.objects.filter(pk=acme.token.pk).update(**fields)
    answer = staff.post(rotate_page(acme.token.pk), {"overlap": "24"}, follow=True)
    assert sentence in answer.content.decode()
    assert acme.user.tokens.count() == 1


def test_a_token_is_rotated_only_once(staff: Client, acme: SimpleNamespace) -> None:
    staff.post(rotate_page(acme.token.pk), {"overlap": "24"})
    answer = staff.post(rotate_page(acme.token.pk), {"overlap": "24"}, follow=True)
    assert "Rotate the new token" in answer.content.decode()
    assert acme.user.tokens.count() == 2


def test_the_list_shows_the_state_of_tokens(staff: Client, acme: SimpleNamespace) -> None:
    staff.post(rotate_page(acme.token.pk), {"overlap": "24"})
    new = ApiToken.objects.get(replaces=acme.token)
    ApiToken.objects.issue(acme.user, "gone").revoke()
    ApiToken.objects.issue(acme.user, "old", expires_at=timezone.now() - HOUR)
    page = staff.get(url(ApiToken, "changelist")).content.decode()
    assert f"replaced by {new.prefix}" in page
    for state in ("Active", "Revoked", "Expired", "Expires 2"):
        assert state in page
    assert listed(staff, ApiToken, state="expiring") == {str(acme.token)}
    assert listed(staff, ApiToken, state="revoked") == {str(ApiToken.objects.get(name="gone"))}
    assert len(listed(staff, ApiToken, state="nonsense")) == 4


def test_the_log_has_the_rotation_without_a_secret(staff: Client, acme: SimpleNamespace) -> None:
    secret = staff.post(rotate_page(acme.token.pk), {"overlap": "1"}).context["secret"]
    told = LogEntry.objects.get().change_message
    assert secret[:11] in told
    assert secret[11:] not in told


def test_staff_cannot_rotate_a_token_of_another_tenant(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    assert staff.post(rotate_page(globex.token.pk), {"overlap": "0"}).status_code == 302
    assert works(globex.plaintext)
    viewer = UserFactory.create(tenant=acme.tenant, is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_apitoken"))
    assert logged_in(viewer).post(rotate_page(acme.token.pk), {"overlap": "0"}).status_code == 403
    assert works(acme.plaintext)


@pytest.mark.parametrize("pk", ["x", "0", "99999999999999999999", "%00"])
def test_a_missing_token_gets_a_message(staff: Client, pk: str) -> None:
    assert staff.get(f"/admin/tenants/apitoken/{pk}/rotate/").status_code == 302


def test_staff_cannot_issue_tokens_for_users_with_more_permissions(
    acme: SimpleNamespace,
) -> None:
    roles.grant(apps, roles.RIGHTS)
    manager, equal, boss = (UserFactory.create(tenant=acme.tenant, is_staff=True) for _ in "abc")
    for user in (manager, equal, boss):
        user.groups.set(Group.objects.filter(name="manager"))
    boss.user_permissions.set(Permission.objects.filter(codename="delete_user"))
    client = logged_in(manager)
    for user, may in ((acme.user, True), (manager, True), (equal, True), (boss, False)):
        answer = client.post(url(ApiToken, "add"), token_form(acme, user=user.pk))
        assert ("secret" in (answer.context_data or {})) == may
        token = ApiToken.objects.issue(user, "x")
        answer = client.post(rotate_page(token.pk), {"overlap": "0"})
        assert answer.status_code == (200 if may else 403)
    client.post(revoke_page([boss.tokens.get().pk]))
    assert boss.tokens.get().revoked_at, "a leaked token is ended by whoever sees it first"


def test_only_superusers_set_limits(
    staff: Client, superuser: Client, acme: SimpleNamespace
) -> None:
    for client, limit in ((staff, None), (superuser, 0)):
        client.post(url(ApiToken, "add"), token_form(acme, rate_limit="0", name=f"{limit}"))
        assert ApiToken.objects.get(name=f"{limit}").rate_limit == limit


def test_a_replaced_token_expires_at_its_planned_time(staff: Client, acme: SimpleNamespace) -> None:
    staff.post(rotate_page(acme.token.pk), {"overlap": "24"})
    staff.post(url(ApiToken, "change", acme.token.pk), token_form(acme, name="renamed"))
    acme.token.refresh_from_db()
    assert acme.token.name == "renamed"
    assert acme.token.expires_at


def test_a_url_can_prefill_only_the_name(staff: Client) -> None:
    page = staff.get(url(ApiToken, "add"), {"name": "n8n", "expires_at": "zz"})
    assert 'value="n8n"' in page.content.decode()


def test_a_command_rotates_a_token(acme: SimpleNamespace) -> None:
    out = io.StringIO()
    call_command("rotate_token", acme.token.prefix, overlap_hours=1, stdout=out)
    secret = out.getvalue().rpartition("QYVO_TOKEN=")[2].strip()
    assert works(secret)
    assert works(acme.plaintext)
    for arguments in ([acme.token.prefix], ["qyvo_nobody"]):
        with pytest.raises(CommandError):
            call_command("rotate_token", *arguments, stdout=out)
    with pytest.raises(CommandError, match="from 0 to 8760"):
        call_command("rotate_token", acme.token.prefix, overlap_hours=-1)


# Simultaneous changes


def page_of(client: Client, row: ApiToken | User, **changes: Any) -> dict[str, Any]:
    """The data that a browser would send for the row's page, without select boxes."""
    form = client.get(url(type(row), "change", row.pk)).context["adminform"].form
    found: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", "".join(str(field) for field in form)):
        said = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if said.get("type") != "checkbox" or " checked" in tag:
            found.setdefault(said["name"], []).append(said.get("value", ""))
    return found | changes


def meanwhile(monkeypatch: pytest.MonkeyPatch, admin: type, act: Any) -> None:
    """Calls `act` after a form has read its row and before it saves the row."""
    save = admin.save_model  # type: ignore[attr-defined]

    def raced(self: Any, *args: Any) -> None:
        monkeypatch.setattr(admin, "save_model", save)
        act()
        save(self, *args)

    monkeypatch.setattr(admin, "save_model", raced)


def test_a_token_revoked_while_its_form_is_saved_stays_revoked(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = page_of(staff, acme.token, name="renamed")
    meanwhile(monkeypatch, ApiTokenAdmin, ApiToken.objects.get(pk=acme.token.pk).revoke)
    assert staff.post(url(ApiToken, "change", acme.token.pk), data).status_code == 302
    assert ApiToken.objects.get(pk=acme.token.pk).name == "renamed"
    assert not works(acme.plaintext)


def test_a_token_rotated_while_its_form_is_saved_expires_as_planned(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ApiToken.objects.get(pk=acme.token.pk)
    data = page_of(staff, old, name="renamed")
    meanwhile(monkeypatch, ApiTokenAdmin, lambda: old.rotate(HOUR))
    assert staff.post(url(ApiToken, "change", old.pk), data).status_code == 302
    old.refresh_from_db()
    assert old.name == "renamed"
    assert old.expires_at
    assert old.expires_at - timezone.now() < HOUR


def test_saving_an_old_page_of_a_token_keeps_newer_changes(
    staff: Client, acme: SimpleNamespace
) -> None:
    stale = page_of(staff, acme.token, name="renamed")
    end = timezone.now() + 24 * HOUR
    fresh = {"rate_limit": 7, "scopes": [ApiToken.Scope.READ], "expires_at": end}
    ApiToken.objects.filter(pk=acme.token.pk).update(**fresh)
    assert staff.post(url(ApiToken, "change", acme.token.pk), stale).status_code == 302
    told = ApiToken.objects.values("name", *fresh).get(pk=acme.token.pk)
    assert told == {"name": "renamed"} | fresh


@pytest.mark.parametrize("given", [{"expires_in": "30"}, {"expires_at_0": "2998-01-01",
                                                         "expires_at_1": "00:00:00"}])  # fmt: skip
def test_the_expiry_of_a_token_is_set_and_removed(
    staff: Client, acme: SimpleNamespace, given: dict[str, str]
) -> None:
    page, token = url(ApiToken, "change", acme.token.pk), acme.token
    assert staff.post(page, page_of(staff, token, **given)).status_code == 302
    token.refresh_from_db()
    assert token.expires_at
    never = page_of(staff, token, expires_at_0="", expires_at_1="")
    assert staff.post(page, never).status_code == 302
    token.refresh_from_db()
    assert token.expires_at is None


def test_a_user_disabled_while_another_form_is_saved_stays_disabled(
    superuser: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = page_of(superuser, acme.user, name="Ann", tenant=acme.tenant.pk)
    disable = User.objects.filter(pk=acme.user.pk).update
    meanwhile(monkeypatch, UserAdmin, lambda: disable(is_active=False))
    assert superuser.post(url(User, "change", acme.user.pk), data).status_code == 302
    acme.user.refresh_from_db()
    assert (acme.user.name, acme.user.is_active) == ("Ann", False)


# Expiry


def token_form(acme: SimpleNamespace, **given: Any) -> dict[str, Any]:
    blank = {"name": "n8n", "user": acme.user.pk, "expires_at_0": "", "expires_at_1": ""}
    return blank | {"scopes": [*ApiToken.Scope]} | given


def test_a_token_expires_after_the_time_chosen(staff: Client, acme: SimpleNamespace) -> None:
    answer = staff.post(url(ApiToken, "add"), token_form(acme, expires_in="90"))
    assert works(answer.context["secret"])
    end = ApiToken.objects.get(name="n8n").expires_at
    assert end
    assert abs(end - timezone.now() - timedelta(days=90)) < HOUR


def test_an_expiry_in_the_past_is_a_form_error(staff: Client, acme: SimpleNamespace) -> None:
    data = token_form(acme, expires_at_0="2020-01-01", expires_at_1="00:00:00")
    [sentence] = errors(staff.post(url(ApiToken, "add"), data))["expires_at"]
    assert "revoke it" in sentence
    assert not ApiToken.objects.filter(name="n8n").exists()


@in_one_test("zone", ["America/Los_Angeles", "UTC", "Pacific/Kiritimati"])
@in_one_test(
    ("day", "is_possible"), [("2999-12-30", True), ("3000-01-02", False), ("9999-12-31", False)]
)
def test_an_expiry_beyond_the_calendar_is_a_form_error(
    staff: Client, acme: SimpleNamespace, zone: str, day: str, is_possible: bool
) -> None:
    given = {"expires_at_0": day, "expires_at_1": "23:59:00"}
    with timezone.override(zone):
        answer = staff.post(url(ApiToken, "add"), token_form(acme, **given))
        if not is_possible:
            assert errors(answer)["expires_at"] == ["The latest possible date is 2999-12-31."]
        assert ApiToken.objects.filter(name="n8n").exists() is is_possible
        page = url(ApiToken, "change", acme.token.pk)
        answer = staff.post(page, page_of(staff, acme.token, **given))
        assert ("expires_at" in errors(answer)) if not is_possible else answer.status_code == 302
        assert staff.get(url(ApiToken, "changelist")).status_code == 200


def test_a_rotated_token_expires_on_a_day_that_the_form_accepts(
    staff: Client, acme: SimpleNamespace
) -> None:
    long_ago = timezone.now() - timedelta(days=365)
    fields = {"created_at": long_ago, "expires_at": LATEST - HOUR}
    ApiToken.objects.filter(pk=acme.token.pk).update(**fields)
    new = acme.token.rotate(HOUR)
    assert new.expires_at == LATEST
    answer = staff.post(url(ApiToken, "change", new.pk), page_of(staff, new, name="renamed"))
    assert answer.status_code == 302


# Tenants


def tenant_form(**given: Any) -> dict[str, Any]:
    blank = {"name": "Initech", "slug": "initech", "default_region": "US", "email": "",
             "user_name": "", "password": "", "role": ""}  # fmt: skip
    return blank | given


def test_one_form_creates_a_tenant_and_its_first_user(superuser: Client) -> None:
    roles.grant(apps, roles.RIGHTS)
    data = tenant_form(
        email="Bill@Initech.example", user_name="Bill", password="red stapler 1999", role="manager"
    )
    assert superuser.post(url(Tenant, "add"), data).status_code == 302
    user = User.objects.get(email="bill@initech.example")
    assert (user.tenant, user.name, user.is_staff) == (Tenant.objects.get(), "Bill", True)
    assert [group.name for group in user.groups.all()] == ["manager"]
    client = Client()
    login = {"username": "bill@initech.example", "password": "red stapler 1999"}
    assert client.post(reverse("admin:login"), login).status_code == 302
    assert client.get(url(User, "changelist")).status_code == 200


def test_a_first_user_without_a_password_can_only_use_tokens(superuser: Client) -> None:
    superuser.post(url(Tenant, "add"), tenant_form(email="robot@initech.example"))
    user = User.objects.get(email="robot@initech.example")
    assert not user.has_usable_password()
    assert not user.is_staff


def test_a_tenant_needs_no_user(superuser: Client) -> None:
    superuser.post(url(Tenant, "add"), tenant_form())
    assert not Tenant.objects.get().users.exists()


@in_one_test(
    ("given", "field"),
    [
        ({"slug": "acme"}, "slug"),
        ({"default_region": "XX"}, "default_region"),
        ({"email": "ann@acme.example"}, "email"),
        ({"email": "ANN@acme.example"}, "email"),
        ({"email": "no address"}, "email"),
        ({"user_name": "Bill"}, "email"),
        ({"email": "b@x.example", "user_name": "B" * 256}, "user_name"),
        ({"email": "b@x.example", "password": "123"}, "password"),
        ({"email": "b@x.example", "role": "superuser"}, "role"),
    ],
)
def test_errors_are_shown_at_their_field_and_nothing_is_created(
    superuser: Client, acme: SimpleNamespace, given: dict[str, Any], field: str
) -> None:
    before = (Tenant.objects.count(), User.objects.count(), Group.objects.count())
    assert field in errors(superuser.post(url(Tenant, "add"), tenant_form(**given)))
    assert (Tenant.objects.count(), User.objects.count(), Group.objects.count()) == before


def test_only_superusers_create_tenants(staff: Client) -> None:
    assert staff.get(url(Tenant, "add")).status_code == 403
    assert staff.post(url(Tenant, "add"), tenant_form()).status_code == 403


# Deleting tenants


def full_tenant(contacts: int = 5) -> Tenant:
    """A tenant without users, with at least one row of every kind."""
    tenant = TenantFactory.create()
    for number in range(contacts):
        phone = f"+1415555{number:04}"
        ContactFactory.create(tenant=tenant, phone=phone, tags=["vip", f"t{number % 5}"])
    job = Import.objects.create(tenant=tenant, state=Import.State.DONE)
    action = BulkAction.objects.create(tenant=tenant, total=9, finished_at=timezone.now())
    webhook = Webhook.objects.create(tenant=tenant, url="https://example.com/")
    Export.objects.create(tenant=tenant, actor="", format="csv", state=Export.State.DONE)
    for number in range(3):
        ImportBatch.objects.create(tenant=tenant, job=job, number=number)
        ImportFailure.objects.create(tenant=tenant, job=job, line=number, error="no phone")
        BulkBatch.objects.create(tenant=tenant, action=action, number=number, contacts=b"")
        Delivery.objects.create(tenant=tenant, webhook=webhook, event="x", job=job)
        Erasure.objects.create(tenant=tenant, digest=f"{number}")
        OptOut.objects.create(tenant=tenant, digest=f"{number}", opted_out_at=timezone.now())
    StoredAnswer.objects.create(tenant=tenant, token=1, key="x", request="")
    DuplicateSearch.objects.create(tenant=tenant, place=[])
    NearKey.objects.create(tenant=tenant, pk=new_ulid(), beginning=1, tail=2)
    Note.objects.create(tenant=tenant, contact_id=new_ulid(), author="user:1", text="x")
    NameFolding.objects.create(tenant=tenant, version=1, place=[])
    TagCounts.objects.create(tenant=tenant, numbers={}, snapshot="", counted_at=timezone.now())
    ContactCounts.objects.create(tenant=tenant, zone="UTC", numbers={}, counted_at=timezone.now())
    TenantLock.objects.create(tenant=tenant)
    MetadataField.objects.create(tenant=tenant, key="city", label="City")
    SavedView.objects.create(tenant=tenant, actor="user:1", name="VIPs", filter={})
    first, second = sorted([new_ulid(), new_ulid()])
    Duplicate.objects.create(
        tenant=tenant, first_id=first, second_id=second, reasons=",email,", likelihood=60
    )
    return tenant


def rows_of(tenant: Tenant) -> dict[str, int]:
    return {
        model.__name__: model._base_manager.filter(tenant=tenant).count()
        for model in models_of_tenants()
    }


@pytest.mark.parametrize("selected", [False, True], ids=["one", "selected"])
def test_deleting_a_tenant_deletes_all_its_rows_and_no_others(
    superuser: Client, monkeypatch: pytest.MonkeyPatch, selected: bool
) -> None:
    monkeypatch.setattr(tenant_models, "DELETE_BATCH", 2)
    gone, other = full_tenant(), full_tenant()
    had = rows_of(other)
    assert all(had.values())
    if selected:
        data = {"action": "delete_selected", "_selected_action": [gone.pk], "post": "yes"}
        superuser.post(url(Tenant, "changelist"), data)
    else:
        superuser.post(url(Tenant, "delete", gone.pk), {"post": "yes"})
    assert [*Tenant.objects.all()] == [other]
    assert not any(rows_of(gone).values())
    assert rows_of(other) == had


def test_rows_are_deleted_some_at_a_time_until_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tenant_models, "DELETE_BATCH", 2)
    tenant, other = full_tenant(), full_tenant()
    had = rows_of(tenant)
    deleted = {
        model.__name__: tenant_models.delete_rows(model._base_manager.filter(tenant=tenant))
        for model in models_of_tenants()
    }
    assert deleted == had == rows_of(other)


def test_the_confirmation_of_a_deleted_tenant_counts_its_rows(superuser: Client) -> None:
    tenant = full_tenant()
    answer = superuser.get(url(Tenant, "delete", tenant.pk))
    assert dict(answer.context["model_count"]) == {
        "tenants": 1, "contacts": 5, "tags": 6, "changes": 5, "imports": 1, "exports": 1,
        "bulk actions": 1, "webhooks": 1, "deliveries": 3, "erasures": 3,
        "opt-outs": 3, "possible duplicates": 1,
    }  # fmt: skip
    assert "+14155550000" not in answer.content.decode()


def test_deleting_a_tenant_neither_shows_nor_deletes_row_by_row(superuser: Client) -> None:
    def cost(tenant: Tenant) -> int:
        page = url(Tenant, "delete", tenant.pk)
        superuser.get(page)
        return len(statements(lambda: (superuser.get(page), superuser.post(page, {"post": "yes"}))))

    cost(full_tenant())  # fills caches
    assert cost(full_tenant(contacts=1)) == cost(full_tenant(contacts=40))


@pytest.mark.parametrize(
    ("model", "values"),
    [(Import, {"state": Import.State.WRITING}), (BulkAction, {"finished_at": None})],
    ids=["import", "bulk action"],
)
def test_a_tenant_is_not_deleted_while_a_worker_uses_it(
    superuser: Client, model: Any, values: dict[str, Any]
) -> None:
    tenant = full_tenant()
    had = rows_of(tenant)
    model.objects.filter(tenant=tenant).update(**values)
    answer = superuser.get(url(Tenant, "delete", tenant.pk))
    assert answer.context["perms_lacking"] == {str(model._meta.verbose_name)}
    assert superuser.post(url(Tenant, "delete", tenant.pk), {"post": "yes"}).status_code == 403
    assert rows_of(tenant) == had


def test_a_tenant_with_users_is_not_deleted(superuser: Client, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant)
    for _ in range(20):
        UserFactory.create(tenant=acme.tenant)
    answer = superuser.post(url(Tenant, "delete", acme.tenant.pk), {"post": "yes"})
    page = answer.content.decode()
    assert page.count("/admin/tenants/user/") >= 20
    assert "and 1 more" in page
    with pytest.raises(ProtectedError):
        acme.tenant.delete()
    assert acme.tenant.contacts.count() == 1


def test_deleting_a_tenant_needs_permission_to_delete_its_rows(
    acme: SimpleNamespace,
) -> None:
    tenant = full_tenant()
    user = UserFactory.create(tenant=tenant, is_staff=True)
    rights = ["view_tenant", "delete_tenant", "delete_contact", "delete_tag"]
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    answer = logged_in(user).get(url(Tenant, "delete", tenant.pk))
    assert answer.context["perms_lacking"] >= {"import", "webhook", "delivery", "bulk action"}
    assert not answer.context["perms_lacking"] & {"contact", "tag"}
    assert logged_in(user).get(url(Tenant, "delete", acme.tenant.pk)).status_code == 302
