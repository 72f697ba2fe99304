"""Bulk actions: what staff and programs do to many contacts at once, in the background if there are
many."""

import json
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_noop
from django_tasks import task

from contacts.change_log.cause import caused_by
from contacts.db.expressions import IsAnyOf
from contacts.db.pacing import Pace
from contacts.db.transactions import retry_after_race, transactional
from contacts.finding import duplicates
from contacts.models import (
    BulkAction,
    BulkBatch,
    Change,
    Contact,
    ContactQuerySet,
    ContactTag,
    Duplicate,
)
from contacts.values import rules
from contacts.writing import consent, edit, former_phones, tags
from contacts.writing.consent import Decision
from contacts.writing.delete import delete_many
from contacts.writing.merge import merge
from contacts.writing.undo import AT_ONCE, undo
from tenants.fields import bits_of, hex_id, ulid_of
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import turns
from .files import data_folder
from .lock import locked

logger = logging.getLogger(__name__)

BATCH = 2000  # contacts that one transaction changes
MAX_RUNNING = 10  # actions of a tenant that programs have started and that are not finished
MAX_REFUSALS = 100  # that are stored with their reasons
ID_BYTES = 16
CONSENT_SOURCE = "admin"  # of a decision that is recorded by a bulk action
UPDATE_SOURCE = "bulk-update"  # the same for `update`
HAS_LATER_DECISION = gettext_noop("has made a later decision on consent")
STOPPED = gettext_noop(
    "An error on the server has stopped it. It goes on when somebody retries it in the admin, or"
    " when a worker starts."
)


# What an action does to contacts


class Result(NamedTuple):
    """`changed`: the number of contacts that were changed. `refused`: contacts that stay as they
    are although the action should change them, each with its phone and the reason."""

    changed: int
    refused: list[tuple[str, str]]


def add_tag(tenant: Tenant, pks: list[str], tag: str) -> Result:
    def with_tag(names: list[str]) -> list[str]:
        return names if tag in names else rules.tags([*names, tag])

    return retag(tenant, pks, with_tag)


def remove_tags(tenant: Tenant, pks: list[str], value: str) -> Result:
    removed = value.split(",")
    return retag(tenant, pks, lambda names: tags.without(names, removed))


def replace_tags(tenant: Tenant, pks: list[str], value: str) -> Result:
    """Puts the last of the tags that `value` names in the place of the others."""
    *old, new = value.split(",")
    return retag(tenant, pks, lambda names: tags.replaced(names, old, [new]))


def retag(tenant: Tenant, pks: list[str], new_tags: Callable[[list[str]], list[str]]) -> Result:
    done = tags.retag(tenant, pks, new_tags)
    return Result(len(done.changed), done.refused)


def set_locale(tenant: Tenant, pks: list[str], locale: str) -> Result:
    others = locked_contacts(tenant, pks).exclude(locale=locale)
    contacts = list(others.only("tenant_id", "phone", "locale"))
    for contact in contacts:
        contact.locale = locale
    edit.change_many(contacts, ["locale"])
    return Result(len(contacts), [])


def opt_out(tenant: Tenant, pks: list[str], value: str, source: str = CONSENT_SOURCE) -> Result:
    """A contact that has opted out already keeps the time of its first decision."""
    decision = Decision(Change.Kind.OPTED_OUT, timezone.now(), source)
    contacts = list(locked_contacts(tenant, pks).filter(opted_out_at=None))
    consent.decide_many(contacts, decision)
    late = [contact for contact in contacts if contact.opted_out_at != decision.at]
    refused = [(contact.phone, HAS_LATER_DECISION) for contact in late]
    return Result(len(contacts) - len(refused), refused)


