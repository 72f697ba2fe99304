"""Giving a contact another phone. Everything else stays: its id, its history, its consent."""

from typing import Any

from contacts.db.transactions import retry_once, transactional
from contacts.models import Contact
from tenants.models import Tenant

from . import edit

TAKEN = (
    "Another contact has the phone {phone}: {contact_id}. If both are the same person, merge the"
    " two with merge-contacts."
)


class PhoneTaken(ValueError):
    """Another contact of the tenant has the phone. Nothing was written."""

    def __init__(self, other: Contact) -> None:
        super().__init__(TAKEN.format(phone=other.phone, contact_id=other.pk))


def change_one(tenant: Tenant, key: dict[str, str], phone: str, changes: dict[str, Any]) -> Contact:
    """`edit.change_one`, which also gives the contact another phone, in the same change.

    `phone`: in E.164. Raises `PhoneTaken`, and the errors of `edit.change_one`. The opt-outs follow
    the rule of `OptOut`: the old phone stays opted out, and the contact is opted out if the owner
    of the new phone is.
    """
    return retry_once(lambda: change_locked(tenant, key, phone, changes))


@transactional
def change_locked(
    tenant: Tenant, key: dict[str, str], phone: str, changes: dict[str, Any]
) -> Contact:
    """Raises `IntegrityError` if another contact gets the phone between the check and the write."""
    contact = tenant.contacts.find(lock=True, **key)
    refuse_taken(contact, phone)
    edit.change(contact, phone=phone, **edit.merged(contact, changes))
    return contact


def refuse_taken(contact: Contact, phone: str) -> None:
    if phone == contact.phone:
        return
    for other in Contact.objects.filter(tenant=contact.tenant_id, phone=phone):
        raise PhoneTaken(other)
