"""What the staff have done to many contacts at once, in the background where they are many."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone
from django_tasks import task

from contacts.change_log.cause import caused_by
from contacts.db.pacing import Pace
from contacts.db.transactions import transactional, tried_twice
from contacts.models import (
    BulkAction,
    BulkBatch,
    Change,
    Contact,
    ContactQuerySet,
    ContactTag,
    Decision,
)
from contacts.values import rules
from contacts.writing.undo import AT_ONCE, undo
from tenants.fields import bits_of, ulid_of
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import turns
from .files import data_folder
from .lock import alone_in

logger = logging.getLogger(__name__)

BATCH = 2000  # contacts a transaction
REFUSALS = 100  # that are kept
WIDTH = 16  # bytes of an id
ADMIN = "admin"  # where the staff's decisions come from
LATER = "has decided something at a later time"
STOPPED = "It has stopped on our side, and will go on when a worker is started again."


# What there is to do


class Done(NamedTuple):
    """`refused`: the phones of those who stay as they were, and why."""

    changed: int
    refused: list[tuple[str, str]]


Verb = Callable[[Tenant, list[str], str], Done]


def locked(tenant: Tenant, pks: list[str]) -> ContactQuerySet:
    return tenant.contacts.filter(pk__in=pks).order_by("phone").select_for_update()


def set_locale(tenant: Tenant, pks: list[str], locale: str) -> Done:
    others = list(locked(tenant, pks).exclude(locale=locale).only("tenant_id", "phone", "locale"))
    for contact in others:
        contact.locale = locale
    Contact.objects.change_many(others, ["locale"])
    return Done(len(others), [])


def retagging(retagged: Callable[[list[str], str], list[str]]) -> Verb:
    """An action that gives each contact the tags that `retagged` makes of its own and of the
    action's value."""

    def run(tenant: Tenant, pks: list[str], value: str) -> Done:
        done = tenant.contacts.retag(tenant, pks, lambda tags: retagged(tags, value))
        return Done(len(done.changed), done.refused)

    return run


def with_tag(tags: list[str], name: str) -> list[str]:
    return tags if name in tags else rules.tags([*tags, name])


def with_tags_merged(tags: list[str], names: str) -> list[str]:
    """The last of the tag names in the place of the others."""
    *old, new = names.split(",")
    return list(dict.fromkeys(new if tag in old else tag for tag in tags))


def without_tags(tags: list[str], names: str) -> list[str]:
    return [tag for tag in tags if tag not in names.split(",")]


def opt_out(tenant: Tenant, pks: list[str], value: str) -> Done:
    """Of those who have said no already, the first time stays."""
    out = Decision(Change.Kind.OPTED_OUT, timezone.now(), ADMIN)
    willing = list(locked(tenant, pks).filter(opted_out_at=None))
    Contact.objects.decide_many(willing, out)
    refused = [(one.phone, LATER) for one in willing if one.opted_out_at != out.at]
    return Done(len(willing) - len(refused), refused)


def delete(tenant: Tenant, pks: list[str], value: str) -> Done:
    _, counts = tenant.contacts.filter(pk__in=pks).delete()
    return Done(counts.get(Contact._meta.label, 0), [])


def take_back(tenant: Tenant, pks: list[str], change_set: str) -> Done:
    """Of contacts that are partly taken back, what was not is told too."""
    undone = undo(tenant, change_set, pks)
    refused = [(one.name, str(kept)) for one in undone for kept in one.kept]
    return Done(sum(bool(one.taken_back) for one in undone), refused)


VERBS: dict[str, Verb] = {
    BulkAction.Kind.ADD_TAG: retagging(with_tag),
    BulkAction.Kind.REMOVE_TAG: retagging(without_tags),
    BulkAction.Kind.SET_LOCALE: set_locale,
    BulkAction.Kind.OPT_OUT: opt_out,
    BulkAction.Kind.DELETE: delete,
    BulkAction.Kind.MERGE_TAGS: retagging(with_tags_merged),
    BulkAction.Kind.RENAME_TAG: retagging(with_tags_merged),
    BulkAction.Kind.DELETE_TAGS: retagging(without_tags),
    BulkAction.Kind.UNDO: take_back,
}


def gone(action: BulkAction) -> list[str]:
    """The names of the tags that an action leaves no contact."""
    names = action.value.split(",")
    if action.kind in BulkAction.REPLACING:
        return names[:-1]
    return names if action.kind == BulkAction.Kind.DELETE_TAGS else []


# Doing it


def start(action: BulkAction) -> None:
    """Does it at once, where the contacts are few; else, and where that fails, a worker does."""
    if action.total <= AT_ONCE:
        try:
            run(action.pk)
        except Exception:
            logger.exception("Bulk action %s is left to a worker", action.pk)
        else:
            return
    transaction.on_commit(partial(enqueue, action.pk))