def update(tenant: Tenant, pks: list[str], value: str) -> Result:
    """Makes several changes. `value`: JSON of an object with any of `add_tags` and `remove_tags`,
    lists; `locale`; `opt_out`, true. A contact that refuses one of them gets the others."""
    given = json.loads(value)
    # Locks all contacts first: the steps lock only some of them, each in its own order.
    before = dict(locked_contacts(tenant, pks).values_list("pk", "updated_at"))
    refused = []
    if "locale" in given:
        set_locale(tenant, pks, given["locale"])
    if "add_tags" in given or "remove_tags" in given:
        added, removed = given.get("add_tags", []), given.get("remove_tags", [])
        new_tags = partial(exchanged, added=added, removed=removed)
        refused += retag(tenant, pks, new_tags).refused
    if given.get("opt_out"):
        refused += opt_out(tenant, pks, "", UPDATE_SOURCE).refused
    after = tenant.contacts.filter(pk__in=pks).values_list("pk", "updated_at")
    return Result(sum(before.get(pk) != at for pk, at in after), refused)


def exchanged(names: list[str], added: list[str], removed: list[str]) -> list[str]:
    return rules.tags([*tags.without(names, removed), *added])


def delete(tenant: Tenant, pks: list[str], value: str) -> Result:
    _, counts = delete_many(tenant.contacts.filter(pk__in=pks))
    return Result(counts.get(Contact._meta.label, 0), [])


def undo_change_set(tenant: Tenant, pks: list[str], value: str, *, dry_run: bool = False) -> Result:
    """A contact that is undone in part counts as changed, and what stays is listed as refused."""
    undone = undo(tenant, value, pks, dry_run=dry_run)
    refused = [(one.name, str(kept)) for one in undone for kept in one.kept]
    return Result(sum(bool(one.taken_back) for one in undone), refused)


def merge_pairs(tenant: Tenant, pks: list[str], value: str) -> Result:
    """Merges pairs of the list of possible duplicates; `pks` are the ids of the pairs. A pair that
    somebody has dismissed meanwhile, or that is no longer alike, stays. So does a group of which
    not all contacts are alike, with the reason."""
    pairs = list(tenant.duplicates.open().filter(pk__in=pks))
    ids = {pk for pair in pairs for pk in pair.ids}
    contacts, _ = former_phones.lock([Contact(tenant=tenant, pk=pk) for pk in ids])
    groups = duplicates.groups(contacts, (pair.ids for pair in pairs), tenant.default_region)
    dismissed = {pair.ids for pair in tenant.duplicates.dismissed().of(ids)}
    problems = [duplicates.problem_of(tenant, group, dismissed) for group in groups]
    done = merge([group for group, problem in zip(groups, problems, strict=True) if not problem])
    gone = {other.pk for _, others, problem in done if not problem for other in others}
    refused = [(kept.phone, problem) for kept, _, problem in done if problem]
    refused += [(group[0].phone, why) for group, why in zip(groups, problems, strict=True) if why]
    tenant.duplicates.open().of(gone).delete()
    return Result(sum(not gone.isdisjoint(pair.ids) for pair in pairs), refused)


def dismiss_pairs(tenant: Tenant, pks: list[str], value: str) -> Result:
    pairs = tenant.duplicates.open().filter(IsAnyOf("pk", map(hex_id, pks)))
    return Result(pairs.update(state=Duplicate.State.DISMISSED), [])


def locked_contacts(tenant: Tenant, pks: list[str]) -> ContactQuerySet:
    """Locked in the order of their phones, as every other write does: else two could deadlock."""
    return tenant.contacts.filter(pk__in=pks).order_by("phone").select_for_update()


# By the kind of a bulk action: (its tenant, ids of contacts or pairs, its `value`) -> Result.
VERBS: dict[str, Callable[..., Result]] = {
    BulkAction.Kind.UPDATE: update,
    BulkAction.Kind.ADD_TAG: add_tag,
    BulkAction.Kind.REMOVE_TAG: remove_tags,
    BulkAction.Kind.SET_LOCALE: set_locale,
    BulkAction.Kind.OPT_OUT: opt_out,
    BulkAction.Kind.DELETE: delete,
    BulkAction.Kind.MERGE_TAGS: replace_tags,
    BulkAction.Kind.RENAME_TAG: replace_tags,
    BulkAction.Kind.DELETE_TAGS: remove_tags,
    BulkAction.Kind.UNDO: undo_change_set,
    BulkAction.Kind.MERGE_PAIRS: merge_pairs,
    BulkAction.Kind.DISMISS_PAIRS: dismiss_pairs,
}


