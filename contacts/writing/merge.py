"""Making several contacts of one person one contact."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import transaction

from contacts import schema
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry, OptOut
from contacts.values.rules import RuleBroken
from tenants.models import Tenant

from . import consent, edit, rows
from .merged_values import merged_values

MERGED = [field.name for field in schema.FIELDS if field.merge is not schema.Merge.OWN]
NOTHING_CHOSEN: Mapping[str, str] = {}


@transactional
def merge(
    groups: Sequence[Sequence[Contact]],
    key: Callable[[Contact], Any] = lambda contact: None,
    stays: str = "",
    choose: Mapping[str, str] = NOTHING_CHOSEN,
) -> list[tuple[Contact, list[Contact], str]]:
    """Makes each group of contacts of one tenant one contact. `schema.Merge` says which values the
    contact gets. If it has opted out, the phones of the others have, too.

    `key`: what made the contacts a group; a contact whose key has changed since is left out.
    `stays`: the id of the contact that stays, of one group; else the oldest id stays. `choose`: as
    in `merged_values`.
    Returns for each group the contact that stays, the others, and why they could not be merged, or
    "". The number of statements does not grow with the number of groups.
    """
    pks = [contact.pk for group in groups for contact in group]
    stored = Contact.objects.filter(pk__in=pks).order_by("phone").select_for_update()
    locked = {contact.pk: contact for contact in stored}
    results, kept = list[tuple[Contact, list[Contact], str]](), list[Contact]()
    gone, opted_out = list[Entry](), list[OptOut | None]()
    for group in groups:
        wanted = key(group[0])
        same = (locked[c.pk] for c in group if c.pk in locked and key(locked[c.pk]) == wanted)
        first, *others = sorted(same, key=lambda c: (c.pk != stays, c.pk)) or [group[0]]
        if not others:
            continue
        had = {contact.phone for contact in (first, *others)}
        try:
            absorb(first, others, choose)
        except ValueError as error:
            results.append((first, others, str(error)))
        else:
            results.append((first, others, ""))
            kept.append(first)
            gone += [other.end(Change.Kind.MERGED, into=first.pk) for other in others]
            opted_out += [first.opt_out_of(phone) for phone in had - {first.phone}]
    consent.remember(opted_out)
    rows.delete(gone)
    edit.change_many(kept, dict.fromkeys([*MERGED, *choose]))
    return results


class Merged(NamedTuple):
    """`contact`: the contact that stays; `others`: the contacts that were merged into it."""

    contact: Contact
    others: list[Contact]


@transactional
def merge_into(
    tenant: Tenant,
    contact_id: str,
    merge_ids: Sequence[str],
    choose: Mapping[str, str] = NOTHING_CHOSEN,
    *,
    dry_run: bool = False,
) -> Merged:
    """Merges the contacts `merge_ids` of one person into the contact `contact_id`.

    An id that was merged into another contact stands for that contact. So a contact that has been
    merged into `contact_id` already is left out, and nothing is written if no other is left.
    `choose`: as in `merged_values`, with some of these ids. A dry run does the same and then rolls
    back. Raises `ContactMissing` if one of the contacts does not exist, and `RuleBroken` if all
    tags or all metadata together are more than a contact may have.
    """
    found = locked(tenant, [contact_id, *merge_ids])
    contact = found[contact_id]
    group = {one.pk: one for one in found.values()}
    if len(group) == 1:
        return Merged(contact, [])
    chosen = {name: found[pk].pk for name, pk in choose.items()}
    [(contact, others, problem)] = merge([[*group.values()]], stays=contact.pk, choose=chosen)
    if problem:
        raise RuleBroken("merge_ids", ValueError(problem))
    if dry_run:
        transaction.set_rollback(True)
    return Merged(contact, others)


class ContactMissing(Contact.DoesNotExist):
    """The tenant has no contact with this `contact_id`, and none into which it was merged."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(f"Contact not found: {contact_id}")


def locked(tenant: Tenant, contact_ids: Sequence[str]) -> dict[str, Contact]:
    """Locks the contacts with these ids, each under the id by which it was asked for. Raises
    `ContactMissing`."""
    names = {pk: pk for pk in contact_ids}
    while True:
        stored = tenant.contacts.filter(pk__in=names.values()).order_by("phone")
        found = {contact.pk: contact for contact in stored.select_for_update()}
        gone = [asked for asked, pk in names.items() if pk not in found]
        if not gone:
            return {asked: found[pk] for asked, pk in names.items()}
        for asked in gone:
            names[asked] = tenant.changes.merged_into(names[asked])
            if not names[asked]:
                raise ContactMissing(asked)


def absorb(
    contact: Contact, others: Sequence[Contact], choose: Mapping[str, str] = NOTHING_CHOSEN
) -> None:
    """Gives `contact`, unsaved, the values that it has after a merge with `others`.

    `choose`: as in `merged_values`. Raises `ValueError`, and changes nothing, if all tags or all
    metadata together are more than a contact may have.
    """
    for name, value in merged_values([contact, *others], choose).items():
        setattr(contact, name, value)