@transactional
def plan(tenant: Tenant, actor: str, kind: str, value: str, pks: list[str]) -> BulkAction:
    """What is to be done to the contacts of `tenant` with these ids."""
    action = BulkAction.objects.create(
        tenant=tenant, actor=actor, kind=kind, value=value, total=len(pks)
    )
    BulkBatch.objects.bulk_create(
        BulkBatch(
            tenant=tenant, action=action, number=first, contacts=pack(pks[first : first + BATCH])
        )
        for first in range(0, len(pks), BATCH)
    )
    return action


def enqueue(pk: str) -> None:
    """Where the queue is down, the action waits for the next start of a worker."""
    try:
        run_bulk_action.enqueue(pk)
    except Exception:
        logger.exception("Bulk action %s could not be put into the queue", pk)


@task()
def run_bulk_action(pk: str) -> None:
    """Does what is to be done next: this action, or a job of a tenant that has waited longer."""
    turns.give(BulkAction, pk)


@turns.runs(BulkAction)
def run_in_turn(pk: str) -> None:
    """`run`, until its turn is over. Raises `ImportRuns` where another worker does it."""
    action = BulkAction.objects.filter(pk=pk).first()
    if action is None:
        return  # its tenant was deleted
    with alone_in(data_folder("turns") / pk) as folder, turns.Turn(action.tenant_id) as turn:
        folder.rmdir()
        is_over = run(pk, turn.is_over)
    if not is_over:
        enqueue(pk)


def run(pk: str, must_give_way: Callable[[], bool] = lambda: False) -> bool:
    """Does what is still to be done, and returns whether that is all of it. Idempotent, also where
    two run at the same time: a batch and what is left are written in one transaction."""
    pace = Pace(BATCH)
    more = True
    try:
        while more:
            with pace.turn() as turn:
                turn.items = tried_twice(lambda: run_batch(pk, pace.size))
            more = turn.items > 0
            if more and must_give_way():
                return False
    except Exception:
        BulkAction.objects.filter(pk=pk).update(problem=STOPPED)
        raise
    return True


@transactional
def run_batch(pk: str, size: int = BATCH) -> int:
    """Does at most `size` contacts. Returns how many; none are left where that is 0."""
    action = BulkAction.objects.select_for_update().filter(pk=pk, finished_at=None).first()
    if action is None:
        return 0
    action.problem = ""
    batch = action.left.order_by("number").first() or late(action)
    pks = take(batch, size) if batch else []
    if pks:
        with tenant_context(action.tenant_id), caused_by(action.actor, action.pk):
            note(action, len(pks), VERBS[action.kind](action.tenant, pks, action.value))
    else:
        action.tenant.tags.filter(name__in=gone(action)).delete_unused()
        action.finished_at = timezone.now()
    action.save()
    return len(pks)


def take(batch: BulkBatch, size: int) -> list[str]:
    """Takes at most `size` contacts out of what is still to be done."""
    ids = bytes(batch.contacts)
    batch.contacts = ids[size * WIDTH :]
    if batch.contacts:
        batch.save(update_fields=["contacts"])
    else:
        batch.delete()
    return unpack(ids[: size * WIDTH])


def late(action: BulkAction) -> BulkBatch | None:
    """Contacts that have got a tag which is being replaced since they were counted."""
    if action.kind not in BulkAction.REPLACING:
        return None
    # No join: while PostgreSQL takes the tables for small ones, it may go through all links of a
    # tag for each contact, or through all tags for each link.
    tags = [*action.tenant.tags.filter(name__in=gone(action)).values_list("pk", flat=True)]
    links = ContactTag.objects.filter(tenant=action.tenant_id, tag__in=tags)
    carriers = links.order_by("contact_id").values_list("contact_id", flat=True).distinct()
    if not (pks := list(carriers[:BATCH])):
        return None
    action.total += len(pks)
    return BulkBatch.objects.create(
        tenant=action.tenant, action=action, number=action.total, contacts=pack(pks)
    )


def note(action: BulkAction, number: int, done: Done) -> None:
    action.done += number
    action.changed += done.changed
    action.refused += len({phone for phone, _ in done.refused})
    action.refusals = [*action.refusals, *done.refused][:REFUSALS]


def take_up() -> None:
    """Puts into the queue what a worker has left, killed or stopped."""
    left = BulkAction.objects.filter(finished_at=None)
    left.update(problem="")
    for pk in left.values_list("pk", flat=True):
        enqueue(pk)


def pack(pks: Iterable[str]) -> bytes:
    return b"".join(bits_of(pk).to_bytes(WIDTH, "big") for pk in pks)


def unpack(ids: bytes) -> list[str]:
    starts = range(0, len(ids), WIDTH)
    return [ulid_of(int.from_bytes(ids[start : start + WIDTH], "big")) for start in starts]