def verb_of(action: BulkAction) -> Callable[[Tenant, list[str], str], Result]:
    verb = VERBS[action.kind]
    return partial(verb, dry_run=True) if action.dry_run else verb


# Starting it


class TooManyActions(Exception):
    """The tenant has `MAX_RUNNING` bulk actions that are not finished."""

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_RUNNING} bulk actions are not finished yet. Wait until one of them is finished."
        )


def plan(
    tenant: Tenant, actor: str, kind: str, value: str, pks: list[str], *, dry_run: bool = False
) -> BulkAction:
    """Stores an action for the contacts of `tenant` with the ids `pks`; changes none of them yet.

    `actor`: who asked for it, such as `user:7`. `value`: see `BulkAction.value`. `dry_run`: only an
    undo has one.
    """
    return plan_packed(tenant, actor, kind, value, pack(pks), dry_run=dry_run)


@transactional
def plan_packed(
    tenant: Tenant, actor: str, kind: str, value: str, ids: bytes, *, dry_run: bool = False
) -> BulkAction:
    """`plan` for ids of `ID_BYTES` bytes each, joined, as `packed_ids` returns them."""
    action = BulkAction.objects.create(
        tenant=tenant, actor=actor, kind=kind, value=value, dry_run=dry_run,
        total=len(ids) // ID_BYTES,
    )  # fmt: skip
    size = BATCH * ID_BYTES
    BulkBatch.objects.bulk_create(
        BulkBatch(
            tenant=tenant, action=action, number=first // ID_BYTES,
            contacts=ids[first : first + size],
        )
        for first in range(0, len(ids), size)
    )  # fmt: skip
    return action


def refuse_too_many(tenant: Tenant) -> None:
    """Raises `TooManyActions`: each stores the ids of its contacts, and one token could fill the
    disk."""
    if tenant.bulk_actions.filter(finished_at=None).count() >= MAX_RUNNING:
        raise TooManyActions


def start(action: BulkAction) -> None:
    """Runs a small action at once. A large one, or one that fails, is left to a worker."""
    if action.total <= AT_ONCE:
        try:
            run(action)
        except Exception:
            logger.exception("Bulk action %s is left to a worker", action.pk)
        else:
            return
    transaction.on_commit(partial(enqueue, action.pk))


def enqueue(pk: str) -> None:
    turns.put_into_queue(run_bulk_action, pk)


def requeue_interrupted() -> None:
    """Call this when a worker starts."""
    turns.requeue(run_bulk_action, BulkAction.objects.filter(finished_at=None))


# Running it


@task()
def run_bulk_action(pk: str) -> None:
    """A task in the queue. Which job it does is decided by `turns`; it may be another one."""
    turns.run_next(BulkAction, pk)


@turns.runs(BulkAction)
def run_for_a_turn(pk: str) -> None:
    """Runs the action until it is finished or its turn is over; then enqueues it again.

    Raises `JobIsRunning` if another worker runs it.
    """
    action = turns.find(BulkAction, pk)
    if action is None:
        return  # deleted together with its tenant
    with locked(data_folder("turns") / pk), turns.Turn(action.tenant_id) as turn:
        is_finished = run(action, turn.is_over)
    if not is_finished:
        enqueue(pk)


