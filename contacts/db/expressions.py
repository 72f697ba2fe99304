"""Expressions for queries that Django's ORM does not have.

Each expression writes the SQL of the database of the query, so that callers need not know it.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connections
from django.db.models import (
    Aggregate,
    BinaryField,
    BooleanField,
    DateTimeField,
    ExpressionWrapper,
    F,
    Func,
    IntegerField,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Cast
from django.utils import timezone

from .postgresql import PostgreSQL, microsecond_after
from .sqlite import SQLite

DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MICROSECOND = timedelta(microseconds=1)  # the resolution of both databases' timestamps


def updated_after(stored: datetime) -> datetime:
    """The new `updated_at` of a contact that changes now: always later than `stored`, the old one.

    A clock may step back, and the clocks of servers differ. Without this rule the newer row could
    get the earlier time, and a reader that follows `updated_at` would miss the change. Statements
    that change contacts without reading them first use `updated_after` of the dialect.
    """
    return max(timezone.now(), stored + MICROSECOND)


class MicrosecondAfter(ExpressionWrapper):
    """The time in the column `name` and a microsecond, for an update."""

    def __init__(self, name: str) -> None:
        super().__init__(F(name) + MICROSECOND, output_field=DateTimeField())

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        moment, params = compiler.compile(self.expression.lhs)
        return f"({microsecond_after(moment)})", params


class PartOfTime(Func):
    """The part of time in which the column `name` lies: 0 before the first of `bounds`, which are
    in order, and n from the n-th one on. A row needs ten comparisons for 740 bounds.

    `TruncDate` would call Python for each row on SQLite.
    """

    output_field = IntegerField()

    def __init__(self, name: str, bounds: Iterable[datetime]) -> None:
        super().__init__(name)
        self.bounds = [*bounds]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        moment, params = compiler.compile(self.source_expressions[0])
        return f"width_bucket({moment}, %s::timestamptz[])", [*params, self.bounds]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        moment, _ = compiler.compile(self.source_expressions[0])
        return self.case(moment, 0, len(self.bounds) + 1), []

    def case(self, moment: str, first: int, end: int) -> str:
        """The SQL for the parts `first` to `end - 1`. The bounds are no parameters: SQLite may
        allow fewer parameters."""
        if end - first == 1:
            return str(first)
        middle = (first + end) // 2
        parts = [self.case(moment, first, middle), self.case(moment, middle, end)]
        bound = SQLite.moment(self.bounds[middle - 1])
        return f"CASE WHEN {moment} < '{bound}' THEN {parts[0]} ELSE {parts[1]} END"


class MetadataHas(Func):
    """Whether metadata has a key, not inside another key, with one of the given values.

    Arguments: the column of the metadata, the key, then the values as `rules.spelled_alike` writes
    them.
    Without values, every value of the key matches.
    """

    function = "contacts_holds"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        metadata, key, *values = (compiler.compile(part) for part in self.source_expressions)
        spellings = [value for _, params in values for value in params]
        if not spellings:
            sql = f"jsonb_exists({metadata[0]}, {key[0]}::text)"
            return sql, [*metadata[1], *key[1]]
        wanted = ", ".join(["%s::jsonb"] * len(spellings))
        sql = f"{metadata[0]} -> {key[0]}::text IN ({wanted})"
        params = [*metadata[1], *key[1], *spellings]
        texts = [text for value in spellings for text in texts_in_json(value)]
        if None in texts:
            return sql, params
        # Comparing the texts first takes half of the time, because few rows have the same text. ANY
        # and not =: PostgreSQL evaluates an equality with one value last.
        same = f"{metadata[0]} ->> {key[0]}::text = ANY(%s)"
        return f"({same} AND {sql})", [*metadata[1], *key[1], texts, *params]


class MetadataBetween(Func):
    """Whether a key of the metadata, not inside another key, has a value from `low` to `high`, both
    included: numbers, or days such as 2026-05-07. None: no bound; at least one bound is given."""

    function = "contacts_between"
    output_field = BooleanField()

    def __init__(self, key: str, low: Any, high: Any) -> None:
        bounds = (Value(None if bound is None else json.dumps(bound)) for bound in (low, high))
        super().__init__("metadata", Value(key), *bounds)
        self.key, self.low, self.high = key, low, high

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        metadata, _ = compiler.compile(self.source_expressions[0])
        bounds = [(">=", self.low), ("<=", self.high)]
        given = [(sign, bound) for sign, bound in bounds if bound is not None]
        if isinstance(given[0][1], str):
            value = f"({metadata} ->> %s::text)"
            parts = [(f'{value} COLLATE "C" {sign} %s', bound) for sign, bound in given]
            parts.append((f"{value} ~ %s", DAY))  # last, because this takes longest
        else:
            value = f"({metadata} -> %s::text)"
            parts = [(f"jsonb_typeof{value} = %s", "number")]
            parts += [(f"{value} {sign} %s::jsonb", json.dumps(bound)) for sign, bound in given]
        sql = " AND ".join(part for part, _ in parts)
        return f"({sql})", [param for _, bound in parts for param in (self.key, bound)]


def texts_in_json(spelling: str) -> list[str | None]:
    """The texts of a JSON value as PostgreSQL's `->>` returns it: numbers without an exponent, and
    a whole number also with the fraction with which it may be stored.

    None for null, which `->>` turns into SQL's NULL, and for objects and arrays, because PostgreSQL
    writes them with other spaces.
    """
    value = json.loads(spelling)
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return [spelling]
    if isinstance(value, int):
        return [spelling, f"{spelling}.0"]
    return [f"{Decimal(spelling):f}" if isinstance(value, float) else None]


class HasAnyTag(Func):
    """Whether a contact has one of the tags `names`, read in its row.

    Its links have the same answer. But without statistics PostgreSQL may go through all links of a
    tag for each contact, which takes minutes.
    """

    output_field = BooleanField()

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__("tags")
        self.names = [*names]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        tags, _ = compiler.compile(self.source_expressions[0])
        has_one = f"instr(',' || {tags} || ',', %s) > 0"
        either = " OR ".join([has_one] * len(self.names))
        return f"({either})", [f",{name}," for name in self.names]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        tags, _ = compiler.compile(self.source_expressions[0])
        return f"string_to_array({tags}, ',') && %s::text[]", [self.names]


class IsOneOf(Func):
    """Whether the column `name` is one of the keys that the query `keys` finds.

    Only for queries that find few keys. PostgreSQL runs the query first and then looks up each key
    in an index, whatever number of keys its statistics predict.
    """

    template, arg_joiner = "%(expressions)s", " IN "
    output_field = BooleanField()

    def __init__(self, name: str, keys: QuerySet[Any]) -> None:
        super().__init__(name, Subquery(keys))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = {"template": "%(expressions)s)", "arg_joiner": " = ANY(ARRAY"}
        return self.as_sql(compiler, connection, **is_any | context)


class IdDigits(Func):
    """An id as hexadecimal digits, as statements and `IsAnyOf` take it."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        digits = "replace(%(expressions)s::text, '-', '')"
        return self.as_sql(compiler, connection, template=digits)


