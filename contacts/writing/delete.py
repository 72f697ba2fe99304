"""Deleting contacts for good, and restoring deleted ones. The tags of a contact stay."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, islice

from contacts.db.expressions import updated_after
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, ContactQuerySet, Entry
from tenants.models import Tenant

from . import consent, former_phones, links, notes, rows

BATCH = 1000  # contacts that are read at a time: the log keeps what they held
NO_HEIRS: Mapping[str, str] = {}


@transactional
def delete_one(tenant: Tenant, key: dict[str, str]) -> Contact:
    """Deletes the contact that `key` finds and returns it. Raises `Contact.DoesNotExist`.

    The contact is locked first: a writer that is linking tags to it ends before.
    """
    contact = former_phones.find_locked(tenant, key)
    delete_locked([contact])
    return contact


@transactional
def delete_many(
    contacts: ContactQuerySet, heirs: Mapping[str, str] = NO_HEIRS
) -> tuple[int, dict[str, int]]:
    """Deletes the contacts, of any tenants. `heirs`: see `delete_locked`. Returns what
    `QuerySet.delete` returns."""
    counts: Counter[str] = Counter()
    ids = iter(list(contacts.order_by("tenant_id", "phone").values_list("tenant", "pk")))
    while some := list(islice(ids, BATCH)):
        there, _ = former_phones.lock([Contact(tenant_id=tenant, pk=pk) for tenant, pk in some])
        counts.update(delete_locked([*there.values()], heirs))
    return counts.total(), dict(counts)


def delete_locked(
    contacts: Sequence[Contact], heirs: Mapping[str, str] = NO_HEIRS
) -> dict[str, int]:
    """Deletes contacts with their former phones. `heirs`: the ids of the contacts that get the
    notes of contacts, by the ids of these; all are of one tenant then. Returns the number of rows
    of each model."""
    former = former_phones.of(contacts)
    consent.remember(chain.from_iterable(one.opt_outs(former[one.pk]) for one in contacts))
    ends = [one.end(Change.Kind.DELETED, former=former[one.pk]) for one in contacts]
    if left := [one.pk for one in contacts if one.pk in heirs]:
        noted = notes.ids_of(contacts[0].tenant_id, left)
        ends = [notes.with_logged(end, noted.get(end.contact_id, [])) for end in ends]
        followed = {note: heirs[pk] for pk, some in noted.items() for note in some}
        notes.move(contacts[0].tenant_id, followed)
    _, by_model = rows.delete(ends)
    return by_model


@transactional
def restore(contacts: Sequence[Contact]) -> None:
    """Creates contacts of one tenant that existed before, under their old ids."""
    ordered = sorted(contacts, key=lambda contact: contact.phone)
    if not ordered:
        return
    tenant_id = ordered[0].tenant_id
    changes = Change.objects.filter(tenant=tenant_id)
    ends = changes.last_ends([contact.pk for contact in ordered])
    for contact in ordered:
        if contact.pk in ends:  # readers know its end, and follow only what is later
            contact.updated_at = updated_after(ends[contact.pk])
    Contact.objects.bulk_create(ordered)
    links.match(ordered)
    Change.objects.log(Entry(tenant_id, one.pk, Change.Kind.CREATED, {}) for one in ordered)
    consent.keep_out(tenant_id, [contact.phone for contact in ordered])
