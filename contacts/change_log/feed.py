"""The feed: all changes of a tenant, in an order to which later commits only append. Readers follow
the feed from a stored position and miss no change.

The ids of changes cannot give this order. PostgreSQL gives out an id before the transaction
commits, so a change with a smaller id can become visible later than a change with a greater id. A
reader that stored the greater id would miss the later change. Therefore the feed is ordered by the
number of the transaction (`xid`), then by id. The feed ends before the oldest transaction that is
still running: no uncommitted change can precede what the feed shows.

A dump that was restored brings the transaction numbers of another server. Those numbers may lie in
the future of this server. `settle_restored` replaces them by negative numbers. A database that was
taken back to an earlier moment gives out numbers for the second time, which no number shows: then
the command `settle_changes` calls `settle`.
"""

from typing import Any, NamedTuple, Self, TypeVar

from django.db import connections, models
from django.db.models.expressions import RawSQL

from contacts.db.dialects import dialect_of
from tenants.models import Tenant

NOTHING_RESTORED = -(2**62)  # less than every number that `settle_restored` gives

Row = TypeVar("Row", bound=models.Model)


class FeedPosition(NamedTuple):
    """A position in the feed: after the change with this `xid` and `id`.

    `restored`: the result of `FeedQuerySet.restored` when the position was stored. A greater number
    later shows that a dump was restored, and that the change at the position has another `xid` now.
    """

    xid: int = -(2**63)
    id: int = 0
    restored: int = NOTHING_RESTORED


class FeedQuerySet(models.QuerySet[Row]):
    """Reads the feed of one tenant: all methods need a queryset that is limited to one tenant."""

    def latest_position(self) -> FeedPosition:
        """The position at the end of the feed, for a reader that wants only later changes."""
        changes, position = self.after(FeedPosition())
        last = changes.reverse().values_list("xid", "id").first()
        return FeedPosition(last[0], last[1], position.restored) if last else position

    def after(self, position: FeedPosition) -> tuple[Self, FeedPosition]:
        """The changes after `position` that no uncommitted transaction can still precede, in order.

        The second value is `position` itself, or the position that replaces it because a dump was
        restored. The next position must be made from it.
        """
        oldest = self._oldest_running()
        restored = self.restored()
        if restored > position.restored:
            position = self._after_restore(position, restored)
        # This comparison is one range of the index. Two conditions joined by OR would make
        # PostgreSQL read the whole log before the position.
        later = RawSQL("(xid, id) > (%s, %s)", [*position[:2]], models.BooleanField())
        return self.filter(later, xid__lt=oldest).order_by("xid", "id"), position

    def _oldest_running(self) -> int:
        """The number of the oldest transaction that is still running. On a Citus cluster each node
        numbers its own transactions, so the node that has the changes is asked."""
        dialect = dialect_of(self.db)
        if dialect.HAS_NODES:
            number = RawSQL(dialect.OLDEST_RUNNING, [])  # noqa: S611 - no user input
            return self.order_by().values_list(number, flat=True).first() or 0
        with connections[self.db].cursor() as cursor:
            cursor.execute(f"SELECT {dialect.OLDEST_RUNNING}")
            return cursor.fetchone()[0]

    def _after_restore(self, position: FeedPosition, restored: int) -> FeedPosition:
        """The position that replaces `position` after a dump was restored.

        The change at `position` is found by its id. If the log does not contain the change, the new
        position is so early that the reader gets some changes twice but misses none. If the change
        was written after the dump was made, the new position is after all restored changes.
        """
        # A new change may have an id that a lost change had.
        found = self.filter(pk=position.id, xid__lt=0).values_list("xid", "id").first()
        if found is None:
            later = self.filter(xid__lt=0, id__gt=position.id).order_by("xid", "id")
            xid = later.values_list("xid", flat=True).first()
            found = (restored + 1, 0) if xid is None else (xid, 0)
        return FeedPosition(found[0], found[1], restored)

    def restored(self) -> int:
        """The greatest transaction number of the restored changes; each restored dump raises it."""
        restored = self.filter(xid__lt=0).order_by("-xid")
        return restored.values_list("xid", flat=True).first() or NOTHING_RESTORED

    def are_foreign(self) -> bool:
        """Whether some changes have transaction numbers that this server has not given out yet:
        they come from a restored dump."""
        newest = dialect_of(self.db).NEXT
        return self.filter(xid__gte=RawSQL(newest, [])).exists()  # noqa: S611

    def settle_restored(self) -> int:
        """Calls `settle` if the changes come from a restored dump. Returns how many were moved."""
        return self.settle() if self.are_foreign() else 0

    def settle(self) -> int:
        """Moves all changes before those that this server will write. Returns how many were moved.

        The changes get numbers below 0, in their old order, after the changes of earlier restores.
        """
        restored = self.restored()
        moved = self.filter(xid__gte=0)
        first = moved.order_by("xid").values_list("xid", flat=True).first()
        if first is None:  # no change is new since the last restore, but positions may be
            moved, first = self.filter(xid=restored), restored
        return moved.update(xid=models.F("xid") + (restored + 1 - first))


def settle_restored(using: str, **kwargs: Any) -> None:
    """Calls `settle_restored` for each tenant, after `migrate`, which runs after each restore.

    `using`: the alias of the database. A receiver of Django's signal `post_migrate`.
    """
    if "contacts_change" in connections[using].introspection.table_names():
        for tenant in Tenant.objects.using(using):
            tenant.changes.using(using).settle_restored()
