"""Expressions for queries that the ORM does not have."""

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
    Func,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
)
from django.db.models.functions import Cast
from django.utils import timezone

from .postgresql import PostgreSQL
from .sqlite import SQLite

MICROSECOND = timedelta(microseconds=1)  # the resolution of both databases' timestamps


def updated_after(stored: datetime) -> datetime:
    """The `updated_at` of a contact that changes now: later than `stored`, the one that it has.

    A clock may step back, and the clocks of servers differ. Without this rule a reader that knows
    the contact as of `stored` would take the newer row for an older one. The statements that
    change contacts without reading them first say the same with `updated_after` of a dialect.
    """
    return max(timezone.now(), stored + MICROSECOND)


class Holds(Func):
    """Whether metadata has a key at its top level, with one of the values that follow, each as
    `spelled`; without values, whatever the key holds."""

    function = "contacts_holds"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        metadata, key, *values = (compiler.compile(part) for part in self.source_expressions)
        spellings = [value for _, told in values for value in told]
        if not spellings:
            sql = f"jsonb_exists({metadata[0]}, {key[0]}::text)"
            return sql, [*metadata[1], *key[1]]
        wanted = ", ".join(["%s::jsonb"] * len(spellings))
        sql = f"{metadata[0]} -> {key[0]}::text IN ({wanted})"
        params = [*metadata[1], *key[1], *spellings]
        texts = [text_in_json(value) for value in spellings]
        if None in texts:
            return sql, params
        # Hardly any has the same text, and to compare that takes half of the time; and 1 is not
        # 1.0, as on SQLite. ANY, because PostgreSQL looks at what equals one value last.
        same = f"{metadata[0]} ->> {key[0]}::text = ANY(%s)"
        return f"({same} AND {sql})", [*metadata[1], *key[1], texts, *params]


def text_in_json(spelling: str) -> str | None:
    """What PostgreSQL's `->>` shows of a value: a number without an exponent. None where that is a
    matter of spaces, or nothing."""
    value = json.loads(spelling)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return spelling
    return f"{Decimal(spelling):f}" if isinstance(value, int | float) else None


class IsOneOf(Func):
    """Whether a key is one of those that a query finds, which are few: PostgreSQL finds them, then
    looks for each, however many it thinks they are."""

    template, arg_joiner = "%(expressions)s", " IN "
    output_field = BooleanField()

    def __init__(self, name: str, keys: QuerySet[Any]) -> None:
        super().__init__(name, Subquery(keys))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = {"template": "%(expressions)s)", "arg_joiner": " = ANY(ARRAY"}
        return self.as_sql(compiler, connection, **is_any | context)


class IsAnyOf(Func):
    """Whether a key is one of `ids`, hexadecimal digits, which may be thousands: one parameter for
    all of them, through which neither Django nor psycopg goes."""

    output_field = BooleanField()

    def __init__(self, name: str, ids: Iterable[str]) -> None:
        super().__init__(name)
        self.ids = [*ids]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = "%(expressions)s IN (SELECT value FROM json_each(%%s))"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, SQLite.words(self.ids)]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = "%(expressions)s = ANY(%%s::uuid[])"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, PostgreSQL.words(self.ids)]


class ByCodePoint(Func):
    """A text in the order of its code points, as Python and SQLite sort; PostgreSQL's own order
    depends on the collation of the database."""

    template = "%(expressions)s"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='%(expressions)s COLLATE "C"')


class PackedIds(Aggregate):
    """The bits of all keys, one behind the other, in the order of the columns that follow."""

    output_field = BinaryField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        key, *order = (compiler.compile(part)[0] for part in self.source_expressions)
        return f"string_agg(uuid_send({key}), '' ORDER BY {', '.join(order)})", []


def packed_ids(rows: QuerySet[Any], *order: str) -> bytes:
    """The ids of `rows` as they are now, 16 bytes each, in this order.

    From PostgreSQL as one value: a million rows of its answer take 200 MB, and 4 s to go through.
    """
    if connections[rows.db].vendor == "postgresql":
        return bytes(rows.order_by().aggregate(ids=PackedIds("pk", *order))["ids"] or b"")
    ids = rows.order_by(*order).values_list(Cast("pk", UUIDField()), flat=True)
    return b"".join(pk.bytes for pk in ids.iterator())
