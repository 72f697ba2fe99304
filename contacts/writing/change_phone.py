"""Giving a contact another phone. Everything else stays: its id, its history, its consent."""

from typing import Any

from contacts.db.transactions import retry_after_race, transactional
from contacts.models import Contact
from contacts.values.numbering_plans import forms
from tenants.models import Tenant

from . import edit, former_phones

TAKEN = (
    "Another contact has the phone {phone}{how}: {contact_id}. If both are the same person, merge"
    " the two with merge-contacts."
)


class PhoneTaken(ValueError):
    """Another contact of the tenant has the phone, now or as a former phone. Nothing was
    written."""

    def __init__(self, phone: str, other: Contact) -> None:
        how = "" if other.phone in forms([phone]) else " as a former phone"
        super().__init__(TAKEN.format(phone=phone, how=how, contact_id=other.pk))


def change_one(
    tenant: Tenant,
    key: dict[str, str],
    phone: str,
    changes: dict[str, Any],
    *,
    keep_former: bool = False,
) -> Contact:
    """`edit.change_one`, which also gives the contact another phone, in the same change.

    `phone`: in E.164; a former phone of the contact becomes its current one again. `keep_former`:
    whether the old phone becomes a former phone. Raises `PhoneTaken`, and the errors of
    `edit.change_one`. The old phone stays opted out, if it was, and the contact is opted out if the
    owner of the new phone is; see `OptOut`.
    """
    return retry_after_race(lambda: change_locked(tenant, key, phone, changes, keep_former))


@transactional
def change_locked(
    tenant: Tenant, key: dict[str, str], phone: str, changes: dict[str, Any], keep_former: bool
) -> Contact:
    """Raises `IntegrityError` if another contact gets the phone between the check and the write."""
    contact = former_phones.find_locked(tenant, key)
    is_new = phone != contact.phone
    if is_new and (other := other_with(tenant.pk, phone, but=contact.pk)):
        raise PhoneTaken(phone, other)
    changes = edit.merged(contact, changes)
    edit.change(contact, phone=phone, keep_former=keep_former, **changes)
    return contact


def other_with(tenant_id: str, phone: str, but: str) -> Contact | None:
    """The contact of the tenant that has `phone`, now or as a former phone, `but` for the contact
    with this id. An earlier version may have stored an old form of the phone.

    A former phone whose contact is gone is deleted: the version before this one deletes contacts
    and leaves their former phones.
    """
    mine = Contact.all_phones.filter(tenant=tenant_id)
    for pk, former_of in mine.filter(phone__in=forms([phone])).values_list("pk", "former_of"):
        owner = former_of or pk
        if owner == but:
            continue
        if other := mine.filter(pk=owner, former_of=None).first():
            return other
        former_phones.delete(mine.filter(pk=pk, former_of=owner))
    return None
