"""The database itself keeps tenants apart, also where a query forgets to ask for one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, models, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client import CollectorRegistry

from contacts.models import (
    BulkAction,
    BulkBatch,
    Change,
    Contact,
    ContactTag,
    Delivery,
    Erasure,
    Import,
    ImportBatch,
    ImportFailure,
    OptOut,
    Tag,
    Webhook,
)
from contacts.webhooks import outbox
from contacts.writing import consent
from tenants import isolation
from tenants.admin.scoped import TenantScopedAdmin
from tenants.isolation import EVERYBODY, NOBODY, always_tell, seeing, whose
from tenants.models import Tenant

from .api import PHONE
from .conftest import of_the_owner
from .documents import blocks

ROOT = Path(__file__).resolve().parent.parent
OWNED = [
    BulkAction, BulkBatch, Change, Contact, ContactTag, Delivery, Erasure, Import, ImportBatch,
    ImportFailure, OptOut, Tag, Webhook,
]  # fmt: skip
of_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no row-level security"
)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Where the tests themselves connect as the owner, the next one need not tell."""
    yield
    always_tell(connection, is_held="TEST_ROLE" in os.environ)


def be_restricted() -> None:
    """Until the test's transaction ends: the role of docs/operations.md, which is gone with it."""
    if "TEST_ROLE" in os.environ:
        return
    role = f"{connection.settings_dict['NAME']}_restricted"  # roles are those of all databases
    [recipe] = blocks("sql", "docs/operations.md")
    execute(recipe.replace("qyvo_app", role))
    execute(f"SET LOCAL ROLE {role}")
    always_tell(connection)  # as it does where that role connects


