"""Searches by the function of the database that finds contacts past row-level security."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections

from contacts.db import checks, trigrams
from contacts.models import Contact
from tenants.fields import hex_id
from tenants.isolation import all_tenants_context, tenant_context
from tests.support.factories import ContactFactory

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only"),
]
SEARCH = "SELECT replace(contacts_search(%s, %s, %s)::text, '-', '')"


@pytest.fixture
def people(acme: SimpleNamespace, globex: SimpleNamespace) -> dict[str, Contact]:
    return {
        member.tenant.slug: ContactFactory.create(
            tenant=member.tenant, phone="+14155550123", name="Zoé", email="zoe@x.example"
        )
        for member in (acme, globex)
    }


@pytest.fixture
def database(db: None) -> Any:
    """The connection itself, and not the proxy, whose attributes cannot be patched."""
    connection.ensure_connection()
    return connections[DEFAULT_DB_ALIAS]


@pytest.fixture
def used(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that call the function, which is used although the index may be missing."""
    if not database.is_restricted:
        pytest.skip("is about the role that row-level security holds for")
    monkeypatch.setattr(database, "has_search_function", True, raising=False)
    calls: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        calls.extend([sql] * ("contacts_search(" in sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield calls


def ids(*patterns: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(SEARCH, patterns)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.usefixtures("without_guard")
def test_the_function_finds_contacts_of_the_current_tenant_only(
    people: dict[str, Contact], used: list[str]
) -> None:
    everybody: list[list[str]] = [["%"], ["%"], ["%"]]
    for contact in people.values():
        with tenant_context(contact.tenant_id):
            assert ids(*everybody) == [hex_id(contact.pk)]
            assert [c.pk for c in Contact.objects.all().matching("zoe")] == [contact.pk]
    with tenant_context(None):
        assert ids(*everybody) == []
    with all_tenants_context():
        assert ids(*everybody) == [], "no caller may find the contacts of all tenants"


def test_a_search_by_the_function_finds_what_a_search_without_it_finds(
    acme: SimpleNamespace, people: dict[str, Contact], used: list[str]
) -> None:
    def found(query: str) -> int:
        with tenant_context(acme.tenant.pk):
            return acme.tenant.contacts.matching(query).count()

    expected = {"zoe": 1, "ZOÉ": 1, "@x.ex": 1, "4155550": 1, "%zo": 0, "_oe": 0, "o\\e": 0}
    assert {query: found(query) for query in expected} == expected
    assert len(used) == len(expected)
    assert found("zo") == 1
    assert len(used) == len(expected), "an index of trigrams finds no two letters"
    quoted = "'; SELECT 1; --"
    assert found(quoted) == 0


def test_without_the_index_or_the_right_to_execute_the_condition_itself_is_used(
    acme: SimpleNamespace,
    people: dict[str, Contact],
    used: list[str],
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "has_search_function", False)
    with tenant_context(acme.tenant.pk):
        assert acme.tenant.contacts.matching("zoe").count() == 1
    assert used == []


def test_nobody_may_execute_the_function_without_being_granted_it(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT prosecdef, proconfig::text, has_function_privilege('public', oid, 'EXECUTE')"
            " FROM pg_proc WHERE proname = 'contacts_search'"
        )
        [(runs_as_owner, config, is_public)] = cursor.fetchall()
    assert runs_as_owner
    assert "search_path=pg_catalog, pg_temp" in config
    assert not is_public


def test_a_tenant_that_is_no_tenant_is_an_error_and_finds_nobody(used: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL qyvo.tenant = 'x'' OR true --'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            cursor.cursor.execute("SELECT contacts_search('{%}', '{%}', '{%}')")


def test_check_deploy_says_that_searches_have_no_index(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigrams, "HAS_INDEX", "false")
    [warning] = checks.check_trigrams(databases=["default"])
    assert warning.id == "contacts.W003"
    monkeypatch.setattr(trigrams, "HAS_INDEX", "true")
    monkeypatch.setattr(database, "is_restricted", False)
    assert checks.check_trigrams(databases=["default"]) == []
    monkeypatch.setattr(database, "is_restricted", True)
    monkeypatch.setattr(trigrams, "MAY_EXECUTE", "false")
    [warning] = checks.check_trigrams(databases=["default"])
    assert "EXECUTE" in (warning.hint or "")
