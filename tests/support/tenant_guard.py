"""Finds statements that do not name the tenant of each row that they read or write.

Row-level security keeps tenants apart, but a database that is sharded by tenant must find the
tenant in the statement: otherwise it asks all shards, or refuses, such as a lock of a row by its
id alone. The guard reads what the product sends for one tenant on PostgreSQL. What tests ask
themselves, they ask for all tenants.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from tenants.isolation import ALL_TENANTS, NO_TENANT, current_tenant

OWNED = re.compile(r"\bcontacts_|\btenants_tenant\b")
PARAMETER = re.compile(r"%\(\w+\)s|%s")
# Statements that differ in the length of a list, in the number of rows, or in the columns that they
# select are one, because reading one takes some milliseconds.
LIST = re.compile(r"'x'(?:, 'x')+")
ROWS = re.compile(r"\('x'\)(?:, \('x'\))+")
COLUMNS = re.compile(r'(SELECT |SELECT DISTINCT )(?:"\w+"\."\w+"(?: AS "\w+")?, )+')

# What may lack the tenant, each with the reason.
EXCEPTIONS = {
    re.compile(
        r'ON \("contacts_contact"."id" = "contacts_contacttag"."contact_id"\) INNER JOIN'
        r' "contacts_tag" ON \("contacts_contacttag"."tag_id" = "contacts_tag"."id"\)'
    ): "`ContactQuerySet.with_tags_in`: the tenant leads to slow plans",
}

found: dict[tuple[str, str], str] = {}  # since the test began, each with a statement
# In this folder, the processes of the tests, and later runs, share which statements are good. Each
# has a file there, so that one process reads the statement for all.
good: Path | None = None


def watch(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`."""
    wrappers = connection.execute_wrappers
    if connection.vendor == "postgresql" and guard not in wrappers:
        wrappers.append(guard)


def guard(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Django's execute wrapper: notes statements without their tenant in `found`."""
    is_of_tenant = current_tenant() not in (NO_TENANT, ALL_TENANTS)
    if is_of_tenant and isinstance(sql, str) and OWNED.search(sql) and not is_exception(sql):
        found.update(dict.fromkeys(problems(normal(sql)), sql))
    return execute(sql, params, many, context)


def check() -> None:
    """Fails the test if one of its statements lacks the tenant, except for `EXCEPTIONS`."""
    assert not found, f"Statements that do not name their tenant: {found}"


def is_exception(sql: str) -> bool:
    return any(shape.search(sql) for shape in EXCEPTIONS)


def normal(sql: str) -> str:
    """The statement as sqlglot can read it; the same one for parameters of any number."""
    without_values = LIST.sub("'x'", PARAMETER.sub("'x'", sql)).replace("%%", "%")
    return COLUMNS.sub(r"\1", ROWS.sub("('x')", without_values))


def keep_good(folder: Path) -> None:
    """The folder is of this state of the guard: a digest of what decides is part of its name."""
    global good
    digest = sha256(Path(__file__).read_bytes() + sqlglot.__version__.encode()).hexdigest()
    good = folder / digest
    good.mkdir(exist_ok=True)


@cache
def problems(sql: str) -> tuple[tuple[str, str], ...]:
    """Kind and table of each part of the statement that does not compare the tenant of the table;
    for each alias of a table."""
    kept = good and good / sha256(sql.encode()).hexdigest()
    if kept and kept.exists():
        return ()
    lacking = read_problems(sql)
    if kept and not lacking:
        kept.touch()
    return lacking


def read_problems(sql: str) -> tuple[tuple[str, str], ...]:
    try:
        tree = sqlglot.parse_one(sql, read="postgres")
    except sqlglot.ParseError:
        return (("unreadable", sql),)
    queries = [*tree.find_all(exp.Select, exp.Update, exp.Delete)]
    return tuple(
        (kind(query), table)
        for query in queries
        for table in (*without_tenant(query), *of_tenants(query))
    )


def kind(query: Any) -> str:
    """`lock` for SELECT FOR UPDATE and the like, which a sharded database refuses."""
    return "lock" if query.args.get("locks") else query.key


def of_tenants(query: Any) -> Iterator[str]:
    """The table of tenants, of which each shard's machine has a copy, if the query locks its rows,
    or has a subquery while it names no table of `contacts`. A sharded database refuses both."""
    names = [table.name for table in tables_of(query)]
    inside = [part for part in parts_of(query) if isinstance(part, exp.Query)]
    is_alone = not any(name.startswith("contacts_") for name in names)
    if query.args.get("locks") or (inside and is_alone):
        yield from (name for name in names if name == "tenants_tenant")


def without_tenant(query: Any) -> Iterator[str]:
    tables = [*tables_of(query)]
    compared = {column.table for column in compared_columns(query) if column.name == "tenant_id"}
    for table in tables:
        is_compared = table.alias_or_name in compared or ("" in compared and len(tables) == 1)
        if table.name.startswith("contacts_") and not is_compared:
            yield table.name


def tables_of(query: Any) -> Iterator[Any]:
    """The tables that the query names itself, not those of queries inside."""
    first = query.args.get("from_")
    using = query.args.get("using") or []
    sources = [query.this, first and first.this, *using, *(join.this for join in joins_of(query))]
    return (source for source in sources if isinstance(source, exp.Table))


def joins_of(query: Any) -> list[Any]:
    """The joins of the query, also those that stand behind a table in FROM or USING."""
    first = query.args.get("from_")
    sources = [query, first and first.this, *(query.args.get("using") or [])]
    return [join for source in sources if source for join in source.args.get("joins") or []]


def compared_columns(query: Any) -> Iterator[Any]:
    """The columns in the conditions of the query, without those of queries inside."""
    return (part for part in parts_of(query) if isinstance(part, exp.Column))


def parts_of(query: Any) -> Iterator[Any]:
    """The parts of the conditions of the query. Those of queries inside are left out, but the
    queries are not."""
    conditions = [query.args.get("where"), *(join.args.get("on") for join in joins_of(query))]
    for condition in filter(None, conditions):
        yield from condition.walk(prune=lambda node: isinstance(node, exp.Query))
