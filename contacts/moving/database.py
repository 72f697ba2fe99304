"""Moving everything to another database: all rows of all tables, with their ids and their history.

The rows of people, tokens and tenants are few, and refer to each other in circles: one transaction
brings them. The rows of contacts follow table by table, in batches, each in a transaction of its
own. So a move that was interrupted goes on where it ended. In the end each row is read from both
databases and compared.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from graphlib import TopologicalSorter
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.apps import apps
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import ExpressionWrapper, F
from django.db.models.functions import Collate

from contacts.change_log.feed import settle_restored
from contacts.db.dialects import dialect_of
from contacts.models import ContactCounts, TagCounts
from tenants.models import Tenant

SOURCE, TARGET = DEFAULT_DB_ALIAS, "target"  # aliases of the two databases
BATCH = 500  # rows
# The worker counts them anew. They name transactions of their database.
LEFT_OUT = (ContactCounts, TagCounts)

Table = type[models.Model]
# The values of the fields of `stored_fields`, as `read` says; objects would take twice as long.
Row = tuple[Any, ...]
Key = tuple[Any, ...]
Item = TypeVar("Item")
Tell = Callable[[int], object]


class CannotMove(Exception):
    """Why the move cannot begin or go on. The message says what to do."""


class Moved(NamedTuple):
    """`rows`: compared in both databases. `tables`: the number of rows of each table with rows."""

    rows: int
    tables: dict[str, int]


@contextmanager
def target_database(entry: dict[str, Any]) -> Iterator[None]:
    """Inside the block, Django knows the database `entry`, an entry of `DATABASES`, as `TARGET`."""
    databases = connections.settings
    connections.settings = connections.configure_settings(databases | {TARGET: entry})
    try:
        yield
    finally:
        connections[TARGET].close()
        del connections[TARGET]
        connections.settings = databases


def refuse_what_cannot_be_moved() -> None:
    """Raises `CannotMove`. The tables of the target exist by now."""
    if is_behind(SOURCE):
        raise CannotMove("This database is not up to date. Run “manage.py migrate” first.")
    here = {*Tenant.objects.using(SOURCE).values_list("pk", flat=True)}
    there = {*Tenant.objects.using(TARGET).values_list("pk", flat=True)}
    if there - here:
        raise CannotMove(
            "The other database has tenants that this one does not have. Moving would delete them:"
            " give an empty database, or the one of a move that was interrupted."
        )


def is_behind(using: str) -> bool:
    executor = MigrationExecutor(connections[using])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def move(tell: Tell) -> Moved:
    """Copies all rows from `SOURCE` to `TARGET`, and compares them.

    Nobody else can write to `SOURCE` meanwhile. `tell`: is called with the number of rows that
    another batch has dealt with; each row is counted twice, when it is copied and when it is
    compared. Raises `CannotMove`.
    """
    with nobody_writes():
        others, own = tables()
        with transaction.atomic(TARGET):
            replace(others, tell)
        for table in reversed(own):
            delete_rest(table)
        for table in own:
            copy(table, tell)
        counts = {table._meta.db_table: compare(table, tell) for table in [*others, *own]}
        set_next_ids([*others, *own])
        settle_restored(TARGET)
    return Moved(sum(counts.values()), {name: count for name, count in counts.items() if count})


def number_of_rows() -> int:
    return sum(all_rows(table, SOURCE).count() for group in tables() for table in group)


@contextmanager
def nobody_writes() -> Iterator[None]:
    """Inside the block no other process can write to `SOURCE`. Raises `CannotMove` if one writes
    for long."""
    with ExitStack() as stack:
        stack.enter_context(large_results())
        try:
            stack.enter_context(transaction.atomic(SOURCE))
            hold_tables()
        except OperationalError as error:
            raise CannotMove(
                "Others write to this database. Stop the server and the worker first."
            ) from error
        yield


def hold_tables() -> None:
    names = ", ".join(table._meta.db_table for group in tables() for table in group)
    with connections[SOURCE].cursor() as cursor:
        for statement in dialect_of(SOURCE).HOLD_TABLES:
            cursor.execute(statement.format(tables=names))


@contextmanager
def large_results() -> Iterator[None]:
    """Reads large tables in parts, with cursors of the server: the transaction lasts, so a pooler
    does not change the connection."""
    name = "DISABLE_SERVER_SIDE_CURSORS"
    settings = [connections[using].settings_dict for using in (SOURCE, TARGET)]
    before = [one.get(name, False) for one in settings]
    for one in settings:
        one[name] = False
    try:
        yield
    finally:
        for one, value in zip(settings, before, strict=True):
            one[name] = value


def tables() -> tuple[list[Table], list[Table]]:
    """The tables of people, tokens and tenants, and the tables of contacts; each after those that
    it refers to."""
    every = [
        table
        for table in apps.get_models(include_auto_created=True)
        if table._meta.managed and not table._meta.proxy and table not in LEFT_OUT
    ]
    own = [table for table in every if table._meta.app_label == "contacts"]
    order = TopologicalSorter({table: referred(table) & {*own} for table in own})
    return [table for table in every if table not in own], [*order.static_order()]


def referred(table: Table) -> set[Table]:
    fields = table._meta.concrete_fields
    return {field.related_model for field in fields if field.related_model} - {table}


def replace(group: Sequence[Table], tell: Tell) -> None:
    """Writes all rows of these tables anew, in one transaction of the caller: foreign keys are
    checked when the transaction ends."""
    for table in reversed(group):
        all_rows(table, TARGET)._raw_delete(TARGET)
    for table in group:
        for rows in parts(in_order(table, SOURCE)):
            insert(table, rows)
            tell(len(rows))


def delete_rest(table: Table) -> None:
    """Deletes what an interrupted move has brought and the source does not have any more."""
    if all_rows(table, TARGET).exists():
        extra = (there for here, there in paired(table) if here is None and there)
        for rows in parts(extra):
            delete(table, rows)


def copy(table: Table, tell: Tell) -> None:
    for pairs in parts(paired(table)):
        different = [(here, there) for here, there in pairs if here != there]
        with transaction.atomic(TARGET):
            delete(table, [there for _, there in different if there])
            insert(table, [here for here, _ in different if here])
        tell(len(pairs))


def compare(table: Table, tell: Tell) -> int:
    """The number of rows. Raises `CannotMove` if a row is not the same in both databases."""
    count = 0
    for pairs in parts(paired(table)):
        for here, there in pairs:
            if here != there:
                key = key_of(table)(here or there or ())
                raise CannotMove(
                    f"The row {key} of {table._meta.db_table} is not the same in both databases."
                    " Stop whatever writes to the other one, and run the command again."
                )
        count += len(pairs)
        tell(len(pairs))
    return count


def set_next_ids(every: Iterable[Table]) -> None:
    connection = connections[TARGET]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [*every]):
            cursor.execute(statement)


# Rows

SAME = (models.CharField, models.TextField, models.IntegerField, models.UUIDField)


def stored_fields(table: Table) -> list[Any]:
    return [field for field in table._meta.concrete_fields if not field.generated]


class AsStored(models.Field[Any, Any]):
    """A value as the database has it: an id as hexadecimal digits, which both databases take. To
    make ULIDs of ids and lists of tags took most of the time of a move."""

    def get_internal_type(self) -> str:
        return "AsStored"

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return value.hex if isinstance(value, UUID) else value


def read(field: Any) -> Any:
    """What to select of a field."""
    if is_same_in_both(field):
        return ExpressionWrapper(F(field.attname), output_field=AsStored())
    return field.attname


def is_same_in_both(field: Any) -> bool:
    """Whether the two databases store the same text, number or id: nothing has to be converted."""
    while field.remote_field:
        field = field.target_field
    return isinstance(field, SAME)


def key_of(table: Table) -> Callable[[Row], Key]:
    """A function that returns the primary key of a row."""
    places = [stored_fields(table).index(field) for field in table._meta.pk_fields]
    return lambda row: tuple(row[place] for place in places)


def all_rows(table: Table, using: str) -> models.QuerySet[Any]:
    return table._base_manager.using(using).order_by()


def in_order(table: Table, using: str) -> Iterator[Row]:
    """All rows by their keys; texts by their code points, as Python compares them."""
    collation = dialect_of(using).BY_CODE_POINT
    order: list[Any] = [
        Collate(field.attname, collation) if isinstance(field, models.CharField) else field.attname
        for field in table._meta.pk_fields
    ]
    values = map(read, stored_fields(table))
    return all_rows(table, using).order_by(*order).values_list(*values).iterator(BATCH)


def paired(table: Table) -> Iterator[tuple[Row | None, Row | None]]:
    """The rows with the same key in `SOURCE` and in `TARGET`; None for one that is missing."""
    key = key_of(table)
    both = merge(
        ((key(row), SOURCE, row) for row in in_order(table, SOURCE)),
        ((key(row), TARGET, row) for row in in_order(table, TARGET)),
        key=itemgetter(0),
    )
    for _, same in groupby(both, itemgetter(0)):
        by_database = {using: row for _, using, row in same}
        yield by_database.get(SOURCE), by_database.get(TARGET)


def delete(table: Table, rows: Sequence[Row]) -> None:
    if rows:
        keys = map(key_of(table), rows)
        pks = [key if len(key) > 1 else key[0] for key in keys]
        all_rows(table, TARGET).filter(pk__in=pks)._raw_delete(TARGET)


def insert(table: Table, rows: Sequence[Row]) -> None:
    """Inserts rows as they are: `bulk_create` would set the moments of `auto_now` anew."""
    connection, fields = connections[TARGET], stored_fields(table)
    converted = [(at, field) for at, field in enumerate(fields) if not is_same_in_both(field)]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    sql = f"INSERT INTO {quote(table._meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    stored = [[*row] for row in rows]
    for values in stored:
        for at, field in converted:
            values[at] = field.get_db_prep_save(values[at], connection)
    with connection.cursor() as cursor:
        cursor.executemany(sql, stored)


def parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while part := [*islice(iterator, BATCH)]:
        yield part
