"""What `distribute` would do on a cluster of Citus; tests/system/test_citus.py has a real one."""

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.models import PositiveIntegerField

from contacts.db.distribution import rows
from contacts.models import Tag
from tenants.isolation.sharding import SchemaEditor
from tests.support.commands import lines

pytestmark = [pytest.mark.both, pytest.mark.django_db]
postgresql_only = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL can be distributed"
)
KEYS = "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND cardinality(conkey) = 1"


def test_a_database_without_citus_is_refused() -> None:
    words = "extension citus" if connection.vendor == "postgresql" else "SQLite cannot be"
    with pytest.raises(CommandError, match=words):
        lines("distribute")


@postgresql_only
def test_a_dry_run_prints_one_transaction_in_the_order_that_works_and_changes_nothing() -> None:
    before = rows(KEYS)
    sql = lines("distribute", "--dry-run")
    assert (sql[0], sql[-1], rows(KEYS)) == ("BEGIN;", "COMMIT;", before)
    parts = [
        "DROP CONSTRAINT contacts_delivery_job_id",
        "DROP CONSTRAINT contacts_import_pkey;",
        "ADD CONSTRAINT contacts_import_pkey PRIMARY KEY (tenant_id, id);",
        "create_reference_table('tenants_tenant');",
        "create_distributed_table('contacts_contact', 'tenant_id', colocate_with => 'none');",
        "create_distributed_table('contacts_import', 'tenant_id', colocate_with =>",
        "ADD CONSTRAINT contacts_delivery_job_id",
        "truncate_local_data_after_distributing_table('contacts_contact');",
    ]
    places = [next(place for place, line in enumerate(sql) if part in line) for part in parts]
    assert places == sorted(places)


@postgresql_only
def test_every_key_and_every_table_of_contacts_gets_the_tenant() -> None:
    sql = "\n".join(lines("distribute", "--dry-run"))
    tables = rows(
        r"SELECT relname FROM pg_class WHERE relname ~ '^contacts_\w+$' AND relkind = 'r'"
    )
    assert all(f"create_distributed_table('{table}', 'tenant_id'" in sql for [table] in tables)
    assert sql.count("DROP CONSTRAINT") == sql.count("(tenant_id, ") - sql.count("REFERENCES")


@postgresql_only
def test_a_later_migration_adds_a_column_and_its_check_in_two_statements() -> None:
    field = PositiveIntegerField(default=0)
    field.set_attributes_from_name("weight")
    with SchemaEditor(connection, collect_sql=True) as editor:
        editor.add_field(Tag, field)
    column, check, *_ = editor.collected_sql
    assert "CHECK" not in column
    assert check.startswith('ALTER TABLE "contacts_tag" ADD CONSTRAINT "contacts_tag_weight_check"')