@pytest.fixture
def restricted(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    """The cast, and a role for which row-level security holds."""
    be_restricted()


def furnish(tenant: Tenant) -> None:
    """A row of the tenant in each table."""
    tenant.contacts.update_or_create(phone=PHONE, defaults={"name": tenant.name, "tags": ["vip"]})
    job = Import.objects.create(
        tenant=tenant, file_name="shop.csv", options={"mode": "upsert"}, state=Import.State.DONE
    )
    ImportBatch.objects.create(tenant=tenant, job=job, number=0)
    ImportFailure.objects.create(tenant=tenant, job=job, line=2, error="No phone.")
    action = BulkAction.objects.create(tenant=tenant, kind=BulkAction.Kind.DELETE, total=1)
    BulkBatch.objects.create(tenant=tenant, action=action, number=0, contacts=b"")
    Erasure.objects.create(tenant=tenant, digest="0" * 64)
    consent.remember([OptOut.of_phone(tenant.pk, "+33612345678", timezone.now())])
    outbox.create(Webhook(tenant=tenant, url="https://shop.example/hook", events=[]))


# Rows


@of_postgresql
@of_the_owner
def test_a_connection_tells_whose_rows_it_sees_where_its_role_is_held_to_that(
    acme: SimpleNamespace,
) -> None:
    told = connection.execute_wrappers
    isolation.tell_connection(connection)
    assert isolation.telling not in told, "the owner"
    be_restricted()
    isolation.tell_connection(connection)
    assert isolation.telling in told
    execute("RESET ROLE")
    isolation.tell_connection(connection)
    assert isolation.telling not in told, "opened again by the owner"


@of_postgresql
@pytest.mark.parametrize("model", OWNED, ids=lambda model: model.__name__)
def test_a_query_without_a_filter_finds_the_rows_of_one_tenant(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace, model: Any
) -> None:
    furnish(acme.tenant)
    furnish(globex.tenant)
    everything = model._default_manager.all()
    assert {row.tenant_id for row in everything} == {acme.tenant.pk, globex.tenant.pk}
    with seeing(globex.tenant.pk):
        assert {row.tenant_id for row in everything.all()} == {globex.tenant.pk}
        others = model._default_manager.filter(tenant=acme.tenant)
        assert not others.exists()
        assert models.QuerySet.update(others, tenant=globex.tenant) == 0
        assert others._raw_delete(others.db) == 0
    with seeing(None):
        assert not everything.all().exists()
    assert everything.filter(tenant=acme.tenant).exists()


@of_postgresql
def test_metrics_are_of_all_tenants(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    from qyvo.metrics import Stored, of_everybody

    furnish(acme.tenant)
    furnish(globex.tenant)
    registry = CollectorRegistry()
    registry.register(Stored())
    with seeing(None):
        assert b'qyvo_queue_depth{queue="deliveries"} 2.0' in of_everybody(registry)
        assert not Delivery.objects.exists()


@of_postgresql
def test_no_row_is_written_for_another_tenant(
    restricted: None, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    furnish(acme.tenant)
    for whom in (globex.tenant.pk, None):
        with (
            seeing(whom),
            pytest.raises(ProgrammingError, match="row-level security"),
            transaction.atomic(),
        ):
            acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"name": "Mallory"})
    with seeing(globex.tenant.pk), pytest.raises(ProgrammingError), transaction.atomic():
        Tag.objects.bulk_create([Tag(tenant=acme.tenant, name="mine")])
    assert Contact.objects.get().name == acme.tenant.name


# Requests


def all_of(model: Any, tenant: Tenant) -> Any:
    return model.objects.all()


@pytest.fixture
def without_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every query had forgotten its tenant."""
    for name in ("contacts", "tags", "changes", "imports", "webhooks"):
        model: Any = Tenant._meta.get_field(name).related_model
        monkeypatch.setattr(Tenant, name, property(partial(all_of, model)))


@pytest.fixture
def belongings(acme: SimpleNamespace) -> dict[str, str]:
    """What an outsider would have to know of Acme."""
    furnish(acme.tenant)
    return {
        "contact": Contact.objects.get().pk,
        "import": Import.objects.get().pk,
        "webhook": Webhook.objects.get().pk,
    }


def shown(globex: SimpleNamespace, of_acme: dict[str, str]) -> dict[str, Any]:
    """What requests of Globex find, and do, of Acme's."""
    api, contact = globex.api, of_acme["contact"]
    return {
        "get": api.act("get-contact", contact_id=contact).status_code,
        "by phone": api.act("get-contact", phone=PHONE).status_code,
        "search": len(api.act("search-contacts").json()),
        "list": len(api.act("list-contacts").json()["data"]),
        "changes": api.act("list-changes", contact_id=contact).status_code,
        "tags": len(api.act("list-tags").json()),
        "import": api.get(f"/api/v1/imports/{of_acme['import']}").status_code,
        "webhooks": len(api.get("/api/v1/webhooks").json()),
        "webhook": api.get(f"/api/v1/webhooks/{of_acme['webhook']}").status_code,
        "update": api.act("update-contact", contact_id=contact, name="Mallory").status_code,
        "tag": api.act("add-tag", contact_id=contact, tag="mine").status_code,
        "delete": api.act("delete-contact", contact_id=contact).status_code,
    }


@of_postgresql
def test_without_the_filter_a_tenant_still_sees_and_changes_nothing_of_another(
    restricted: None,
    belongings: dict[str, str],
    without_filter: None,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
) -> None:
    assert {*shown(globex, belongings).values()} == {0, 404}
    assert Contact.objects.get().name == acme.tenant.name
    assert shown(acme, belongings)["get"] == 200


def test_the_filter_is_really_gone(
    belongings: dict[str, str],
    without_filter: None,
    globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the test above would show nothing."""
    monkeypatch.setattr("tenants.views.see", lambda tenant_id: isolation.end_request())
    assert not {*shown(globex, belongings).values()} & {0, 404}


@of_postgresql
def test_without_its_filter_the_admin_shows_staff_their_own_tenant_and_superusers_all(
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
def test_commands_work_on_all_tenants(
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


# How it is told


def setting() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('qyvo.tenant', true)")
        return cursor.fetchone()[0] or NOBODY


@pytest.fixture
def acme_id(acme: SimpleNamespace) -> str:
    always_tell(connection)
    return isolation.digits(acme.tenant.pk)


@of_postgresql
@pytest.mark.django_db(transaction=True)
def test_what_was_told_does_not_outlive_the_transaction(
    acme: SimpleNamespace, acme_id: str
) -> None:
    for _ in range(2):
        with seeing(acme.tenant.pk):
            assert setting() == acme_id
            with transaction.atomic():
                assert setting() == acme_id
        with seeing(None):
            assert setting() == NOBODY
            with transaction.atomic():
                assert setting() == NOBODY


@of_postgresql
def test_it_is_told_anew_where_it_changes_inside_a_transaction(
    acme: SimpleNamespace, globex: SimpleNamespace, acme_id: str
) -> None:
    """Also where it was told since a savepoint, and that is rolled back."""
    of_globex = isolation.digits(globex.tenant.pk)
    assert setting() == EVERYBODY
    with seeing(acme.tenant.pk):
        assert setting() == acme_id
        start = transaction.savepoint()
        with seeing(globex.tenant.pk):
            assert setting() == of_globex
            transaction.savepoint_rollback(start)
            assert setting() == of_globex
        assert setting() == acme_id
        transaction.savepoint_rollback(start)
        assert setting() == acme_id
    assert setting() == EVERYBODY


@of_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", [None, 4])
def test_every_kind_of_statement_is_told(
    acme: SimpleNamespace, acme_id: str, level: int | None
) -> None:
    """Prepared ones too, and those of transactions of another level."""
    from contacts.db.connections import prepared

    query = "SELECT current_setting('qyvo.tenant', true), current_setting('transaction_isolation')"
    connection.ensure_connection()
    connection.connection.isolation_level = level
    expected = (acme_id, "serializable" if level else "read committed")
    try:
        with seeing(acme.tenant.pk):
            for number in range(7):  # prepared on the way
                with prepared("default") as cursor:
                    cursor.execute(f"{query} WHERE %s >= 0", [number])
                    assert cursor.fetchall()[0][0] == acme_id
                with transaction.atomic(), prepared("default") as cursor:
                    cursor.execute(f"{query} WHERE %s >= 0", [number])
                    assert cursor.fetchall() == [expected]
            with pytest.raises(ProgrammingError), prepared("default") as cursor:
                cursor.execute("SELECT nothing")
            assert setting() == acme_id
    finally:
        connection.close()


def test_only_statements_of_rows_become_two() -> None:
    """Others cannot run beside another one."""
    for statement in ("SELECT 1", "(SELECT 1)", "\nWITH x AS (SELECT 1) SELECT 2", "delete from x"):
        assert isolation.OF_ROWS.match(statement)
    for statement in ("CREATE INDEX CONCURRENTLY", "VACUUM", "SAVEPOINT a", "ANALYZE x"):
        assert not isolation.OF_ROWS.match(statement)


def test_a_request_sees_nothing_until_it_is_known_who_asks(
    acme: SimpleNamespace, outsider: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def data(serializer: object) -> dict[str, str]:
        seen.append(whose())
        return {}

    monkeypatch.setattr("tenants.views.MeSerializer.data", property(data))
    acme.api.get("/api/v1/me")
    outsider.api.get("/api/v1/me")
    assert seen == [NOBODY, NOBODY]
    assert whose() == EVERYBODY


def test_a_process_sees_every_tenant_where_it_is_the_operators(tmp_path: Path) -> None:
    show = "from tenants.isolation import whose; print(repr(whose()))"
    environment = os.environ | {"DATA_DIR": str(tmp_path)}
    for command, seen in [
        ([sys.executable, "manage.py", "shell", "-v0", "-c", show], EVERYBODY),
        ([sys.executable, "-c", f"import qyvo.wsgi; {show}"], NOBODY),
    ]:
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == repr(seen)


# check_isolation


def problem() -> str:
    with pytest.raises(CommandError) as error:
        call_command("check_isolation")
    return str(error.value)


@of_postgresql
def test_check_isolation_is_content_where_every_table_is_protected(
    restricted: None, acme: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    furnish(acme.tenant)
    call_command("check_isolation")
    assert "that tenant only" in capsys.readouterr().out


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
            "contacts_contact shows rows before it is told whose",
        ),
        ("CREATE TABLE staged (tenant_id uuid)", "staged has no row-level security"),
    ],
)
def test_check_isolation_finds_a_table_that_is_not_protected(
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
def test_check_isolation_finds_a_role_that_bypasses() -> None:
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
def test_sqlite_keeps_nobody_apart() -> None:
    if connection.vendor == "sqlite":
        assert problem() == "SQLite has no row-level security."


@of_postgresql
@of_the_owner
@pytest.mark.django_db
def test_the_deployment_checks_warn_of_a_role_that_bypasses() -> None:
    from tenants.checks import check_row_level_security

    assert check_row_level_security() == [], "not asked to look at the database"
    [warning] = check_row_level_security(databases=["default"])
    assert warning.id == "tenants.W001"
    be_restricted()
    assert check_row_level_security(databases=["default"]) == []


@of_postgresql
@of_the_owner
@pytest.mark.django_db(transaction=True)
def test_the_policies_can_be_taken_back() -> None:
    count = "SELECT count(*) FROM pg_policy"
    try:
        call_command("migrate", "contacts", "0011", verbosity=0)
        assert rows(count) == [0]
    finally:
        call_command("migrate", "contacts", verbosity=0)
    assert rows(count) == [len(OWNED)]