def run(action: BulkAction, must_give_way: Callable[[], bool] = lambda: False) -> bool:
    """Does the rest of the action; returns False if it gave way before the end.

    `must_give_way` is asked after each batch. Idempotent, also if two processes run it at once: a
    batch is taken from the list of contacts in the transaction that changes these contacts. The
    reasons of refusals are stored, so they are English, whoever has started the action.
    """
    pace = Pace(BATCH)
    is_left = True
    try:
        while is_left:
            with pace.turn() as turn, translation.override(None):
                turn.items = retry_after_race(lambda: run_batch(action, pace.size))
            is_left = turn.items > 0
            if is_left and must_give_way():
                return False
    except Exception:
        action.own_row().update(problem=STOPPED)
        raise
    return True


@transactional
def run_batch(planned: BulkAction, size: int = BATCH) -> int:
    """Handles at most `size` contacts, and returns how many: 0 if the action is finished."""
    action = planned.own_row().select_for_update().filter(finished_at=None).first()
    if action is None:
        return 0
    action.problem = ""
    left = BulkBatch.objects.filter(tenant=action.tenant_id, action=action)
    batch = left.order_by("number").first() or batch_of_late_carriers(action)
    pks = take(batch, size) if batch else []
    with tenant_context(action.tenant_id), caused_by(action.actor, action.pk):
        if pks:
            add_result(action, len(pks), verb_of(action)(action.tenant, pks, action.value))
        else:
            finish_tags(action)
            action.finished_at = timezone.now()
    action.save()
    return len(pks)


def finish_tags(action: BulkAction) -> None:
    """Renames, merges or deletes the tags themselves, after their contacts have changed."""
    tenant = action.tenant
    match action.kind, action.value.split(","):
        case BulkAction.Kind.RENAME_TAG, [old, new]:
            for tag in tenant.tags.filter(name=old):
                tags.rename(tag, new)
        case BulkAction.Kind.MERGE_TAGS, [*merged, new]:
            tags.delete_merged(tenant, merged, new)
        case BulkAction.Kind.DELETE_TAGS, names:
            tags.delete_unused(tenant.tags.filter(name__in=names))


def take(batch: BulkBatch, size: int) -> list[str]:
    """Removes at most `size` ids from the batch, and returns them."""
    ids = bytes(batch.contacts)
    batch.contacts = ids[size * ID_BYTES :]
    if batch.contacts:
        batch.save(update_fields=["contacts"])
    else:
        batch.delete()
    return unpack(ids[: size * ID_BYTES])


def batch_of_late_carriers(action: BulkAction) -> BulkBatch | None:
    """Contacts that got a tag after the action that replaces this tag was planned; None if there
    are none. Without them, the old tag would live on beside the new one."""
    if action.kind not in BulkAction.REPLACING:
        return None
    # No join: while PostgreSQL takes the tables for small ones, it may go through all links of a
    # tag for each contact, or through all tags for each link.
    names = action.value.split(",")[:-1]
    old = [*action.tenant.tags.filter(name__in=names).values_list("pk", flat=True)]
    links = ContactTag.objects.filter(tenant=action.tenant_id, tag__in=old)
    carriers = links.order_by("contact_id").values_list("contact_id", flat=True).distinct()
    if not (pks := list(carriers[:BATCH])):
        return None
    action.total += len(pks)
    return BulkBatch.objects.create(
        tenant=action.tenant, action=action, number=action.total, contacts=pack(pks)
    )


def add_result(action: BulkAction, handled: int, result: Result) -> None:
    action.done += handled
    action.changed += result.changed
    action.refused += len({phone for phone, _ in result.refused})
    action.refusals = [*action.refusals, *result.refused][:MAX_REFUSALS]


# Ids in 16 bytes each, about half of their text in JSON


def pack(pks: Iterable[str]) -> bytes:
    return b"".join(bits_of(pk).to_bytes(ID_BYTES, "big") for pk in pks)


def unpack(ids: bytes) -> list[str]:
    starts = range(0, len(ids), ID_BYTES)
    return [ulid_of(int.from_bytes(ids[start : start + ID_BYTES], "big")) for start in starts]
