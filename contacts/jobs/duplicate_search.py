"""Keeps the list of possible duplicates up to date: the process beside each worker.

The first search of a tenant goes through all contacts. Then the search follows the change log, so
that no write has to wait for it. Each batch stores its pairs and how far the search is in one
transaction: a process that was killed continues there.

Reading and comparing contacts takes most of the time. On SQLite this happens before a batch takes
the lock for writing. A contact that changes between is in the change log, and is checked again.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from itertools import islice
from typing import NamedTuple

from django.db import DatabaseError, transaction
from django.utils import timezone

from contacts.change_log.feed import FeedPosition
from contacts.db.pacing import Pace
from contacts.db.transactions import transactional_unless_alone
from contacts.finding import duplicates
from contacts.models import Change, DuplicateSearch
from contacts.values.rules import folded
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import turns

logger = logging.getLogger(__name__)

BATCH = 500  # contacts that are compared at once: each batch takes about forty statements
INTERVAL = 10  # seconds between two looks at the change log
# Of a change. Without the tenant, Django reads it by one statement for each change.
READ = ("tenant", "xid", "pk", "contact_id", "kind", "into", "fields")
MAX_REST = 1.0  # seconds between two batches while a job waits or runs


Progress = Callable[[int], object]  # called with the number of contacts that were checked


def search(
    *, once: bool, interval: float = INTERVAL, progress: Progress = lambda number: None
) -> None:
    """Searches until nothing is left (`once`), or for ever."""
    paces: dict[str, Pace] = {}
    while True:
        is_left = search_some(paces, progress)
        if once and not is_left:
            return
        if not is_left:
            time.sleep(interval)


def number_left() -> int:
    """How many contacts are to be checked by their ids, of all tenants."""
    number = 0
    for tenant in Tenant.objects.order_by("pk"):
        with tenant_context(tenant.pk):
            stored = started(tenant)
            number += 0 if stored.finished_at else max(0, stored.total - stored.checked)
    return number


def search_some(paces: dict[str, Pace], progress: Progress) -> bool:
    """One batch for each tenant; returns whether something is left. Tenants take turns, so that a
    large one delays no other."""
    is_left = False
    for tenant in Tenant.objects.order_by("pk"):
        pace = paces.setdefault(tenant.pk, Pace(BATCH))
        try:
            with tenant_context(tenant.pk):
                is_left |= search_batch(tenant, pace, progress)
        except DatabaseError:
            logger.exception("Duplicates of tenant %s could not be searched", tenant.slug)
    return is_left


def search_batch(tenant: Tenant, pace: Pace, progress: Progress) -> bool:
    """Returns whether there was something to check."""
    stored = started(tenant)
    if stored.finished_at and not has_news(tenant, stored):
        return False
    began = time.monotonic()
    try:
        number = advance(tenant, pace)
    except Overtaken:
        return True
    progress(number)
    if number and turns.waiting_jobs():
        time.sleep(min(time.monotonic() - began, MAX_REST))  # gives the job half of the time
    return number > 0


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
    # Not `exists`, which asks for any row: if there is none, PostgreSQL may read all tenants' log.
    return unread.values_list("pk").first() is not None


class Overtaken(Exception):
    """Another process has done this batch meanwhile, or somebody has restarted the search."""


class Work(NamedTuple):
    """What a batch checks. `number`: how much of what is left; 0 if nothing is left. `merged`:
    the changes that record a merge."""

    number: int
    contact_ids: set[str]
    merged: list[Change]


@transactional_unless_alone
def advance(tenant: Tenant, pace: Pace) -> int:
    """Checks at most `BATCH` contacts; returns how many. 0 if none is left, or if another process
    searches for this tenant. Raises `Overtaken`.

    `pace`: how many keys of contacts one transaction writes on SQLite.
    """
    locked = DuplicateSearch.objects.filter(tenant=tenant).select_for_update(skip_locked=True)
    if (before := locked.first()) is None:
        return 0
    after = copy(before)
    find_work = follow_log if before.finished_at else go_on
    work = find_work(tenant, after, BATCH)
    keys, others = duplicates.key_changes(tenant, work.contact_ids)
    left = iter(keys.items())
    while some := dict(islice(left, pace.size)):
        with writing(pace, before, len(some)):
            duplicates.store_keys(tenant, some)
    pairs = duplicates.pair_changes(tenant, work.contact_ids | others)
    with writing(pace, before):
        duplicates.pass_on_dismissals(tenant, work.merged)
        duplicates.store_pairs(tenant, pairs)
        after.save()
    return work.number


@contextmanager
def writing(pace: Pace, before: DuplicateSearch, keys: int = 0) -> Iterator[None]:
    """A transaction that writes for a batch which began in the state `before`.

    Raises `Overtaken` if the state is another one now: another process may have checked contacts
    that changed after this process read them, and their old keys and pairs would come back.
    """
    with pace.turn(keys), transaction.atomic():
        if not DuplicateSearch.objects.get(tenant=before.tenant_id).has_state_of(before):
            raise Overtaken
        yield


def go_on(tenant: Tenant, search: DuplicateSearch, size: int) -> Work:
    """The next contacts by id. A contact that is created meanwhile is in the change log. Moves
    `search`, unsaved."""
    left = tenant.contacts.filter(pk__gt=search.last_id) if search.last_id else tenant.contacts
    pks = list(left.order_by("pk").values_list("pk", flat=True)[:size])
    search.checked += len(pks)
    if len(pks) < size:
        search.finished_at = timezone.now()
    else:
        search.last_id = pks[-1]
    return Work(max(1, len(pks)), {*pks}, [])  # the change log comes next, even without contacts


def follow_log(tenant: Tenant, search: DuplicateSearch, size: int) -> Work:
    """The contacts of the next changes. Moves `search`, unsaved."""
    unread, position = tenant.changes.after(FeedPosition(*search.place))
    changes = list(unread.only(*READ)[:size])
    if changes:
        position = position._replace(xid=changes[-1].xid, id=changes[-1].pk)
    search.place = [*position]
    merged = [change for change in changes if change.kind == Change.Kind.MERGED]
    left = {email for change in changes if (email := email_left(change))}
    changed = {change.contact_id for change in changes}
    return Work(len(changes), duplicates.affected(tenant, changed, left), merged)


def email_left(change: Change) -> str:
    """The e-mail address, folded, that the contact had before the change; empty if it has not
    changed."""
    return folded(change.fields.get("email", {}).get("old") or "")
