"""Contacts that an earlier version has stored under an old form of their phone, see
`contacts.values.numbering_plans`. Whoever writes a contact by its phone brings such rows up to date
first, in the same transaction; `normalize_phones` does so for all.

Phones of countries without such a plan cost no statement.
"""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef

from contacts.models import Contact, OptOut
from contacts.values.digests import phone_digest
from contacts.values.numbering_plans import old_forms
from tenants.models import Tenant

from . import edit, merge


def may_be_stored(tenant_id: str, phone: str) -> bool:
    """Whether an old form of the phone has a contact, or the opt-out of a deleted one."""
    if not (old := old_forms(phone)):
        return False
    mine = {"tenant": OuterRef("pk")}
    contacts = Contact.objects.filter(phone__in=old, **mine)
    opt_outs = OptOut.objects.filter(digest__in=[*map(phone_digest, old)], **mine)
    return Tenant.objects.filter(Exists(contacts) | Exists(opt_outs), pk=tenant_id).exists()


def bring_up_to_date(tenant_id: str, phones: Iterable[str]) -> None:
    """Gives the contacts that are stored under an old form of one of `phones` the phone itself.
    Where another contact has that phone already, both are one person and are merged.

    Inside a transaction. Rows are locked in the order of their phones, as every writer does: a
    second caller waits here, and then finds the row under its new phone.
    """
    today = {old: phone for phone in phones for old in old_forms(phone)}
    if not today:
        return
    mine = Contact.objects.filter(tenant=tenant_id)
    stored = [*mine.filter(phone__in=today).values_list("phone", flat=True)]
    if not stored:
        return
    groups: dict[str, list[Contact]] = {today[old]: [] for old in stored}
    concerned = mine.filter(phone__in=[*stored, *groups]).order_by("phone")
    for contact in concerned.select_for_update():
        groups[today.get(contact.phone, contact.phone)].append(contact)
    unite(groups)


def unite(groups: dict[str, list[Contact]]) -> None:
    """Makes each group of locked contacts of one tenant one contact, and gives this contact the
    phone that is the key of the group.

    If a group cannot be merged, its contacts stay, and `normalize_phones` says why. Then one of
    them has the phone, too: else the caller would create one more contact.
    """
    merged = {kept.pk: kept for kept, _, problem in merge.merge([*groups.values()]) if not problem}
    renamed = []
    for phone, group in groups.items():
        oldest = min(group, key=lambda contact: contact.pk)
        kept = merged.get(oldest.pk)
        if kept or all(contact.phone != phone for contact in group):
            contact = kept or oldest
            contact.phone = phone
            renamed.append(contact)
    edit.change_many(renamed, ["phone"])
