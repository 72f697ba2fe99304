"""Row-level security: PostgreSQL keeps tenants apart even if a query forgets its filter."""

import os
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, models, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client import CollectorRegistry

from contacts.db import statements
from contacts.models import (
    BulkAction,
    BulkBatch,
    Change,
    Contact,
    ContactCounts,
    ContactTag,
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
    Tag,
    TagCounts,
    TenantLock,
    Webhook,
    lists,
    stored,
)
from contacts.webhooks import outbox
from contacts.writing import consent
from tenants import isolation
from tenants.admin.scoped import TenantScopedAdmin
from tenants.fields import hex_id, new_ulid
from tenants.isolation import (
    ALL_TENANTS,
    NO_TENANT,
    current_tenant,
    install_wrapper,
    policies,
    tenant_context,
    tenants_context,
)
from tenants.models import Tenant, models_of_tenants
from tests.support.api import PHONE
from tests.support.databases import of_the_owner
from tests.support.documents import blocks
from tests.support.factories import TenantFactory

pytestmark = pytest.mark.both

OWNED = [
    BulkAction, BulkBatch, Change, Contact, ContactCounts, ContactTag, Delivery, Duplicate,
    DuplicateSearch, Erasure, Export, Import, ImportBatch, ImportFailure, MetadataField,
    NameFolding, NearKey, Note, OptOut, SavedView, StoredAnswer, Tag, TagCounts, TenantLock,
    Webhook,
]  # fmt: skip
of_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no row-level security"
)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restores the connection: the next test needs the wrapper only for a restricted role."""
    yield
    install_wrapper(connection, is_restricted="TEST_ROLE" in os.environ)


def be_restricted() -> None:
    """Continues as the restricted role of docs/operations.md until the test's transaction ends."""
    if "TEST_ROLE" in os.environ:
        return
    role = f"{connection.settings_dict['NAME']}_restricted"  # roles are global
    [recipe] = blocks("sql", "docs/operations.md")
    execute(recipe.replace("qyvo_app", role))
    execute(f"SET LOCAL ROLE {role}")
    install_wrapper(connection)  # as when this role connects


