"""The SQL that spreads the tables of a database over the nodes of a Citus cluster, by tenant.

Each statement is made from what the catalog says at that moment, so a second plan holds only what
the first one has not done: a table that a later migration adds, for example.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import DatabaseError, connection, transaction

COLUMN = "tenant_id"
LOCK_TIMEOUT = "10s"  # per statement; servers and workers that still run hold locks for less
# Without the second setting, Citus refuses to work: it does not change tables in parallel if they
# refer to a table that the same transaction has made a reference table.
SETTINGS = (
    f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'",
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
)

HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
NODES = """
SELECT count(*) FILTER (WHERE groupid = 0), count(*) FILTER (WHERE groupid > 0 AND shouldhaveshards)
FROM pg_dist_node WHERE isactive AND noderole = 'primary'
"""
DISTRIBUTED = """
SELECT logicalrelid::regclass::text FROM pg_dist_partition
WHERE partmethod = 'h' OR partmethod = 'n' AND repmodel = 't'
"""
# The primary keys that lack the tenant.
PRIMARY_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), (
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY place)
    FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
    JOIN pg_attribute ON attrelid = conrelid AND attnum = number
)
FROM pg_constraint
WHERE contype = 'p' AND conrelid = ANY(%(tables)s::text[]::regclass[]) AND NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = conrelid AND attnum = ANY(conkey) AND attname = %(column)s
)
ORDER BY 1
"""
# The foreign keys from one of the tables to another, by one column.
FOREIGN_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), quote_ident(own.attname),
    confrelid::regclass::text, quote_ident(other.attname)
FROM pg_constraint
JOIN pg_attribute AS own ON own.attrelid = conrelid AND own.attnum = conkey[1]
JOIN pg_attribute AS other ON other.attrelid = confrelid AND other.attnum = confkey[1]
WHERE contype = 'f' AND cardinality(conkey) = 1 AND conrelid = ANY(%(tables)s::text[]::regclass[])
    AND confrelid = ANY(%(tables)s::text[]::regclass[])
ORDER BY 1, 2
"""
HAS_TRIGGER = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'number_change')"
# A statement is planned on the coordinator, but a trigger runs on the node that has the row. The
# readers of the change log compare the number of the transaction with those of that node.
NUMBERING = (
    """CREATE OR REPLACE FUNCTION contacts_number_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$""",
    "SET LOCAL citus.enable_unsafe_triggers = on",
    """CREATE TRIGGER number_change BEFORE INSERT ON contacts_change
    FOR EACH ROW EXECUTE FUNCTION contacts_number_change()""",
)
# Each tag at its first place, as `PostgreSQL.ADDED_TAGS` has it.
ADD_TAGS = """CREATE OR REPLACE FUNCTION contacts_added_tags(stored text, given text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(name, ',' ORDER BY place), '') FROM (
        SELECT name, min(place) AS place
        FROM unnest(string_to_array(stored || ',' || given, ','))
            WITH ORDINALITY AS tag (name, place)
        WHERE name <> '' GROUP BY name
    ) AS tags
