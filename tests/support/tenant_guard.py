"""Finds statements that do not name the tenant of each row that they read or write.

Row-level security keeps tenants apart, but a database that is sharded by tenant must find the
tenant in the statement: otherwise it asks all shards, or refuses, such as a lock of a row by its
id alone. The guard reads what the product sends for one tenant, or for several, on PostgreSQL. What
tests ask themselves, they ask for all tenants.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import sha256
from itertools import chain
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
    parts = chain.from_iterable(map(without_queries, conditions_of(query)))
    inside = [part for part in parts if isinstance(part, exp.Query)]
    is_alone = not any(name.startswith("contacts_") for name in names)
    if query.args.get("locks") or (inside and is_alone):
        yield from (name for name in names if name == "tenants_tenant")


def without_tenant(query: Any) -> Iterator[str]:
    """The tables without a known tenant. A table has one if the query compares its tenant with a
    value, or with the tenant of a table that has one."""
    tables = {table.alias_or_name: table.name for table in tables_of(query)}
    own = {alias: name for alias, name in tables.items() if name.startswith("contacts_")}
    alone = "".join(tables) if len(tables) == 1 else ""
    equations = [
        {alias or alone for alias in equation} & own.keys()
        for condition in conditions_of(query)
        for equation in equations_of(condition)
    ]
    named = set[str]()
    while more := [rest for each in equations if len(rest := each - named) == 1]:
        named.update(*more)
    yield from (name for alias, name in own.items() if alias not in named)


def equations_of(condition: Any) -> set[frozenset[str]]:
    """The comparisons of tenants that hold for each row that meets the condition. A comparison is
    the set of the aliases of its tables; one alias means that the other side is a value."""
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return equations_of(condition.left) | equations_of(condition.right)
    if isinstance(condition, exp.Or):
        return equations_of(condition.left) & equations_of(condition.right)
    if isinstance(condition, exp.EQ | exp.In) and condition.this != condition.expression:
        columns = (part for part in without_queries(condition) if isinstance(part, exp.Column))
        return {frozenset(column.table for column in columns if column.name == "tenant_id")}
    return set()


def tables_of(query: Any) -> Iterator[Any]:
    """The tables that the query names itself, not those of queries inside."""
    return (source for source, _ in sources_of(query) if isinstance(source, exp.Table))


def sources_of(query: Any) -> Iterator[tuple[Any, Any]]:
    """What the query reads or writes itself, and the condition of the join, if it has one."""
    first = query.args.get("from_")
    named = [query.this, first and first.this, *(query.args.get("using") or [])]
    yield from joined((source, None) for source in named if source)
    yield from joined((join.this, join.args.get("on")) for join in query.args.get("joins") or [])


def joined(sources: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The sources, and what is joined to each of them in FROM, USING or parentheses."""
    for parenthesized, condition in sources:
        source = parenthesized.unnest()
        yield source, condition
        if not isinstance(source, exp.Query):
            joins = source.args.get("joins") or []
            yield from joined((join.this, join.args.get("on")) for join in joins)


def conditions_of(query: Any) -> Iterator[Any]:
    """Of WHERE and of joins."""
    where = query.args.get("where")
    return filter(None, [where and where.this, *(on for _, on in sources_of(query))])


def without_queries(condition: Any) -> Iterator[Any]:
    """The parts of the condition. Those of queries inside are left out, but the queries are not."""
    return condition.walk(prune=lambda node: isinstance(node, exp.Query))