@pytest.fixture
def restricted(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    """Both tenants, and a role to which row-level security applies."""
    be_restricted()


def furnish(tenant: Tenant) -> None:
    """Creates a row of the tenant in each table."""
    tenant.contacts.update_or_create(phone=PHONE, defaults={"name": tenant.name, "tags": ["vip"]})
    job = Import.objects.create(
        tenant=tenant, file_name="shop.csv", options={"mode": "upsert"}, state=Import.State.DONE
    )
    ImportBatch.objects.create(tenant=tenant, job=job, number=0)
    Export.objects.create(tenant=tenant, format="csv", state=Export.State.DONE)
    ImportFailure.objects.create(tenant=tenant, job=job, line=2, error="No phone.")
    action = BulkAction.objects.create(tenant=tenant, kind=BulkAction.Kind.DELETE, total=1)
    BulkBatch.objects.create(tenant=tenant, action=action, number=0, contacts=b"")
    Erasure.objects.create(tenant=tenant, digest="0" * 64)
    consent.remember([OptOut.of_phone(tenant.pk, "+33612345678", timezone.now())])
    outbox.create(Webhook(tenant=tenant, url="https://shop.example/hook", events=[]))
    StoredAnswer.objects.create(tenant=tenant, token=1, key="order-1", request="0" * 64)
    DuplicateSearch.objects.create(tenant=tenant, place=[])
    NearKey.objects.create(tenant=tenant, pk=new_ulid(), beginning=1, tail=2)
    Note.objects.create(tenant=tenant, contact_id=new_ulid(), author="user:1", text="x")
    NameFolding.objects.create(tenant=tenant, version=1, place=[])
    TagCounts.objects.create(tenant=tenant, numbers={}, snapshot="", counted_at=timezone.now())
    ContactCounts.objects.create(tenant=tenant, zone="UTC", numbers={}, counted_at=timezone.now())
    TenantLock.objects.get_or_create(tenant=tenant)
    MetadataField.objects.create(tenant=tenant, key="city", label="City")
    SavedView.objects.create(tenant=tenant, actor="user:1", name="VIPs", filter={})
    first, second = sorted([new_ulid(), new_ulid()])
    Duplicate.objects.create(
        tenant=tenant, first_id=first, second_id=second, reasons=",email,", likelihood=60
    )


# Policies


@of_postgresql
@of_the_owner
@pytest.mark.django_db
def test_renewed_policies_are_those_of_this_version() -> None:
    every = "SELECT DISTINCT pg_get_expr(polqual, polrelid) FROM pg_policy"
    [current] = rows(every)
    execute("ALTER POLICY tenant_isolation ON contacts_tag USING (true)")
    policies.renew_policies(apps, connection.schema_editor())
    assert rows(every) == [current]


# Rows


@of_postgresql
@of_the_owner
def test_a_connection_sends_the_tenant_only_if_row_level_security_applies_to_its_role(
    acme: SimpleNamespace,
) -> None:
    wrappers = connection.execute_wrappers
    isolation.configure_connection(connection)
    assert isolation.rls_wrapper not in wrappers, "the owner"
    be_restricted()
    isolation.configure_connection(connection)
    assert isolation.rls_wrapper in wrappers
    execute("RESET ROLE")
    isolation.configure_connection(connection)
    assert isolation.rls_wrapper not in wrappers, "reopened by the owner"


@of_postgresql
@pytest.mark.parametrize("model", OWNED, ids=lambda model: model.__name__)
def test_a_query_without_a_filter_finds_only_the_rows_of_the_current_tenant(
    restricted: None,
    without_guard: None,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    model: Any,
) -> None:
    furnish(acme.tenant)
    furnish(globex.tenant)
    everything = model._default_manager.all()
    assert {row.tenant_id for row in everything} == {acme.tenant.pk, globex.tenant.pk}
    with tenant_context(globex.tenant.pk):
        assert {row.tenant_id for row in everything.all()} == {globex.tenant.pk}
        others = model._default_manager.filter(tenant=acme.tenant)
        assert not others.exists()
        assert models.QuerySet.update(others, tenant=globex.tenant) == 0
        assert others._raw_delete(others.db) == 0
    with tenant_context(None):
        assert not everything.all().exists()
    with tenants_context([globex.tenant.pk, TenantFactory.create().pk]):
        assert {row.tenant_id for row in everything.all()} == {globex.tenant.pk}
    with tenants_context([globex.tenant.pk, acme.tenant.pk]):
        assert {row.tenant_id for row in everything.all()} == {acme.tenant.pk, globex.tenant.pk}


@of_postgresql
def test_metrics_cover_all_tenants(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    from qyvo.metrics import Stored, of_all_tenants

    furnish(acme.tenant)
    furnish(globex.tenant)
    registry = CollectorRegistry()
    registry.register(Stored())
    with tenant_context(None):
        assert b'qyvo_queue_depth{queue="deliveries"} 2.0' in of_all_tenants(registry)
        assert not Delivery.objects.exists()


@of_postgresql
def test_rows_of_another_tenant_cannot_be_written(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    furnish(acme.tenant)
    for whom in (globex.tenant.pk, None):
        with (
            tenant_context(whom),
            pytest.raises(ProgrammingError, match="row-level security"),
            transaction.atomic(),
        ):
            acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"name": "Mallory"})
    with tenant_context(globex.tenant.pk), pytest.raises(ProgrammingError), transaction.atomic():
        Tag.objects.bulk_create([Tag(tenant=acme.tenant, name="mine")])
    assert Contact.objects.get().name == acme.tenant.name


# Requests


def all_of(model: Any, tenant: Tenant) -> Any:
    return model.objects.all()


@pytest.fixture
def without_filter(without_guard: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the tenant filter from every query."""
    for name in ("contacts", "tags", "changes", "imports", "exports", "webhooks"):
        model: Any = Tenant._meta.get_field(name).related_model
        monkeypatch.setattr(Tenant, name, property(partial(all_of, model)))
    monkeypatch.setattr(stored, "look_up_sql", look_up_sql_of_all)
    # Another step is another shape: the SQL that is kept for other tests stays.
    monkeypatch.setattr(lists, "of_tenant", lambda tenant: Contact.objects.all())


def look_up_sql_of_all(columns: tuple[str, ...]) -> str:
    sql = statements.look_up_sql(columns)
    return sql.replace("tenant_id = %(tenant)s", "CAST(%(tenant)s AS text) IS NOT NULL")


@pytest.fixture
def belongings(acme: SimpleNamespace) -> dict[str, str]:
    """The ids of rows of Acme, which an attacker would have to know."""
    furnish(acme.tenant)
    return {
        "contact": Contact.objects.get().pk,
        "import": Import.objects.get().pk,
        "export": Export.objects.get().pk,
        "webhook": Webhook.objects.get().pk,
    }


def shown(globex: SimpleNamespace, of_acme: dict[str, str]) -> dict[str, Any]:
    """The results of requests by `globex` for rows of Acme: numbers of rows, or status codes."""
    api, contact = globex.api, of_acme["contact"]
    return {
        "get": api.act("get-contact", contact_id=contact).status_code,
        "by phone": api.act("get-contact", phone=PHONE).status_code,
        "search": len(api.act("search-contacts").json()),
        "list": len(api.act("list-contacts").json()["data"]),
        "changes": api.act("list-changes", contact_id=contact).status_code,
        "tags": len(api.act("list-tags").json()),
        "import": api.get(f"/api/v1/imports/{of_acme['import']}").status_code,
        "export": api.get(f"/api/v1/exports/{of_acme['export']}").status_code,
        "webhooks": len(api.get("/api/v1/webhooks").json()),
        "webhook": api.get(f"/api/v1/webhooks/{of_acme['webhook']}").status_code,
        "update": api.act("update-contact", contact_id=contact, name="Mallory").status_code,
        "tag": api.act("add-tag", contact_id=contact, tag="mine").status_code,
        "delete": api.act("delete-contact", contact_id=contact).status_code,
    }


@of_postgresql
def test_without_filters_a_tenant_can_neither_read_nor_change_another_tenant(
    restricted: None,
    belongings: dict[str, str],
    without_filter: None,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
) -> None:
    assert {*shown(globex, belongings).values()} == {0, 404}
    assert Contact.objects.get().name == acme.tenant.name
    assert shown(acme, belongings)["get"] == 200


def test_the_fixture_really_removes_the_filters(
    belongings: dict[str, str],
    without_filter: None,
    globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the test above would prove nothing."""
    monkeypatch.setattr("tenants.views.set_tenant", lambda tenant_id: isolation.end_request())
    assert not {*shown(globex, belongings).values()} & {0, 404}


@of_postgresql
@pytest.mark.usefixtures("without_guard")
def test_without_filters_the_admin_still_shows_staff_only_their_tenant_and_superusers_all(
    restricted: None,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TenantScopedAdmin, "visible", lambda self, request, rows: rows)
    furnish(acme.tenant)
    furnish(globex.tenant)
    [of_acme] = acme.tenant.contacts.all()
    page = f"/admin/contacts/contact/{of_acme.pk}/change/"
    user = globex.user
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="contacts"))
    web = Client()
    web.force_login(user)
    people = web.get("/admin/contacts/contact/").content.decode()
    assert "Globex" in people
    assert "Acme Co." not in people
    assert web.get(page).status_code == 302
    user.is_superuser = True
    user.save()
    assert "Acme Co." in web.get("/admin/contacts/contact/").content.decode()
    assert web.get(page).status_code == 200