$$"""
# Citus copies the tables that have foreign keys to the table of tenants into new ones, and forgets
# which ids were given out: the next user would get the id of the first one.
SEQUENCES = """
SELECT quote_literal(quote_ident(sequencename)), last_value FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL ORDER BY 1
"""
# A worker counts again: the counts were made with the transaction numbers of another node.
FORGET_COUNTS = "DELETE FROM contacts_tagcounts"
DATABASE = "SELECT quote_ident(current_database())"


class Refused(Exception):
    """The database cannot be distributed; the text says why and what to do."""


class Plan(NamedTuple):
    """`done`: the tables that are distributed already. `statements`: what is left to do, in the
    order that works, for one transaction."""

    done: list[str]
    statements: list[str]


def plan(tables: Sequence[str], reference: str) -> Plan:
    """What distributes `tables`, each of which has the tenant, by the tenant, the first one first.
    `reference`: the table that each node gets a whole copy of. Raises `Refused` where the database
    is no PostgreSQL."""
    if connection.vendor != "postgresql":
        raise Refused(f"{connection.display_name} cannot be distributed: Citus needs PostgreSQL.")
    if missing := {*tables} - {*connection.introspection.table_names()}:
        raise Refused(f"Run migrate first: the database lacks {', '.join(sorted(missing))}.")
    there = {name for [name] in rows(DISTRIBUTED)} if has_citus() else set[str]()
    rest = [table for table in tables if table not in there]
    names = {"tables": [*tables], "column": COLUMN}
    keys = rows(FOREIGN_KEYS, names)
    references = [] if reference in there else [f"SELECT create_reference_table('{reference}')"]
    last_ids = rows(SEQUENCES) if rest or references else []
    numbering = [] if rows(HAS_TRIGGER)[0][0] else NUMBERING
    statements = [
        *SETTINGS,
        FORGET_COUNTS,
        *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, *_ in keys),
        *(part for key in rows(PRIMARY_KEYS, names) for part in with_tenant(*key)),
        *references,
        *(distributed(table, tables[0]) for table in rest),
        *(referring(*key) for key in keys),
        *(emptied(table) for table in [*rest, *([] if reference in there else [reference])]),
        *(f"SELECT setval({name}, {number})" for name, number in last_ids),
        *numbering,
        ADD_TAGS,
        *settings_of_database(),
    ]
    return Plan([table for table in tables if table in there], statements)


def with_tenant(table: str, name: str, columns: str) -> list[str]:
    """Only in the database: Django's primary key stays the id. In two statements, because Citus
    knows a table that was made later by its foreign key to the table of tenants."""
    return [
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        f"ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY ({COLUMN}, {columns})",
    ]


def distributed(table: str, first: str) -> str:
    """Rows of one tenant are on one node, in all tables: they are placed like those of `first`."""
    beside = "none" if table == first else first
    return f"SELECT create_distributed_table('{table}', '{COLUMN}', colocate_with => '{beside}')"


def referring(table: str, name: str, column: str, other: str, key: str) -> str:
    """After both tables are distributed: Citus accepts a foreign key only where the two rows are on
    one node."""
    return (
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({COLUMN}, {column})"
        f" REFERENCES {other} ({COLUMN}, {key}) DEFERRABLE INITIALLY DEFERRED"
    )


def emptied(table: str) -> str:
    """Citus has copied the rows to the workers, and leaves the old ones where no query sees them:
    they would be there still after the person has been erased."""
    return f"SELECT truncate_local_data_after_distributing_table('{table}')"


def settings_of_database() -> list[str]:
    """For later sessions. The tenant that row-level security shows is set with SET LOCAL; without
    the first setting, workers do not hear of it, and queries return no rows. The second one is for
    commands for all tenants."""
    [[name]] = rows(DATABASE)
    return [
        f"ALTER DATABASE {name} SET citus.propagate_set_commands = 'local'",
        f"ALTER DATABASE {name} SET citus.enable_repartition_joins = on",
    ]


def execute(statements: Iterable[str], tell: Any) -> None:
    """Runs `statements` in one transaction; before each, calls `tell` with it. Raises `Refused` if
    one fails, and then nothing has changed."""
    sql = ""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for sql in statements:
                tell(sql)
                cursor.execute(sql)
    except DatabaseError as error:
        reason = str(error).strip()
        raise Refused(f"Nothing was changed. This statement failed: {sql}\n{reason}") from error


def analyze(tables: Iterable[str]) -> None:
    """Citus copies rows and no statistics. Until autovacuum makes some, which takes minutes, plans
    may read all rows of a tenant for each row."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE {table}")


def check_cluster() -> None:
    """Raises `Refused` where the database is not the coordinator of a cluster with workers."""
    if not has_citus():
        raise Refused(
            "The extension citus is missing. Install Citus on each node, add it to"
            " shared_preload_libraries, and run CREATE EXTENSION citus in this database."
        )
    [[coordinators, workers]] = rows(NODES)
    if not coordinators:
        raise Refused(
            "The workers do not know this node. Run SELECT citus_set_coordinator_host('HOST', PORT)"
            " with the address that workers reach."
        )
    if not workers:
        raise Refused("There is no worker. Run SELECT citus_add_node('HOST', PORT) for each.")


def has_citus() -> bool:
    return bool(connection.vendor == "postgresql" and rows(HAS_CITUS)[0][0])


def rows(query: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchall()
