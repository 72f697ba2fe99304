"""Pages of long lists by keyset: a page begins after the position at which the last one ended.

Page 10,000 costs as much as page 1, and a row that does not change keeps its place in the list
while others are written. There is no count, and no OFFSET but a short one inside an index.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import dropwhile
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Model, OrderBy, Q, QuerySet
from django.db.models.functions import Greatest

from .kept import Rows, as_rows
from .planner import IsRare

# How many rows of the list are read in the order of the list before the database has to find all
# matching rows in another way; see `bounded_page` and `searched`. A search has the smaller window,
# because its indexes find the other matching rows faster than a filter does.
SCAN_WINDOW, SEARCH_WINDOW = 20_000, 5_000
FIRST_WINDOW = 500  # rows that a search reads first, see `near`
# How many more rows a page of the API reads, see `bounded_page`: PostgreSQL needs about 80 ms of
# processor time for so many contacts, and 400 to 600 ms for 1,000,000.
MOST_READ = 150_000

Position = tuple[Any, ...]  # of a row in a list: its values in the columns that order the list


class Page(NamedTuple):
    """The `rows` of a page. `edge`: where reading ended although the page is not full; there may be
    more rows after it."""

    rows: list[Any]
    edge: Position | None = None


class Order(NamedTuple):
    """The order of a list: by `column`, and by primary key where two rows have the same value.

    An index on the tenant, `column` and the primary key has this order. Rows without a value in
    `column` are less than all other rows.
    """

    column: str  # or "pk"
    is_descending: bool = False
    is_nullable: bool = False

    def reversed(self) -> "Order":
        return self._replace(is_descending=not self.is_descending)

    def position(self, row: Model) -> Position:
        """The position of `row` in a list with this order."""
        return tuple(getattr(row, name) for name in columns(self.column))

    def after(self, position: Position) -> Q:
        """The condition for the rows after `position`, in all segments."""
        first, *others = self.segments_from(position)
        return reduce(or_, [first.after(position), *(other.within for other in others)])

    def sorted_without_index(self, rows: QuerySet) -> QuerySet:
        """`rows` in this order, written so that the planner cannot use an index for the order.

        No index exists for `GREATEST(column, column)`, which has the same value as the column.
        """
        return rows.order_by(*(self.key_without_index(name) for name in columns(self.column)))

    def key_without_index(self, name: str) -> OrderBy:
        key = Greatest(name, name)
        nulls = self.is_nullable or None
        return key.desc(nulls_last=nulls) if self.is_descending else key.asc(nulls_first=nulls)

    def segments(self) -> "Iterator[Segment]":
        """The two parts of the list, in order: rows with and rows without a value in the column.

        Each part is a range of one index. NULLS LAST would need another index on each database.
        """
        if not self.is_nullable:
            yield Segment(self.column, self.is_descending)
            return
        filled = Segment(self.column, self.is_descending, filled=self.column)
        empty = Segment("pk", self.is_descending, empty=self.column)
        yield from (filled, empty) if self.is_descending else (empty, filled)

    def segments_from(self, after: Position | None) -> "Iterator[Segment]":
        """The segments of the list, except the segments that end before the position `after`."""
        return dropwhile(
            lambda segment: after is not None and not segment.contains(self, after), self.segments()
        )


class Segment(NamedTuple):
    """A part of a list: the rows with a value in `filled` and none in `empty`, by `column` and
    primary key. `filled` and `empty` are columns, or "" where it does not matter."""

    column: str
    is_descending: bool
    filled: str = ""
    empty: str = ""

    @property
    def within(self) -> Q:
        """The condition for the rows of this segment."""
        if self.empty:
            return Q(**{self.empty: None})
        return Q(**{f"{self.filled}__isnull": False}) if self.filled else Q()

    def contains(self, order: Order, position: Position) -> bool:
        """Whether `position` of a list in the order `order` lies in this segment."""
        return (position[0] is None) == (self.column != order.column)

    def sorted(self, rows: QuerySet) -> QuerySet:
        """`rows` of this segment, in order. The first column of the order is also named where it is
        empty: PostgreSQL could follow the primary key otherwise, and read rows of other tenants and
        former phones, which the index of the list leaves out."""
        sign = "-" if self.is_descending else ""
        names = [self.empty] * bool(self.empty) + columns(self.column)
        return rows.filter(self.within).order_by(*(f"{sign}{name}" for name in names))

    @property
    def order(self) -> Order:
        return Order(self.column, self.is_descending)

    def after(self, position: Position) -> Q:
        """The condition for the rows of this segment after `position`."""
        return self.within & self.compared("lt" if self.is_descending else "gt", position)

    def up_to(self, position: Position) -> Q:
        """The condition for the rows up to `position`, which must be near: few rows come before."""
        than = "gte" if self.is_descending else "lte"
        return self.within & self.compared(than, position, IsRare)

    def compared(self, than: str, position: Position, as_range: Callable[[Q], Any] = Q) -> Q:
        """The condition that rows compare with `position` as the look-up `than` says.

        `than`: lt, lte, gt or gte. `as_range`: wraps the condition that is a range of the index, to
        give a hint to the planner.
        """
        pk = Q(**{f"pk__{than}": position[-1]})
        if self.column == "pk":
            return Q(as_range(pk))
        [value, _], strictly = position, than[:2]
        either = Q(**{f"{self.column}__{strictly}": value}) | Q(pk, **{self.column: value})
        # `either` alone is exact, but an index needs the second condition to know where to begin.
        return either & Q(as_range(Q(**{f"{self.column}__{strictly}e": value})))

    def edge(self, rows: Rows, number: int) -> Position | None:
        """The position of the row with this number in `rows`; None if `rows` has fewer rows."""
        return next(iter(rows.then(position_of, self, number).read()), None)


# The steps of queries on lists, see `kept`


def in_segment(rows: QuerySet, segment: Segment, limit: int) -> QuerySet:
    return segment.sorted(rows)[:limit]


def position_of(rows: QuerySet, segment: Segment, number: int) -> QuerySet:
    positions = segment.sorted(rows).values_list(*columns(segment.column))
    return positions[number - 1 : number]


def after_in_segment(rows: QuerySet, segment: Segment, *position: Any) -> QuerySet:
    return rows.filter(segment.after(position))


def up_to_in_segment(rows: QuerySet, segment: Segment, *position: Any) -> QuerySet:
    return rows.filter(segment.up_to(position))


def after_in_list(rows: QuerySet, order: Order, *position: Any) -> QuerySet:
    return rows.filter(order.after(position))


def sorted_at_last(rows: QuerySet, order: Order, limit: int) -> QuerySet:
    return order.sorted_without_index(rows)[:limit]


def keys_sorted_at_last(rows: QuerySet, order: Order, limit: int) -> QuerySet:
    return sorted_at_last(rows.select_related(None), order, limit).values_list("pk")


def with_keys(rows: QuerySet, *keys: Any) -> QuerySet:
    return rows.filter(pk__in=keys)


def named(column: str, position: Position) -> Iterator[tuple[str, Any]]:
    """The values of `position` in a list by `column`, each with its column."""
    return zip((column, "pk")[-len(position) :], position, strict=True)


# Pages


def columns(column: str) -> list[str]:
    """The columns that order a list by `column`."""
    return ["pk"] if column == "pk" else [column, "pk"]


def page(
    rows: Rows | QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
    among: Rows | QuerySet | None = None,
) -> list[Any]:
    """The next `limit` of `rows` in `order`, after the position `after` (None: from the beginning).

    `among`: if `rows` are the result of a filter, all rows that the filter chose from; see
    `bounded_page`.
    """
    if among is not None:
        return bounded_page(rows, order, after, limit, among).rows
    found: list[Any] = []
    rows = as_rows(rows)
    for segment in order.segments_from(after):
        if wanted := limit - len(found):
            found += first_in(starting(rows, segment, after), segment, wanted)
        after = None
    return found


def bounded_page(
    rows: Rows | QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
    among: Rows | QuerySet,
    most: int | None = None,
) -> Page:
    """The next `limit` of `rows`. `rows` are the rows of `among` that match a filter.

    A database can read the list in its order until the page is full, or it can find all matching
    rows and sort them. If the planner chooses wrongly, a page takes seconds; for example if all
    matching rows come from one file that was imported long ago. So this function reads the next
    `SCAN_WINDOW` rows in the order of the list. Only if they do not fill the page, the database
    finds other matching rows and sorts them: all of them, or those among the next `most` rows of
    the list (the bound holds for each segment). Then the page may have an edge.
    """
    found: list[Any] = []
    rows, among = as_rows(rows), as_rows(among)
    for segment in order.segments_from(after):
        some, edge = window(rows, among, segment, after, limit - len(found), SCAN_WINDOW)
        found += some
        if edge and len(found) < limit:
            some, edge = beyond(rows, among, segment, edge, limit - len(found), most)
            found += some
        if len(found) == limit:
            break
        if edge:
            return Page(found, in_list(order, edge))
        after = None
    return Page(found)


def in_list(order: Order, edge: Position) -> Position:
    """The position in the list of a row with the position `edge` in its segment: in the segment
    without values, that is the primary key only."""
    return (*[None] * (len(columns(order.column)) - len(edge)), *edge)


def starting(rows: Rows, segment: Segment, after: Position | None) -> Rows:
    """`rows` after the position `after`; all of them without a position."""
    if not after:
        return rows
    return rows.then(after_in_segment, segment, values=named(segment.column, after))


def up_to(rows: Rows, segment: Segment, edge: Position) -> Rows:
    return rows.then(up_to_in_segment, segment, values=named(segment.column, edge))


def first_in(rows: Rows, segment: Segment, limit: int) -> list[Any]:
    return rows.then(in_segment, segment, limit).read()


def window(
    rows: Rows,
    among: Rows,
    segment: Segment,
    after: Position | None,
    limit: int,
    size: int,
) -> Page:
    """The next `limit` of `rows` among the next `size` rows of `among`, and where these end."""
    rows = starting(rows, segment, after)
    edge = segment.edge(starting(among, segment, after), size)
    return Page(first_in(up_to(rows, segment, edge) if edge else rows, segment, limit), edge)


def beyond(
    rows: Rows, among: Rows, segment: Segment, edge: Position, limit: int, most: int | None
) -> Page:
    """The next `limit` of `rows` after `edge`, among the next `most` rows of `among`, or all."""
    far = starting(rows, segment, edge)
    end = segment.edge(starting(among, segment, edge), most) if most else None
    far = up_to(far, segment, end) if end else far
    # Sorts only the keys: sorting whole rows would write all matching rows to disk.
    keys = far.then(keys_sorted_at_last, segment.order, limit).read()
    pks = [pk for [pk] in keys]
    stored = {row.pk: row for row in rows.then(with_keys, values=(("pk", pk) for pk in pks)).read()}
    return Page([stored[pk] for pk in pks if pk in stored], end)


def searched(
    rows: Rows | QuerySet,
    unindexed: Rows | QuerySet,
    among: Rows | QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
) -> list[Any]:
    """The next `limit` of `rows`. `rows` are the rows of `among` that match a search.

    `unindexed`: the same rows as `rows`, by conditions for which no index exists.

    If many rows match, reading the list in its order finds them fastest; if few rows match, an
    index does. No planner knows how many contacts have a given part of a name. So this function
    reads the next rows in the order of the list, see `near`. If they do not fill the page, an index
    finds the other matching rows, usually few, and the database sorts them.
    """
    found: list[Any] = []
    unindexed, among = as_rows(unindexed), as_rows(among)
    for segment in order.segments_from(after):
        wanted = limit - len(found)
        some, edge = near(unindexed, among, segment, after, wanted)
        found += some
        if len(some) == wanted:
            break
        if edge:
            return found + gathered(rows, order, in_list(order, edge), limit - len(found))
        after = None
    return found


def scanned(
    rows: Rows | QuerySet,
    among: Rows | QuerySet,
    order: Order,
    after: Position | None,
    limit: int,
    size: int,
) -> Page:
    """The next `limit` of `rows` within the next `size` rows of `among`, all rows that the filter
    chose from. The edge is where the search stopped; None if it came to the end of the list.

    For filters that no index helps: to find all matching rows would take seconds.
    """
    found: list[Any] = []
    rows, among = as_rows(rows), as_rows(among)
    for segment in order.segments_from(after):
        some, edge = window(rows, among, segment, after, limit - len(found), size)
        found += some
        if edge or len(found) == limit:
            return Page(found, edge and in_list(order, edge))
        after = None
    return Page(found)


def near(
    rows: Rows, among: Rows, segment: Segment, after: Position | None, limit: int
) -> tuple[list[Any], Position | None]:
    """The next `limit` of `rows` up to an edge, and the edge: the position of the last row of
    `among` that was read; None if all rows of the segment were read.

    Reading 5,000 rows takes ten times as long as the index needs to find a few. So 500 rows are
    read first, and 5,000 only if the share of matching rows among 500 may fill the page then.
    """
    rows, among = starting(rows, segment, after), starting(among, segment, after)
    for size in (min(FIRST_WINDOW, SEARCH_WINDOW), SEARCH_WINDOW):
        edge = segment.edge(among, size)
        found = first_in(up_to(rows, segment, edge) if edge else rows, segment, limit)
        if edge is None or len(found) == limit:
            break
        if len(found) * SEARCH_WINDOW < limit * size:
            break
    return found, edge


def gathered(rows: Rows | QuerySet, order: Order, after: Position | None, limit: int) -> list[Any]:
    """The next `limit` of `rows`, which must be few: the database finds all and sorts them."""
    rows = as_rows(rows)
    if after:
        rows = rows.then(after_in_list, order, values=named(order.column, after))
    return rows.then(sorted_at_last, order, limit).read()