@of_postgresql
def test_commands_have_access_to_all_tenants(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "shop.csv"
    file.write_text(f"phone,tags\n{PHONE},vip\n+14155550124,vip\n")
    for slug in ("acme", "globex"):
        call_command("import_contacts", str(file), "--tenant", slug, stdout=StringIO())
    out = StringIO()
    call_command("retag", "--rename", "vip=customer", "--all-tenants", stdout=out)
    assert "contacts retagged: 4" in out.getvalue()
    call_command("check_contacts", "--all-tenants", stdout=out)
    assert {tuple(contact.tags) for contact in Contact.objects.all()} == {("customer",)}


# How PostgreSQL receives the tenant


def setting() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('qyvo.tenant', true)")
        return cursor.fetchone()[0] or NO_TENANT


@pytest.fixture
def acme_id(acme: SimpleNamespace) -> str:
    install_wrapper(connection)
    return hex_id(acme.tenant.pk)


@of_postgresql
@pytest.mark.django_db(transaction=True)
def test_the_setting_ends_with_the_transaction(acme: SimpleNamespace, acme_id: str) -> None:
    for _ in range(2):
        with tenant_context(acme.tenant.pk):
            assert setting() == acme_id
            with transaction.atomic():
                assert setting() == acme_id
        with tenant_context(None):
            assert setting() == NO_TENANT
            with transaction.atomic():
                assert setting() == NO_TENANT


@of_postgresql
def test_the_setting_is_sent_again_if_the_tenant_changes_inside_a_transaction(
    acme: SimpleNamespace, globex: SimpleNamespace, acme_id: str
) -> None:
    """Also after a rollback to a savepoint, which undoes the setting."""
    of_globex = hex_id(globex.tenant.pk)
    assert setting() == ALL_TENANTS
    with tenant_context(acme.tenant.pk):
        assert setting() == acme_id
        start = transaction.savepoint()
        with tenant_context(globex.tenant.pk):
            assert setting() == of_globex
            transaction.savepoint_rollback(start)
            assert setting() == of_globex
        assert setting() == acme_id
        transaction.savepoint_rollback(start)
        assert setting() == acme_id
    assert setting() == ALL_TENANTS


@of_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", [None, 4])
def test_every_kind_of_statement_has_the_setting(
    acme: SimpleNamespace, acme_id: str, level: int | None
) -> None:
    """Also prepared statements, and transactions with another isolation level."""
    from contacts.db.connections import prepared_cursor

    query = "SELECT current_setting('qyvo.tenant', true), current_setting('transaction_isolation')"
    connection.ensure_connection()
    connection.connection.isolation_level = level
    expected = (acme_id, "serializable" if level else "read committed")
    try:
        with tenant_context(acme.tenant.pk):
            for number in range(7):  # psycopg prepares the statement on the way
                with prepared_cursor("default") as cursor:
                    cursor.execute(f"{query} WHERE %s >= 0", [number])
                    assert cursor.fetchall()[0][0] == acme_id
                with transaction.atomic(), prepared_cursor("default") as cursor:
                    cursor.execute(f"{query} WHERE %s >= 0", [number])
                    assert cursor.fetchall() == [expected]
            with pytest.raises(ProgrammingError), prepared_cursor("default") as cursor:
                cursor.execute("SELECT nothing")
            assert setting() == acme_id
    finally:
        connection.close()


def test_the_setting_is_sent_only_with_statements_that_read_or_write_rows() -> None:
    """Other statements, such as VACUUM, must run alone."""
    for statement in ("SELECT 1", "(SELECT 1)", "\nWITH x AS (SELECT 1) SELECT 2", "delete from x"):
        assert isolation.ROW_STATEMENT.match(statement)
    for statement in ("CREATE INDEX CONCURRENTLY", "VACUUM", "SAVEPOINT a", "ANALYZE x"):
        assert not isolation.ROW_STATEMENT.match(statement)


def test_before_authentication_queries_return_no_rows(
    acme: SimpleNamespace, outsider: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def data(serializer: object) -> dict[str, str]:
        seen.append(current_tenant())
        return {}

    monkeypatch.setattr("tenants.views.MeSerializer.data", property(data))
    acme.api.get("/api/v1/me")
    outsider.api.get("/api/v1/me")
    assert seen == [NO_TENANT, NO_TENANT]
    assert current_tenant() == ALL_TENANTS


# check_isolation


def problem() -> str:
    with pytest.raises(CommandError) as error:
        call_command("check_isolation")
    return str(error.value)


@of_postgresql
def test_check_isolation_passes_if_every_table_is_protected(
    restricted: None, acme: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    furnish(acme.tenant)
    call_command("check_isolation")
    assert "to their own tenant only" in capsys.readouterr().out


@of_postgresql
@of_the_owner
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("ALTER TABLE contacts_tag DISABLE ROW LEVEL SECURITY", "contacts_tag has no row-level"),
        ("DROP POLICY tenant_isolation ON contacts_tag", "contacts_tag has no policy"),
        ("ALTER POLICY tenant_isolation ON contacts_tag TO postgres", "contacts_tag has no policy"),
        ("CREATE POLICY more ON contacts_tag USING (true)", "other policies: more"),
        (
            "ALTER POLICY tenant_isolation ON contacts_contact USING (true)",
            "contacts_contact shows rows although no tenant is set",
        ),
        ("CREATE TABLE staged (tenant_id uuid)", "staged has no row-level security"),
    ],
)
def test_check_isolation_finds_an_unprotected_table(
    acme: SimpleNamespace, change: str, sentence: str
) -> None:
    furnish(acme.tenant)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute(change)
    be_restricted()
    assert sentence in problem()


@of_postgresql
@of_the_owner
@pytest.mark.django_db
def test_check_isolation_finds_a_role_that_bypasses_row_level_security() -> None:
    assert "superuser" in problem()
    be_restricted()
    [role] = rows("SELECT current_user")
    execute("RESET ROLE")
    execute(f'ALTER ROLE "{role}" BYPASSRLS')
    execute(f'SET LOCAL ROLE "{role}"')
    assert "BYPASSRLS" in problem()
    execute("RESET ROLE")
    execute(f'ALTER ROLE "{role}" NOBYPASSRLS')
    execute(f'ALTER TABLE contacts_tag OWNER TO "{role}"')
    execute(f'SET LOCAL ROLE "{role}"')
    assert problem().endswith("it owns contacts_tag.")
    execute("RESET ROLE")
    execute("ALTER TABLE contacts_tag FORCE ROW LEVEL SECURITY")
    execute(f'SET LOCAL ROLE "{role}"')
    call_command("check_isolation")


def rows(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [value for (value,) in cursor.fetchall()]


@pytest.mark.django_db
def test_check_isolation_fails_on_sqlite() -> None:
    if connection.vendor == "sqlite":
        assert problem() == "SQLite has no row-level security."


@of_postgresql
@of_the_owner
@pytest.mark.django_db
def test_the_deployment_checks_warn_if_the_role_bypasses_row_level_security() -> None:
    from tenants.checks import check_row_level_security

    assert check_row_level_security() == [], "the database is not named"
    [warning] = check_row_level_security(databases=["default"])
    assert warning.id == "tenants.W001"
    be_restricted()
    assert check_row_level_security(databases=["default"]) == []


@of_postgresql
@of_the_owner
@pytest.mark.django_db(transaction=True)
def test_the_migration_of_the_policies_is_reversible() -> None:
    count = "SELECT count(*) FROM pg_policy"
    try:
        call_command("migrate", "contacts", "0011", verbosity=0)
        assert rows(count) == [0]
    finally:
        call_command("migrate", "contacts", verbosity=0)
    assert rows(count) == [len(OWNED)]


def test_each_table_of_a_tenant_is_looked_at() -> None:
    """The policies are counted by a role that owns the tables only: see the test above."""
    assert {*OWNED} == {
        model for model in models_of_tenants() if model._meta.app_label == "contacts"
    }
