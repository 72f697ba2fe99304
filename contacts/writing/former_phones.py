"""Former phones: a contact is found by a phone that it had before.

A former phone is a row of the table of contacts (see `Contact`): whoever writes it holds the lock
of its contact. Writers lock rows with current and with former phones in the order of the phones, so
that they do not deadlock. So a verb that writes a contact and its former phones locks all these
rows at once, with `lock` or `find_locked`: if it locked the contact first and met its former phones
later, a batch that has both would wait for the contact, and the verb for the batch.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q, QuerySet

from contacts.change_log.difference import FORMER_PHONES, Fields
from contacts.db.dialects import dialect_of
from contacts.db.expressions import updated_after
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry, OptOut
from contacts.values.numbering_plans import forms
from tenants.models import Tenant

from . import consent, rows

ROW = ("pk", "phone", "former_of")
Result = TypeVar("Result")


class FormerPhone(Exception):
    """A write has met a phone that a contact had before, see `by_current`."""


def logged(added: Iterable[str] = (), removed: Iterable[str] = ()) -> Fields:
    """What a log entry says about former phones that came and went; empty if there are none."""
    sides = {"added": sorted(added), "removed": sorted(removed)}
    return {FORMER_PHONES: sides} if any(sides.values()) else {}


def with_logged(entry: Entry, fields: Fields) -> Entry:
    return entry._replace(fields=entry.fields | fields)


# Reading


def of(contacts: Iterable[Contact]) -> dict[str, list[str]]:
    """The former phones of contacts of one tenant, by the id of the contact."""
    return Contact.all_phones.former_phones(contacts)


def current(tenant_id: str, phones: Sequence[str]) -> dict[str, list[str]]:
    """The current phones of the contacts that each of `phones` finds, as it is or in an old form of
    it, now or as a former phone. Usually one; two where a contact is stored under each form. Phones
    that nobody has are left out."""
    today = forms(phones)
    mine = Contact.all_phones.filter(tenant=tenant_id)
    rows = [*mine.filter(phone__in=today).values_list("phone", "former_of")]
    owners = mine.filter(pk__in={owner for _, owner in rows if owner}, former_of=None)
    phone_of = dict(owners.values_list("pk", "phone"))
    found: dict[str, list[str]] = {}
    for phone, owner in rows:
        if now := phone_of.get(owner) if owner else phone:
            found.setdefault(today[phone], []).append(now)
    return found


def lock(contacts: Sequence[Contact]) -> tuple[dict[str, Contact], dict[str, list[Contact]]]:
    """Locks contacts and their former phones, in the order of their tenants and phones. Returns the
    contacts that are still there, by id, and the rows of the former phones of each, by the id of
    the contact. A contact that was merged is locked, too: its row is a former phone."""
    pks = [contact.pk for contact in contacts]
    mine = Contact.all_phones.filter(tenant__in={contact.tenant_id for contact in contacts})
    mine = mine.order_by("tenant_id", "phone")
    both = mine.filter(Q(pk__in=pks) | Q(former_of__in=pks))
    wanted = {*pks}
    found = [row for row in both.select_for_update() if row.pk in wanted]
    there = {row.pk: row for row in found if row.former_of_id is None}
    # Read again: while the statement waited, a contact may have got another one's phones.
    former: dict[str, list[Contact]] = {pk: [] for pk in there}
    for row in mine.filter(former_of__in=there).select_for_update():
        former[str(row.former_of_id)].append(row)
    return there, former


def find_locked(tenant: Tenant, key: dict[str, str]) -> Contact:
    """The contact that `key` finds, locked together with its former phones. Raises
    `Contact.DoesNotExist`."""
    lock([tenant.contacts.find(lock=False, **key)])
    return tenant.contacts.find(lock=True, **key)


def lock_current(tenant_id: str, phones: Iterable[str]) -> dict[str, str]:
    """Locks the rows of `phones` and the contacts that had them, in the order of their phones.
    Returns the current phone of the contact of each, by the phone given; phones that nobody has are
    left out.

    A former phone whose contact is gone is deleted: the version before this one deletes contacts
    and leaves their former phones.
    """
    wanted = {*phones}
    mine = Contact.all_phones.filter(tenant=tenant_id)
    given = Q(phone__in=wanted)
    while True:
        start = transaction.savepoint()
        former = mine.filter(given, former_of__isnull=False)
        owners = {*former.values_list("former_of", flat=True)}
        locked = mine.filter(given | Q(pk__in=owners)).order_by("phone").select_for_update()
        found = {pk: (phone, owner) for pk, phone, owner in locked.values_list(*ROW)}
        if {owner for _, owner in found.values() if owner} <= owners:
            break
        transaction.savepoint_rollback(start)  # somebody has merged an owner meanwhile
    lost = [pk for pk, (_, owner) in found.items() if owner and owner not in found]
    if lost:
        delete(mine.filter(pk__in=lost))
    kept = (row for pk, row in found.items() if pk not in lost and row[0] in wanted)
    return {phone: found[owner][0] if owner else phone for phone, owner in kept}


def by_current(
    tenant_id: str, phones: Collection[str], write: Callable[[dict[str, str]], Result]
) -> Result:
    """Returns what `write` returns. `write` is called in a transaction, with the former phones
    among `phones`, each with the current phone of its contact.

    Nearly no phone is a former one: so `write` is called with an empty dict first. If it then meets
    a former phone, it raises `FormerPhone`, its transaction is taken back, so that no lock is held,
    and it is called again after all rows were locked in order.
    """
    has_former = False
    while True:
        try:
            return attempt(tenant_id, phones if has_former else (), write)
        except FormerPhone:
            has_former = True


@transactional
def attempt(
    tenant_id: str, phones: Collection[str], write: Callable[[dict[str, str]], Result]
) -> Result:
    """`by_current` in a transaction, without the second attempt; locks the rows of `phones`.

    A former phone that is stored in an old form is brought up to date first: else `write` did so,
    met the former phone, and was taken back together with the new form, again and again.
    """
    from . import renumber

    if not phones:
        return write({})
    if len(all_forms := forms(phones)) > len(phones):
        lock_current(tenant_id, all_forms)  # in one order
        renumber.bring_up_to_date(tenant_id, phones)
    return write(lock_current(tenant_id, phones))


# Writing


def delete(former: QuerySet[Contact]) -> int:
    """Deletes rows of former phones, which have no links: without Django's look for them."""
    return former._raw_delete(DEFAULT_DB_ALIAS)


