"""Making several contacts of one person one contact."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from contacts import schema
from contacts.change_log.difference import Fields
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry, OptOut
from contacts.values.rules import RuleBroken
from tenants.fields import hex_id
from tenants.models import Tenant

from . import consent, edit, former_phones, links, notes
from .merged_values import merged_values

MERGED = [field.name for field in schema.FIELDS if field.merge is not schema.Merge.OWN]
NOTHING_CHOSEN: Mapping[str, str] = {}

Result = tuple[Contact, list[Contact], str]


@transactional
def merge(
    groups: Sequence[Sequence[Contact]], key: Callable[[Contact], Any] = lambda contact: None
) -> list[Result]:
    """Makes each group of contacts of one tenant one contact; the oldest id stays.

    `key`: what made the contacts a group; a contact whose key has changed since is left out.
    Returns for each group the contact that stays, the others, and why they could not be merged, or
    "". The number of statements does not grow with the number of groups.
    """
    locked, former = former_phones.lock([contact for group in groups for contact in group])
    same = []
    for group in groups:
        wanted = key(group[0])
        there = (locked[c.pk] for c in group if c.pk in locked and key(locked[c.pk]) == wanted)
        same.append(sorted(there, key=lambda contact: contact.pk))
    return merge_locked([group for group in same if len(group) > 1], former)


def merge_locked(
    groups: Sequence[Sequence[Contact]],
    former: Mapping[str, Sequence[Contact]],
    choose: Mapping[str, str] = NOTHING_CHOSEN,
) -> list[Result]:
    """Makes each group of contacts, which are locked, one contact; the first stays. `schema.Merge`
    says which values it gets. The phones of the others, current and former, become its former
    phones; if it has opted out, they have, too.

    `former`: the rows of the former phones of each contact, by its id. `choose`: as in
    `merged_values`. Returns what `merge` returns. The notes of the others follow them.
    """
    writes, results = Writes(former, notes_of_others(groups)), list[Result]()
    for first, *others in groups:
        had = first.phone
        try:
            absorb(first, others, choose)
        except ValueError as error:
            results.append((first, others, str(error)))
        else:
            writes.add(first, had, others)
            results.append((first, others, ""))
    writes.write([*MERGED, *choose])
    return results


class Writes:
    """What the merge of several groups has to write. It is gathered first, so that the number of
    statements does not grow with the number of groups.

    `former`: as in `merge_locked`. `noted`: the ids of the notes of each contact, by its id.
    """

    def __init__(
        self, former: Mapping[str, Sequence[Contact]], noted: Mapping[str, list[str]]
    ) -> None:
        self.former, self.noted = former, noted
        self.kept = list[Contact]()
        self.gone = list[Entry]()
        self.opted_out = list[OptOut | None]()
        self.moved = list[Contact]()  # rows of phones
        self.described = dict[str, Fields]()  # former phones for the log, by ids of contacts
        self.followed = dict[str, str]()  # ids of notes -> ids of their contacts
        self.given_up = dict[str, str]()  # phones replaced by a chosen one -> ids of their contacts

    def add(self, first: Contact, had: str, others: Sequence[Contact]) -> None:
        """Adds the merge of `others` into `first`. `had`: the phone of `first` before it."""
        self.kept.append(first)
        for other in others:
            phones = [row.phone for row in self.former[other.pk]]
            ids = self.noted.get(other.pk, [])
            end = other.end(Change.Kind.MERGED, first.pk, phones)
            self.gone.append(notes.with_logged(end, ids))
            self.followed |= dict.fromkeys(ids, first.pk)
        taken = [row for other in others for row in (other, *self.former[other.pk])]
        self.moved += former_phones.move(taken, first)
        added = {had, *(row.phone for row in taken)} - {first.phone}
        self.described[first.pk] = former_phones.logged(added)
        self.opted_out += map(first.opt_out_of, added)
        if had != first.phone:
            self.given_up[had] = first.pk

    def write(self, fields: Iterable[str]) -> None:
        """`fields`: the fields of the contacts that stay which may have changed."""
        consent.remember(self.opted_out)
        Change.objects.log(self.gone)
        former_phones.save(self.moved)
        unlink(self.gone)
        if self.followed:
            notes.move(self.kept[0].tenant_id, self.followed)
        edit.change_many(
            self.kept,
            dict.fromkeys(fields),
            lambda entry: former_phones.with_logged(entry, self.described[entry.contact_id]),
        )
        if self.given_up:
            former_phones.insert_many(self.kept[0].tenant_id, self.given_up)


def notes_of_others(groups: Sequence[Sequence[Contact]]) -> dict[str, list[str]]:
    """The ids of the notes of all contacts that are merged into others, by the ids of these."""
    others = [contact for group in groups for contact in group[1:]]
    return notes.ids_of(others[0].tenant_id, [one.pk for one in others]) if others else {}


def unlink(gone: Sequence[Entry]) -> None:
    """Deletes the links of merged contacts: their rows stay, as former phones."""
    if gone:
        links.link(gone[0].tenant_id, {}, [hex_id(entry.contact_id) for entry in gone])


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
    found, former = locked(tenant, [contact_id, *merge_ids])
    group = {one.pk: one for one in found.values()}  # `contact_id` is the first
    if len(group) == 1:
        return Merged(found[contact_id], [])
    chosen = {name: found[pk].pk for name, pk in choose.items()}
    [(contact, others, problem)] = merge_locked([[*group.values()]], former, chosen)
    if problem:
        raise RuleBroken("merge_ids", ValueError(problem))
    if dry_run:
        transaction.set_rollback(True)
    return Merged(contact, others)


class ContactMissing(Contact.DoesNotExist):
    """The tenant has no contact with this `contact_id`, and none into which it was merged."""

    def __init__(self, contact_id: str) -> None:
        super().__init__(_("Contact not found: %(id)s") % {"id": contact_id})


def locked(
    tenant: Tenant, contact_ids: Sequence[str]
) -> tuple[dict[str, Contact], dict[str, list[Contact]]]:
    """Locks the contacts with these ids and their former phones, as `former_phones.lock` does, but
    returns each contact under the id by which it was asked for. Raises `ContactMissing`."""
    names = {pk: pk for pk in contact_ids}
    while True:
        there, former = former_phones.lock([Contact(pk=pk, tenant=tenant) for pk in names.values()])
        gone = [asked for asked, pk in names.items() if pk not in there]
        if not gone:
            return {asked: there[pk] for asked, pk in names.items()}, former
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
