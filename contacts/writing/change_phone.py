"""Giving a contact another phone. Everything else stays: its id, its history, its consent."""

from typing import Any

from contacts.db.transactions import retry_once, transactional
from contacts.models import Contact
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
        how = "" if other.phone == phone else " as a former phone"
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
    return retry_once(lambda: change_locked(tenant, key, phone, changes, keep_former))


@transactional
def change_locked(
    tenant: Tenant, key: dict[str, str], phone: str, changes: dict[str, Any], keep_former: bool
) -> Contact:
    """Raises `IntegrityError` if another contact gets the phone between the check and the write."""
    contact = tenant.contacts.find(lock=True, **key)
    is_new = phone != contact.phone
    if is_new and (other := other_with(tenant.pk, phone, but=contact.pk)):
        raise PhoneTaken(phone, other)
    changes = edit.merged(contact, changes)
    edit.change(contact, phone=phone, keep_former=keep_former, **changes)
    return contact


def other_with(tenant_id: str, phone: str, but: str) -> Contact | None:
    """The contact of the tenant that has `phone`, now or as a former phone, `but` for the contact
    with this id."""
    current = former_phones.current(tenant_id, [phone]).get(phone, phone)
    found = Contact.objects.filter(tenant=tenant_id, phone=current)
    return found.exclude(pk=but).first()
