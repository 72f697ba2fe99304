"""Making several contacts of one person one contact."""

from collections.abc import Callable, Sequence
from typing import Any

from contacts import schema
from contacts.change_log.difference import Fields
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry, OptOut
from tenants.fields import hex_id

from . import consent, edit, former_phones, links
from .merged_values import merged_values

MERGED = [field.name for field in schema.FIELDS if field.merge is not schema.Merge.OWN]
TOO_FEW = "Fewer than two of these contacts still exist; nothing was merged."


@transactional
def merge(
    groups: Sequence[Sequence[Contact]],
    key: Callable[[Contact], Any] = lambda contact: None,
) -> list[tuple[Contact, list[Contact], str]]:
    """Makes each group of contacts of one tenant one contact; the oldest id stays. `schema.Merge`
    says which values the contact gets. The phones of the others, current and former, become its
    former phones; if it has opted out, they have, too.

    `key`: what made the contacts a group; a contact whose key has changed since is left out.
    Returns for each group the contact that stays, the others, and why they could not be merged, or
    "". The number of statements does not grow with the number of groups.
    """
    locked, former = former_phones.lock([contact for group in groups for contact in group])
    results, kept = list[tuple[Contact, list[Contact], str]](), list[Contact]()
    gone, opted_out = list[Entry](), list[OptOut | None]()
    moved, described = list[Contact](), dict[str, Fields]()
    for group in groups:
        wanted = key(group[0])
        same = (locked[c.pk] for c in group if c.pk in locked and key(locked[c.pk]) == wanted)
        first, *others = sorted(same, key=lambda contact: contact.pk) or [group[0]]
        if not others:
            continue
        try:
            absorb(first, others)
        except ValueError as error:
            results.append((first, others, str(error)))
        else:
            results.append((first, others, ""))
            kept.append(first)
            for other in others:
                phones = [row.phone for row in former[other.pk]]
                gone.append(other.end(Change.Kind.MERGED, first.pk, phones))
            taken = [row for other in others for row in (other, *former[other.pk])]
            opted_out += [first.opt_out_of(row.phone) for row in taken]
            described[first.pk] = former_phones.logged(added=[row.phone for row in taken])
            moved += former_phones.move(taken, first)
    consent.remember(opted_out)
    Change.objects.log(gone)
    former_phones.save(moved)
    unlink(gone)
    edit.change_many(
        kept, MERGED, lambda entry: former_phones.with_logged(entry, described[entry.contact_id])
    )
    return results


def unlink(gone: Sequence[Entry]) -> None:
    """Deletes the links of merged contacts, whose rows stay as former phones."""
    if gone:
        links.link(gone[0].tenant_id, {}, [hex_id(entry.contact_id) for entry in gone])


@transactional
def merge_as(contacts: Sequence[Contact], chosen: dict[str, Any]) -> Contact:
    """Merges the contacts of one person; `chosen` holds the values of fields that somebody has
    picked instead. Raises `ValueError` where the contacts cannot be merged, or are gone."""
    for kept, _, problem in merge([contacts]):
        if problem:
            raise ValueError(problem)
        edit.change(kept, keep_former=True, **chosen)
        return kept
    raise ValueError(TOO_FEW)


def absorb(contact: Contact, others: Sequence[Contact]) -> None:
    """Gives `contact`, unsaved, the values that it has after a merge with `others`.

    Raises `ValueError`, and changes nothing, if all tags or all metadata together are more than a
    contact may have.
    """
    for name, value in merged_values([contact, *others]).items():
        setattr(contact, name, value)