class IsAnyOf(Func):
    """Whether the column `name` is one of `ids`, which are hexadecimal digits.

    For thousands of ids: they are one parameter of the statement, so that neither Django nor
    psycopg handles each id. `kind`: the type of the column on PostgreSQL; `varchar` for phones.
    """

    output_field = BooleanField()

    def __init__(self, name: str, ids: Iterable[str], kind: str = "uuid") -> None:
        super().__init__(name)
        self.ids, self.kind = [*ids], kind

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = "%(expressions)s IN (SELECT value FROM json_each(%%s))"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, SQLite.words(self.ids)]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = f"%(expressions)s = ANY(%%s::{self.kind}[])"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, PostgreSQL.words(self.ids)]


class ByCodePoint(Func):
    """Sorts texts by code points, as Python and SQLite do.

    The order that PostgreSQL uses otherwise depends on the collation of the database.
    """

    template = "%(expressions)s"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='%(expressions)s COLLATE "C"')


class PackedIds(Aggregate):
    """The 16 bytes of each key, joined. Arguments: the key, then the columns to order by."""

    output_field = BinaryField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        key, *order = (compiler.compile(part)[0] for part in self.source_expressions)
        return f"string_agg(uuid_send({key}), '' ORDER BY {', '.join(order)})", []


def packed_ids(rows: QuerySet[Any], *order: str) -> bytes:
    """The ids of `rows` at this moment, joined, 16 bytes each, sorted by the columns `order`.

    PostgreSQL returns the ids as one value: a million ids as rows would take 200 MB of memory and
    4 s.
    """
    if connections[rows.db].vendor == "postgresql":
        return bytes(rows.order_by().aggregate(ids=PackedIds("pk", *order))["ids"] or b"")
    ids = rows.order_by(*order).values_list(Cast("pk", UUIDField()), flat=True)
    return b"".join(pk.bytes for pk in ids.iterator())
