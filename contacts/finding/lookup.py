"""Finding many contacts at once by their ids, phones and e-mail addresses.

The number of statements does not grow with the number of contacts.
"""

from collections.abc import Collection

from django.db.models import Max

from contacts.models import Contact
from contacts.values import rules
from contacts.values.numbering_plans import forms
from tenants.models import Tenant


def by_ids(tenant: Tenant, ids: Collection[str]) -> dict[str, Contact]:
    """The contacts with these ids, by the id that was asked for. An id that was merged into another
    contact finds that contact."""
    asked = {pk: pk for pk in ids}  # the id that was asked for -> the contact that it stands for
    found: dict[str, Contact] = {}
    while asked:
        stored = tenant.contacts.in_bulk({*asked.values()})
        found |= {pk: stored[now] for pk, now in asked.items() if now in stored}
        survivors = tenant.changes.survivors({*asked.values()} - stored.keys())
        asked = {pk: survivors[now] for pk, now in asked.items() if now in survivors}
    return found


def by_phones(tenant: Tenant, phones: Collection[str]) -> dict[str, Contact]:
    """The contacts with these phones in E.164, current or former, by the phone that was asked for.
    A contact may be stored with an old form of its phone."""
    asked = forms(phones)
    stored = tenant.contacts.filter(phone__in=asked)
    exact_last = sorted(stored, key=lambda contact: contact.phone in phones)
    found = {asked[contact.phone]: contact for contact in exact_last}
    left = [form for form, phone in asked.items() if phone not in found]
    if not left:
        return found
    rows = Contact.all_phones.filter(tenant=tenant, former_of__isnull=False, phone__in=left)
    owners = {asked[form]: owner for form, owner in rows.values_list("phone", "former_of")}
    contacts = tenant.contacts.in_bulk({*owners.values()})
    return found | {phone: contacts[pk] for phone, pk in owners.items() if pk in contacts}


def by_emails(tenant: Tenant, emails: Collection[str]) -> dict[str, Contact]:
    """The contacts with these e-mail addresses, by the address that was asked for. Case does not
    count; of several contacts, the one that was updated last is found."""
    asked = {email: rules.folded(email) for email in emails}
    if not asked:
        return {}
    same = tenant.contacts.filter(email_folded__in={*asked.values()}).order_by()
    latest = dict(same.values_list("email_folded").annotate(Max("updated_at")))
    updated_then = same.filter(updated_at__in={*latest.values()}).order_by("pk")
    found = {
        contact.email_folded: contact
        for contact in updated_then
        if contact.updated_at == latest.get(contact.email_folded)
    }
    return {email: found[folded] for email, folded in asked.items() if folded in found}
