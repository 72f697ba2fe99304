"""Brings the folded names of stored contacts up to date: a process beside each worker, until done.

`values.folding` says how names are folded. A new version of the rule counts for what is written
from then on; this job does the rest while servers write. It goes through all contacts by their
ids, and then follows the change log for a day, because servers of the previous version may run
beside those of this version, and fold as that version does. Each batch is a transaction, which also
stores how far the job is: a process that was killed continues there.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from contacts.change_log.feed import FeedPosition
from contacts.db.pacing import Pace
from contacts.db.transactions import transactional
from contacts.models import ContactQuerySet, NameFolding
from contacts.values import folding
from contacts.writing.refold import refold
from tenants.isolation import tenant_context
from tenants.models import Tenant

logger = logging.getLogger(__name__)

BATCH = 1000  # contacts that one transaction reads
INTERVAL = 10  # seconds between two looks at the change log
FOLLOWED = timedelta(days=1)  # that servers of the previous version may run beside this version


def fold(
    *,
    once: bool,
    interval: float = INTERVAL,
    progress: Callable[[int], object] = lambda number: None,
) -> None:
    """Works until nothing is left at the moment (`once`), or until nothing can come any more. An
    installation without a tenant waits for the first one. `progress`: called with the number of
    contacts that were read, at most."""
    paces: dict[str, Pace] = {}
    while True:
        tenants = [*Tenant.objects.order_by("pk")]
        number = sum(fold_some(tenant, paces) for tenant in tenants)
        progress(number)
        if not number:
            if once or (tenants and all(is_over(tenant) for tenant in tenants)):
                return
            time.sleep(interval)


def number_left() -> int:
    """How many contacts are to be read by their ids, of all tenants."""
    number = 0
    for tenant in Tenant.objects.order_by("pk"):
        with tenant_context(tenant.pk):
            begun = NameFolding.objects.filter(tenant=tenant, version=folding.VERSION).first()
            if not (begun and begun.finished_at):
                number += left(tenant, begun.last_id if begun else None).count()
    return number


def left(tenant: Tenant, last_id: str | None) -> ContactQuerySet:
    """The contacts after `last_id`, in the order of their ids."""
    ordered = tenant.contacts.order_by("pk")
    return ordered.filter(pk__gt=last_id) if last_id else ordered


def fold_some(tenant: Tenant, paces: dict[str, Pace]) -> int:
    """One batch of the tenant; returns how many contacts were read, at most. 0 if none is left."""
    pace = paces.setdefault(tenant.pk, Pace(BATCH))
    try:
        with tenant_context(tenant.pk), pace.turn() as turn:
            start(tenant)
            turn.items = advance(tenant, pace.size)
    except DatabaseError:
        logger.exception("Names of tenant %s could not be folded", tenant.slug)
        return 0
    return turn.items


def start(tenant: Tenant) -> None:
    """Stores that the job begins, unless it has begun for this version of the rule."""
    begun = NameFolding.objects.filter(tenant=tenant, version=folding.VERSION)
    if not begun.exists():
        fields = {"version": folding.VERSION, "place": [*tenant.changes.latest_position()]}
        fields |= {"last_id": None, "started_at": timezone.now(), "finished_at": None}
        NameFolding.objects.update_or_create(tenant=tenant, defaults=fields)


@transactional
def advance(tenant: Tenant, size: int) -> int:
    """Reads at most `size` contacts; returns how many. 0 if none is left, or if another process
    has the tenant."""
    locked = NameFolding.objects.filter(tenant=tenant).select_for_update(skip_locked=True)
    if (stored := locked.first()) is None or is_over(tenant, stored):
        return 0
    step = follow_log if stored.finished_at else go_on
    number = step(tenant, stored, size)
    stored.save()
    return number


def go_on(tenant: Tenant, stored: NameFolding, size: int) -> int:
    """Reads the next contacts by id."""
    unread = left(tenant, stored.last_id)
    last = unread.values_list("pk", flat=True)[size - 1 : size].first()
    refold(tenant, unread.filter(pk__lte=last) if last else unread)
    if last is None:
        stored.finished_at = timezone.now()
    else:
        stored.last_id = last
    return size


def follow_log(tenant: Tenant, stored: NameFolding, size: int) -> int:
    """Reads the contacts of the next changes."""
    unread, position = tenant.changes.after(FeedPosition(*stored.place))
    changes = list(unread.values_list("xid", "pk", "contact_id")[:size])
    if changes:
        xid, pk, _ = changes[-1]
        position = position._replace(xid=xid, id=pk)
        refold(tenant, tenant.contacts.filter(pk__in={contact for *_, contact in changes}))
    stored.place = [*position]
    return len(changes)


def is_over(tenant: Tenant, stored: NameFolding | None = None) -> bool:
    """Whether no more change has to be read for the tenant."""
    stored = stored or NameFolding.objects.filter(tenant=tenant).first()
    if stored is None or stored.finished_at is None:
        return False
    return timezone.now() > stored.started_at + FOLLOWED
