"""Queries whose SQL is kept: Django compiles it once for all queries of the same shape.

To make the SQL of a queryset takes Django 1 to 2 ms, more than the database needs for the answer;
a search has up to five statements. So a query is described by its steps: functions that each take a
queryset and return another one. The functions and their arguments are the shape of the query. The
values, which differ from request to request, are parameters: the tenant, the text, the position at
which a page begins. For the first query of a shape, the functions get a `Placeholder` for each
value, and the SQL is kept.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, cast

from django.db import connections
from django.db.models import Expression, QuerySet

from .replica import reading_alias

SHAPES = 512  # that a process keeps; a list has some for each limit that callers send


class Placeholder(Expression):
    """Stands for a value in a queryset whose SQL is kept. `place`: of the value among the values of
    the query. `column`: the name of the model's field that says how the database spells it."""

    def __init__(self, place: int, column: str) -> None:
        super().__init__()
        self.place, self.column = place, column

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class Step(NamedTuple):
    """`change` makes a queryset of the one before, of `arguments` and of a value for each of
    `fields`. A value that is None is part of the shape, and its field is ""."""

    change: Callable[..., QuerySet]
    arguments: tuple[Hashable, ...]
    fields: tuple[str, ...]


class Kept(NamedTuple):
    """A query whose SQL is kept. Its first step makes the first queryset."""

    steps: tuple[Step, ...] = ()
    values: tuple[Any, ...] = ()

    def then(
        self,
        change: Callable[..., QuerySet],
        *arguments: Hashable,
        values: Iterable[tuple[str, Any]] = (),
    ) -> "Kept":
        """The query with one more step, see `Step`. `values`: each with the name of its field.

        `change` must not look at the values, and whatever else changes its queryset must be in
        `arguments`: the next query of the shape gets the SQL of this one.
        """
        values = [*values]
        fields = tuple("" if value is None else name for name, value in values)
        given = tuple(value for _, value in values if value is not None)
        return Kept((*self.steps, Step(change, arguments, fields)), self.values + given)

    def read(self) -> list[Any]:
        """The rows, as the queryset returns them: objects of its model, or tuples."""
        return statement(self.steps, reading_alias()).read(self.values)


class Built(NamedTuple):
    """A queryset that takes the same steps at once, as a query that is not kept."""

    rows: QuerySet

    def then(
        self,
        change: Callable[..., QuerySet],
        *arguments: Hashable,
        values: Iterable[tuple[str, Any]] = (),
    ) -> "Built":
        return Built(change(self.rows, *arguments, *(value for _, value in values)))

    def read(self) -> list[Any]:
        return list(self.rows)


Rows = Kept | Built


def as_rows(rows: Rows | QuerySet) -> Rows:
    return Built(rows) if isinstance(rows, QuerySet) else rows


class Statement:
    """The SQL of a queryset with placeholders, for the database `using`."""

    def __init__(self, rows: QuerySet, using: str) -> None:
        compiler = rows.query.get_compiler(using)
        self.using, self.model = using, rows.model
        self.sql, self.parameters = compiler.as_sql()
        selected = [expression for expression, *_ in compiler.select]
        self.converters = [
            (place, convert, expression)
            for place, (functions, expression) in compiler.get_converters(selected).items()
            for convert in functions
        ]
        # None for tuples. As keys: `from_db` looks each field up in the names.
        is_of_tuples = cast("Any", rows)._fields is not None
        names = (column.target.attname for column in selected)
        self.names = None if is_of_tuples else dict.fromkeys(names)
        places = {each.place: each.column for each in self.parameters if is_placeholder(each)}
        self.fields = {place: self.field(name) for place, name in places.items()}

    def field(self, name: str) -> Any:
        options = self.model._meta
        return options.pk if name == "pk" else options.get_field(name)

    def read(self, values: Sequence[Any]) -> list[Any]:
        connection = connections[self.using]
        spelled = {
            place: field.get_db_prep_value(values[place], connection)
            for place, field in self.fields.items()
        }
        parameters = [
            spelled[each.place] if is_placeholder(each) else each for each in self.parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, parameters)
            return [self.row(found, connection) for found in cursor.fetchall()]

    def row(self, found: Sequence[Any], connection: Any) -> Any:
        values = [*found]
        for place, convert, expression in self.converters:
            values[place] = convert(values[place], expression, connection)
        if self.names is None:
            return tuple(values)
        return self.model.from_db(self.using, self.names, values)


def is_placeholder(parameter: Any) -> bool:
    return isinstance(parameter, Placeholder)


@lru_cache(maxsize=SHAPES)
def statement(steps: tuple[Step, ...], using: str) -> Statement:
    """The SQL of the query with these `steps`."""
    rows: tuple[QuerySet, ...] = ()
    places = count()
    for change, arguments, fields in steps:
        values = [Placeholder(next(places), name) if name else None for name in fields]
        rows = (change(*rows, *arguments, *values),)
    [last] = rows
    return Statement(last, using)
