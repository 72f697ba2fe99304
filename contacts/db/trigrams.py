"""Finds parts of texts in contacts, by the trigram index where PostgreSQL has one.

The role that row-level security holds for needs a function of the database for this: see
`contacts/migrations/0025_search_function.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import BooleanField, Func, Q

from tenants.isolation import ALL_TENANTS, NO_TENANT, current_tenant

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
    searched.
    """

    output_field = BooleanField()

    def __init__(self, parts: Mapping[str, Sequence[str]]) -> None:
        self.parts = [[*parts.get(column, ())] for column in COLUMNS]
        conditions = (
            Q(**{f"{column}__contains": part})
            for column, some in zip(COLUMNS, self.parts, strict=True)
            for part in some
        )
        super().__init__("pk", reduce(or_, conditions))

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **context: Any
    ) -> Any:
        _, condition = self.source_expressions
        return compiler.compile(condition)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_short = any(len(part) < SHORTEST for some in self.parts for part in some)
        if is_short or not uses_function(connection):
            return self.as_sql(compiler, connection)
        pk, _ = compiler.compile(self.source_expressions[0])
        escape = connection.ops.prep_for_like_query
        patterns = [[f"%{escape(part)}%" for part in some] for some in self.parts]
        call = "contacts_search(%s::text[], %s::text[], %s::text[])"
        return f"{pk} = ANY(ARRAY(SELECT {call}))", patterns


def uses_function(connection: Any) -> bool:
    """Whether `contacts_search` finds contacts faster than the condition itself, on PostgreSQL.

    For roles without policies, the condition itself uses the index. Under a policy, the function
    takes half as long even without an index, because PostgreSQL evaluates no policy for each row.
    For all tenants, the function finds nothing.
    """
    connection.ensure_connection()
    if not connection.is_restricted or current_tenant() in (NO_TENANT, ALL_TENANTS):
        return False
    if not hasattr(connection, "has_search_function"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT coalesce({MAY_EXECUTE}, false)")
            [connection.has_search_function] = cursor.fetchone()
    return connection.has_search_function