def insert(contact: Contact, phones: Iterable[str]) -> None:
    """Makes `phones`, which nobody has, former phones of the contact, which is locked. Raises
    `IntegrityError` where somebody has one of them."""
    insert_many(contact.tenant_id, dict.fromkeys(phones, contact.pk))


def insert_many(tenant_id: str, owners: dict[str, str]) -> None:
    """`insert` for the contacts of a tenant. `owners`: the id of the contact, by phone."""
    Contact.all_phones.bulk_create(
        [
            Contact(tenant_id=tenant_id, phone=phone, former_of_id=owners[phone])
            for phone in sorted(owners)
        ]
    )


def release_many(tenant_id: str, owners: dict[str, str]) -> None:
    """Deletes former phones of the contacts of a tenant. `owners`: as in `insert_many`."""
    mine = Contact.all_phones.filter(tenant=tenant_id, former_of__in={*owners.values()})
    if owners:
        delete(mine.filter(phone__in=owners))


def move(former: Iterable[Contact], owner: Contact) -> list[Contact]:
    """What is to be written so that the rows of `former`, contacts or former phones, become former
    phones of `owner`; see `save`."""
    tenant = {"tenant_id": owner.tenant_id, "former_of_id": owner.pk}
    return [Contact(pk=row.pk, phone=row.phone, **tenant) for row in former]


def save(former: Sequence[Contact]) -> None:
    """Writes what `move` returned, of one tenant. The rows are updated, not deleted and inserted:
    a create that waits for the lock of a merged contact finds the former phone in its place."""
    if former:
        names = {field.name for field in Contact._meta.concrete_fields} - {"tenant"}
        dialect = dialect_of()
        written = [rows.columns(row, dialect, names) for row in former]
        rows.update_columns(former[0].tenant_id, written)


