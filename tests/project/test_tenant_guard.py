"""The guard of statements finds each table whose tenant is not compared."""

import pytest
from django.db import connection

from contacts.models import Contact
from tenants.isolation import tenant_context, tenants_context
from tests.support import tenant_guard
from tests.support.factories import ContactFactory, TenantFactory

pytest.importorskip("sqlglot")

JOINED = "SELECT * FROM contacts_contact AS c JOIN contacts_contacttag AS l ON l.contact_id = c.id"

INSIDE = "DELETE FROM contacts_tag WHERE tenant_id = %s AND id IN (SELECT x FROM contacts_change)"
BESIDE = "SELECT 1 FROM tenants_tenant AS t WHERE EXISTS (SELECT 1 FROM contacts_tag WHERE {})"
USING = "WITH gone AS (DELETE FROM contacts_tag AS t USING given WHERE t.id = given.id) SELECT 1"


@pytest.mark.parametrize(
    ("sql", "lacking"),
    [
        ("SELECT 1 FROM contacts_tag WHERE tenant_id = %s AND id = %s", None),
        ("SELECT 1 FROM contacts_tag WHERE id = %(id)s FOR UPDATE", ("lock", "contacts_tag")),
        (f"{JOINED} WHERE c.tenant_id = %s", ("select", "contacts_contacttag")),
        (f"{JOINED} AND l.tenant_id = c.tenant_id WHERE c.tenant_id = %s", None),
        ("UPDATE contacts_tag SET tenant_id = %s WHERE id = %s", ("update", "contacts_tag")),
        (INSIDE, ("select", "contacts_change")),
        (USING, ("delete", "contacts_tag")),
        ("INSERT INTO contacts_tag (id, tenant_id) VALUES (%s, %s)", None),
        ("SELECT 1 FROM tenants_tenant WHERE id = %s", None),
        ("SELECT 1 FROM tenants_tenant WHERE id = %s FOR SHARE", ("lock", "tenants_tenant")),
        (BESIDE.format("tenant_id = t.id"), ("select", "tenants_tenant")),
        ("SELECT FROM WHERE contacts_tag", ("unreadable", "SELECT FROM WHERE contacts_tag")),
    ],
)
def test_a_statement_names_the_tenant_of_each_table(
    sql: str, lacking: tuple[str, str] | None
) -> None:
    found = tenant_guard.problems(tenant_guard.normal(sql))
    assert [*found] == ([lacking] if lacking else [])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM contacts_tag WHERE tenant_id IS NOT NULL",
        "SELECT 1 FROM contacts_tag WHERE tenant_id <> %s",
        "SELECT 1 FROM contacts_tag WHERE NOT tenant_id = %s",
        "SELECT 1 FROM contacts_tag WHERE tenant_id = %s OR id = %s",
        "SELECT 1 FROM contacts_tag AS t WHERE t.tenant_id = t.tenant_id",
        f"{JOINED} AND l.tenant_id = c.tenant_id WHERE c.id = %s",
        "SELECT 1 FROM given JOIN (contacts_tag AS t JOIN names ON true) ON given.tenant_id = %s",
    ],
)
def test_a_condition_that_rows_of_other_tenants_meet_does_not_name_the_tenant(sql: str) -> None:
    assert tenant_guard.problems(tenant_guard.normal(sql))


@pytest.mark.django_db
def test_what_is_sent_for_one_tenant_is_judged() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the guard reads PostgreSQL's statements")
    contact = ContactFactory.create()
    list(Contact.all_phones.filter(pk=contact.pk))
    assert not tenant_guard.found, "asked for all tenants"
    with tenant_context(contact.tenant_id):
        list(Contact.all_phones.filter(pk=contact.pk))
        assert tenant_guard.found
        tenant_guard.found.clear()
        list(Contact.all_phones.filter(tenant=contact.tenant_id, pk=contact.pk))
    assert not tenant_guard.found
    with tenants_context([contact.tenant_id, TenantFactory.create().pk]):
        list(Contact.all_phones.filter(pk=contact.pk))
    assert tenant_guard.found, "asked for several tenants"
    tenant_guard.found.clear()
