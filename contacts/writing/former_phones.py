"""Former phones: a contact is found by a phone that it had before.

A former phone is a row of the table of contacts (see `Contact`): whoever writes it holds the lock
of its contact. Writers lock former phones before current ones, and both in order: then a create
with a former phone, which locks its row first and the contact second, and a merge do not deadlock.
"""

from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Q, QuerySet
from django.db.models.lookups import IsNull

from contacts.change_log.difference import FORMER_PHONES, Fields
from contacts.db.dialects import dialect_of
from contacts.db.expressions import updated_after
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry
from tenants.models import Tenant

from . import consent, rows


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


def lock(contacts: Sequence[Contact]) -> tuple[dict[str, Contact], dict[str, list[Contact]]]:
    """Locks contacts of one tenant and their former phones. Returns the contacts that are still
    there, by id, and the rows of the former phones of each, by the id of the contact."""
    pks = [contact.pk for contact in contacts]
    mine = Contact.all_phones.filter(tenant__in={contact.tenant_id for contact in contacts})
    both = mine.filter(Q(pk__in=pks) | Q(former_of__in=pks))
    found = both.order_by(IsNull(F("former_of"), True), "phone").select_for_update()
    wanted = {*pks}
    there = {one.pk: one for one in found if one.pk in wanted and one.former_of_id is None}
    # Read again: while the statement waited, a contact may have got another one's phones.
    former: dict[str, list[Contact]] = {pk: [] for pk in there}
    for row in mine.filter(former_of__in=pks).order_by("phone").select_for_update():
        former.setdefault(str(row.former_of_id), []).append(row)
    return there, former


def current(tenant_id: str, phones: Iterable[str]) -> dict[str, str]:
    """For each of `phones` that is a former one: the current phone of its contact, which is locked.

    The rows of `phones` are locked already. A row whose contact is gone is deleted, and its phone
    is the current one: the version before this one deletes contacts and leaves their former phones.
    """
    mine = Contact.all_phones.filter(tenant=tenant_id)
    former = mine.filter(phone__in=[*phones], former_of__isnull=False)
    owner_ids = dict(former.values_list("phone", "former_of"))
    if not owner_ids:
        return {}
    there = mine.filter(pk__in={*owner_ids.values()}, former_of=None).order_by("phone")
    owners = {owner.pk: owner for owner in there.select_for_update()}
    lost = [phone for phone, owner_id in owner_ids.items() if owner_id not in owners]
    if lost:
        delete(former.filter(phone__in=lost))
    return {phone: owners[pk].phone if pk in owners else phone for phone, pk in owner_ids.items()}


# Writing


def delete(former: QuerySet[Contact]) -> int:
    """Deletes rows of former phones, which have no links: without Django's look for them."""
    return former._raw_delete(DEFAULT_DB_ALIAS)  # type: ignore[attr-defined]


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


@transactional
def release(tenant: Tenant, key: dict[str, str], phone: str) -> Contact:
    """Takes the former phone `phone` from the contact that `key` finds, and returns the contact.
    The phone is free then: numbers are given to new people. If the contact has opted out, the
    opt-out of the phone is remembered, as if the contact had got another phone.

    Raises `Contact.DoesNotExist` if there is no such contact, or the phone is not one of its former
    phones.
    """
    found = tenant.contacts.find(**key)
    if not delete(Contact.all_phones.filter(tenant=tenant, former_of=found, phone=phone)):
        raise Contact.DoesNotExist
    contact = tenant.contacts.find(lock=True, contact_id=found.pk)
    consent.remember([contact.opt_out_of(phone)])
    log(contact, logged(removed=[phone]))
    return contact


def log(contact: Contact, fields: Fields) -> None:
    """Logs a change of former phones; the contact has changed then, and a sync has to see it."""
    contact.updated_at = updated_after(contact.updated_at)
    Contact.objects.filter(pk=contact.pk).update(updated_at=contact.updated_at)
    Change.objects.log([Entry(contact.tenant_id, contact.pk, Change.Kind.UPDATED, fields)])
