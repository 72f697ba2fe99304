"""Keeps the list of possible duplicates up to date: the process beside each worker.

The first search of a tenant goes through all contacts. Then the search follows the change log, so
that no write has to wait for it. Each batch is a transaction, which also stores how far the search
is: a process that was killed continues there.
"""

import logging
import time

from django.db import DatabaseError
from django.utils import timezone

from contacts.change_log.feed import FeedPosition
from contacts.db.pacing import Pace
from contacts.db.transactions import transactional
from contacts.finding import duplicates
from contacts.models import Change, DuplicateSearch
from contacts.values.rules import folded
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import turns

logger = logging.getLogger(__name__)

BATCH = 500  # contacts that one transaction checks
INTERVAL = 10  # seconds between two looks at the change log
# Of a change. Without the tenant, Django reads it by one statement for each change.
READ = ("tenant", "xid", "pk", "contact_id", "kind", "into", "fields")
MAX_REST = 1.0  # seconds between two batches while a job waits or runs


def search(*, once: bool, interval: float = INTERVAL) -> None:
    """Searches until nothing is left (`once`), or for ever."""
    paces: dict[str, Pace] = {}
    while True:
        is_left = search_some(paces)
        if once and not is_left:
            return
        if not is_left:
            time.sleep(interval)


def search_some(paces: dict[str, Pace]) -> bool:
    """One batch for each tenant; returns whether something is left. Tenants take turns, so that a
    large one delays no other."""
    is_left = False
    for tenant in Tenant.objects.order_by("pk"):
        pace = paces.setdefault(tenant.pk, Pace(BATCH))
        try:
            with tenant_context(tenant.pk):
                is_left |= search_batch(tenant, pace)
        except DatabaseError:
            logger.exception("Duplicates of tenant %s could not be searched", tenant.slug)
    return is_left


def search_batch(tenant: Tenant, pace: Pace) -> bool:
    """Returns whether there was something to check."""
    stored = started(tenant)
    if stored.finished_at and not has_news(tenant, stored):
        return False
    began = time.monotonic()
    with pace.turn() as turn:
        turn.items = advance(tenant, pace.size)
    if turn.items and turns.waiting_jobs():
        time.sleep(min(time.monotonic() - began, MAX_REST))  # gives the job half of the time
    return turn.items > 0


def started(tenant: Tenant) -> DuplicateSearch:
    """The search of the tenant. A new one follows the change log from now on."""
    if stored := DuplicateSearch.objects.filter(tenant=tenant).first():
        return stored
    begin = {"place": [*tenant.changes.latest_position()], "total": tenant.contacts.count()}
    return DuplicateSearch.objects.get_or_create(tenant=tenant, defaults=begin)[0]


def restart(tenant: Tenant) -> None:
    """Has all contacts checked again."""
    stored = started(tenant)
    stored.last_id = stored.finished_at = None
    stored.checked, stored.total = 0, tenant.contacts.count()
    stored.save(update_fields=["last_id", "finished_at", "checked", "total"])


def has_news(tenant: Tenant, stored: DuplicateSearch) -> bool:
    unread, _ = tenant.changes.after(FeedPosition(*stored.place))
    return unread.exists()


@transactional
def advance(tenant: Tenant, size: int) -> int:
    """Checks at most `size` contacts; returns how many. 0 if none is left, or if another process
    searches for this tenant."""
    locked = DuplicateSearch.objects.filter(tenant=tenant).select_for_update(skip_locked=True)
    if (stored := locked.first()) is None:
        return 0
    number = follow_log(tenant, stored, size) if stored.finished_at else go_on(tenant, stored, size)
    stored.save()
    return number


def go_on(tenant: Tenant, stored: DuplicateSearch, size: int) -> int:
    """Checks the next contacts by id. A contact that is created meanwhile is in the change log."""
    left = tenant.contacts.filter(pk__gt=stored.last_id) if stored.last_id else tenant.contacts
    pks = list(left.order_by("pk").values_list("pk", flat=True)[:size])
    duplicates.check(tenant, pks)
    stored.checked += len(pks)
    if len(pks) < size:
        stored.finished_at = timezone.now()
    else:
        stored.last_id = pks[-1]
    return max(1, len(pks))  # the change log comes next, even if there is no contact


def follow_log(tenant: Tenant, stored: DuplicateSearch, size: int) -> int:
    """Checks the contacts of the next changes."""
    unread, position = tenant.changes.after(FeedPosition(*stored.place))
    changes = list(unread.only(*READ)[:size])
    if changes:
        position = position._replace(xid=changes[-1].xid, id=changes[-1].pk)
        merged = [change for change in changes if change.kind == Change.Kind.MERGED]
        duplicates.pass_on_dismissals(tenant, merged)
        left = {email for change in changes if (email := email_left(change))}
        duplicates.check_changed(tenant, {change.contact_id for change in changes}, left)
    stored.place = [*position]
    return len(changes)


def email_left(change: Change) -> str:
    """The e-mail address, folded, that the contact had before the change; empty if it has not
    changed."""
    return folded(change.fields.get("email", {}).get("old") or "")