def make_way(contacts: Sequence[Contact]) -> dict[str, list[str]]:
    """Deletes the former phones that contacts of one tenant, locked, are about to get as their
    current ones. Returns these phones, by the id of the contact."""
    phones = {contact.phone: contact.pk for contact in contacts}
    mine = Contact.all_phones.filter(tenant__in={contact.tenant_id for contact in contacts})
    former = mine.filter(phone__in=phones, former_of__isnull=False)
    found = dict(former.values_list("phone", "former_of"))
    own = [phone for phone, owner in found.items() if phones[phone] == owner]
    if own:
        delete(former.filter(phone__in=own))
    return {phones[phone]: [phone] for phone in own}


@transactional
def keep(contact: Contact, phone: str) -> None:
    """Makes `phone`, which nobody has, a former phone of the contact, which is locked, and logs it.
    Raises `IntegrityError` where somebody has the phone."""
    insert(contact, [phone])
    log(contact, logged(added=[phone]))


def add_many(tenant: Tenant, given: dict[str, list[str]]) -> None:
    """Makes phones, which nobody has, former phones of contacts of the tenant, and logs this. If a
    contact has opted out, or the owner of one of its new former phones has, both have: they are one
    person.

    `given`: the former phones by a phone that the contact has or had. Inside a transaction. Raises
    `IntegrityError` where somebody has got one of the phones meanwhile: then try again.
    """
    current = lock_current(tenant.pk, given)
    contacts = {one.phone: one for one in tenant.contacts.filter(phone__in=current.values())}
    owners = {
        former: contacts[current[phone]] for phone, added in given.items() for former in added
    }
    insert_many(tenant.pk, {former: owner.pk for former, owner in owners.items()})
    added: dict[str, list[str]] = {}
    for former, owner in owners.items():
        added.setdefault(owner.pk, []).append(former)
    some = [*contacts.values()]
    rows.update(
        some, rows.lock(some, ()), (),
        lambda entry: with_logged(entry, logged(added[entry.contact_id])),
    )  # fmt: skip
    consent.remember(owner.opt_out_of(former) for former, owner in owners.items())
    opted_out = OptOut.objects.of(tenant.pk, owners)
    consent.keep_known_out(
        tenant.pk, {owners[former].phone: at for former, at in sorted_by_time(opted_out)}
    )


def sorted_by_time(opted_out: dict[str, datetime]) -> list[tuple[str, datetime]]:
    return sorted(opted_out.items(), key=itemgetter(1))


@transactional
def release(tenant: Tenant, key: dict[str, str], phone: str) -> Contact:
    """Takes the former phone `phone` from the contact that `key` finds, and returns the contact.
    The phone is free then: numbers are given to new people. If the contact has opted out, the
    opt-out of the phone is remembered, as if the contact had got another phone.

    Raises `Contact.DoesNotExist` if there is no such contact, or the phone is not one of its former
    phones.
    """
    found = tenant.contacts.find(lock=False, **key)
    there, former = lock([found])
    rows_of_phone = [row.pk for row in former.get(found.pk, []) if row.phone == phone]
    if not rows_of_phone:
        raise Contact.DoesNotExist
    contact = there[found.pk]
    delete(Contact.all_phones.filter(tenant=tenant, pk__in=rows_of_phone))
    consent.remember([contact.opt_out_of(phone)])
    log(contact, logged(removed=[phone]))
    return contact


def log(contact: Contact, fields: Fields) -> None:
    """Logs a change of former phones; the contact has changed then, and a sync has to see it."""
    contact.updated_at = updated_after(contact.updated_at)
    mine = Contact.objects.filter(tenant=contact.tenant_id, pk=contact.pk)
    mine.update(updated_at=contact.updated_at)
    Change.objects.log([Entry(contact.tenant_id, contact.pk, Change.Kind.UPDATED, fields)])
