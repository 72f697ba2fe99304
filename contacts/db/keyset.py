"""A page of a long list, found by where the last one ended: page 10,000 costs what page 1 costs,
and a row that stands still keeps its place however many are written meanwhile.

No count, and no OFFSET but a short one within an index.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import dropwhile
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Model, OrderBy, Q, QuerySet
from django.db.models.functions import Greatest

from .planner import IsRare

# Rows that are looked through in the order of the list before all the others are: by a filter of
# the staff's, and by a search, which finds others sooner.
NEAR, SOON = 20_000, 5_000

Position = tuple[Any, ...]  # of a row: the values of its order's columns


class Order(NamedTuple):
    """By `column`, where equal by primary key: as an index has it behind the tenant. Rows that
    have nothing there are less than all others."""

    column: str  # or "pk"
    is_descending: bool = False
    is_nullable: bool = False

    def reversed(self) -> "Order":
        return self._replace(is_descending=not self.is_descending)

    def position(self, row: Model) -> Position:
        return tuple(getattr(row, name) for name in columns(self.column))

    def behind(self, position: Position) -> Q:
        """The rows behind `position`, wherever it is."""
        first, *others = self.segments_from(position)
        return reduce(or_, [first.behind(position), *(other.within for other in others)])

    def sorted_without_index(self, rows: QuerySet) -> QuerySet:
        """No planner knows an index for what is greater, a value or itself."""
        return rows.order_by(*(self.key_without_index(name) for name in columns(self.column)))

    def key_without_index(self, name: str) -> OrderBy:
        key = Greatest(name, name)
        nulls = self.is_nullable or None
        return key.desc(nulls_last=nulls) if self.is_descending else key.asc(nulls_first=nulls)

    def segments(self) -> "Iterator[Segment]":
        """The parts that indexes have one behind the other: NULLS LAST would ask for another
        index on each database."""
        if not self.is_nullable:
            yield Segment(Q(), self.column, self.is_descending)
            return
        filled = Segment(Q(**{f"{self.column}__isnull": False}), self.column, self.is_descending)
        empty = Segment(Q(**{self.column: None}), "pk", self.is_descending)
        yield from (filled, empty) if self.is_descending else (empty, filled)

    def segments_from(self, after: Position | None) -> "Iterator[Segment]":
        """Without those that end before the position `after`."""
        return dropwhile(lambda s: after is not None and not s.holds(self, after), self.segments())


class Segment(NamedTuple):
    """The rows `within`, by a column that all of them have, and by primary key."""

    within: Q
    column: str
    is_descending: bool

    def holds(self, order: Order, position: Position) -> bool:
        return (position[0] is None) == (self.column != order.column)

    def sorted(self, rows: QuerySet) -> QuerySet:
        sign = "-" if self.is_descending else ""
        names = (f"{sign}{name}" for name in columns(self.column))
        return rows.filter(self.within).order_by(*names)

    @property
    def order(self) -> Order:
        return Order(self.column, self.is_descending)

    def behind(self, position: Position) -> Q:
        return self.within & self.compared("lt" if self.is_descending else "gt", position)

    def up_to(self, position: Position) -> Q:
        """The rows up to a position that is not far."""
        than = "gte" if self.is_descending else "lte"
        return self.within & self.compared(than, position, IsRare)

    def compared(self, than: str, position: Position, as_range: Callable[[Q], Any] = Q) -> Q:
        """`as_range`: wraps the condition on the index, to give the planner a hint."""
        pk = Q(**{f"pk__{than}": position[-1]})
        if self.column == "pk":
            return Q(as_range(pk))
        [value, _], strictly = position, than[:2]
        either = Q(**{f"{self.column}__{strictly}": value}) | Q(pk, **{self.column: value})
        # The second one is what an index can begin at.
        return either & Q(as_range(Q(**{f"{self.column}__{strictly}e": value})))

    def edge(self, rows: QuerySet, number: int) -> Position | None:
        """Where the first `number` of `rows` end; None where there are fewer."""
        last = self.sorted(rows).values_list(*columns(self.column))
        return last[number - 1 : number].first()


def columns(column: str) -> list[str]:
    return ["pk"] if column == "pk" else [column, "pk"]


def page(
    rows: QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
    among: QuerySet | None = None,
) -> list[Any]:
    """The next `limit` of `rows`, behind the position `after`.

    `among`: the rows that a filter has picked them from; see `picked`.
    """
    found: list[Any] = []
    for segment in order.segments_from(after):
        wanted = limit - len(found)
        if wanted and among is None:
            found += some(segment.sorted(rows), segment, after)[:wanted]
        elif wanted and among is not None:
            found += picked(rows, among, segment, after, wanted)
        after = None
    return found


def some(rows: QuerySet, segment: Segment, after: Position | None) -> QuerySet:
    return rows.filter(segment.behind(after)) if after else rows


def picked(
    rows: QuerySet, among: QuerySet, segment: Segment, after: Position | None, limit: int
) -> list[Any]:
    """A page of `rows` that a filter has picked from `among`.

    A database goes through the list in its order until it has enough; or finds all that the
    filter picks, and sorts them. Where it guesses wrong which is better, as for things that all
    came in one file long ago, a page takes seconds. So it goes through the next `NEAR` in their
    order, and where those have not enough, it has to find all the others.
    """
    rows = some(rows, segment, after)
    edge = segment.edge(some(among, segment, after), NEAR)
    if edge is None:
        return list(segment.sorted(rows)[:limit])
    near = list(segment.sorted(rows.filter(segment.up_to(edge)))[:limit])
    if len(near) == limit:
        return near
    behind = rows.filter(segment.behind(edge)).select_related(None)
    # Only keys are sorted: whole rows of all that is picked would go to disk.
    others = segment.order.sorted_without_index(behind).values_list("pk", flat=True)
    pks = list(others[: limit - len(near)])
    there = rows.in_bulk(pks)
    return [*near, *(there[pk] for pk in pks if pk in there)]


def searched(
    rows: QuerySet,
    plainly: QuerySet,
    among: QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
) -> list[Any]:
    """A page of `rows` that a search has picked from `among`; `plainly`: the same ones, said so
    that no index finds them.

    What many have is found soon in the order of the list; what few have, by an index. How many
    have a part of a name, no planner knows. So the next `SOON` are looked through, and where those
    have not enough, the rest is found by an index and sorted; mostly there are not many.
    """
    found: list[Any] = []
    for segment in order.segments_from(after):
        edge = segment.edge(some(among, segment, after), SOON)
        near = some(plainly, segment, after)
        if edge:
            near = near.filter(segment.up_to(edge))
        found += segment.sorted(near)[: limit - len(found)]
        if len(found) == limit:
            break
        if edge:
            nowhere = [None] * (len(columns(order.column)) - len(edge))
            return found + gathered(rows, order, (*nowhere, *edge), limit - len(found))
        after = None
    return found


def gathered(rows: QuerySet, order: Order, after: Position | None, limit: int) -> list[Any]:
    """A page of `rows`, which are few: all are found, and sorted."""
    if after:
        rows = rows.filter(order.behind(after))
    return list(order.sorted_without_index(rows)[:limit])
