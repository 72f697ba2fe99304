"""Finds parts of texts in contacts, by the trigram index where PostgreSQL has one.

The role that row-level security holds for needs a function of the database for this: see
`contacts/migrations/0025_search_function.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

from django.db.models import BooleanField, Func, Q, Value

from tenants.isolation import ALL_TENANTS, NO_TENANT, current_tenant, is_sharded

COLUMNS = ("name_folded", "email_folded", "phone")  # in the order of the function's parameters
SHORTEST = 3  # characters: the index cannot find a shorter part
HAS_INDEX = "to_regclass('contact_trigrams') IS NOT NULL"
# NULL if there is no function.
MAY_EXECUTE = (
    "has_function_privilege(to_regprocedure('contacts_search(text[], text[], text[])'), 'EXECUTE')"
)


class HasPart(Func):
    """Whether a contact has one of the texts in `parts` in the column that they belong to.

    `parts`: for each of `COLUMNS`, texts as the column holds them; none for a column that is not
    searched. They may be placeholders, see `kept`. `is_short`: see `is_too_short`.
    """

    output_field = BooleanField()

    def __init__(self, parts: Mapping[str, Sequence[Any]], *, is_short: bool) -> None:
        self.is_short, self.numbers = is_short, [len(parts.get(column, ())) for column in COLUMNS]
        texts = [(column, part) for column in COLUMNS for part in parts.get(column, ())]
        condition = reduce(or_, (Q(**{f"{column}__contains": part}) for column, part in texts))
        super().__init__("pk", condition, *(part_of(part) for _, part in texts))

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **context: Any
    ) -> Any:
        return compiler.compile(self.source_expressions[1])

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        if self.is_short or not uses_function(connection):
            return self.as_sql(compiler, connection)
        pk, _, *texts = (compiler.compile(part) for part in self.source_expressions)
        patterns = (f"'%%' || {connection.pattern_esc.format(sql)} || '%%'" for sql, _ in texts)
        lists = (f"ARRAY[{', '.join(islice(patterns, number))}]::text[]" for number in self.numbers)
        found = f"{pk[0]} = ANY(ARRAY(SELECT contacts_search({', '.join(lists)})))"
        return found, [value for _, values in texts for value in values]


def part_of(part: Any) -> Any:
    return Value(part) if isinstance(part, str) else part


def is_too_short(parts: Mapping[str, Sequence[str]]) -> bool:
    """Whether the index cannot find one of `parts`."""
    return any(len(part) < SHORTEST for some in parts.values() for part in some)


def uses_function(connection: Any) -> bool:
    """Whether `contacts_search` finds contacts faster than the condition itself; never on SQLite.

    For roles without policies, the condition itself uses the index. Under a policy, the function
    takes half as long even without an index, because PostgreSQL evaluates no policy for each row.
    For all tenants, the function finds nothing. On a node of a Citus cluster, no function may read
    a distributed table.
    """
    connection.ensure_connection()
    is_of_tenant = current_tenant() not in (NO_TENANT, ALL_TENANTS)
    is_policed = getattr(connection, "is_restricted", False) and is_of_tenant
    if not is_policed or is_sharded(connection):
        return False
    if not hasattr(connection, "has_search_function"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT coalesce({MAY_EXECUTE}, false)")
            [connection.has_search_function] = cursor.fetchone()
    return connection.has_search_function
