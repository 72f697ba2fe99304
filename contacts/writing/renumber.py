"""Contacts that an earlier version has stored under an old form of their phone, see
`contacts.values.numbering_plans`. Whoever writes a contact by its phone brings such rows up to date
first, in the same transaction; `normalize_phones` does so for all.

Phones of countries without such a plan cost no statement.
"""

from collections.abc import Iterable

from contacts.models import Contact, OptOut
from contacts.values.digests import phone_digest
from contacts.values.numbering_plans import old_forms, renumbered

from . import edit, former_phones, merge


def may_be_stored(tenant_id: str, phone: str) -> bool:
    """Whether an old form of the phone has a contact, or the opt-out of a deleted one."""
    if not (old := old_forms(phone)):
        return False
    contacts = Contact.all_phones.filter(tenant=tenant_id, phone__in=old)
    opt_outs = OptOut.objects.filter(tenant=tenant_id, digest__in=[*map(phone_digest, old)])
    return contacts.values("tenant").union(opt_outs.values("tenant"), all=True).exists()


def bring_up_to_date(tenant_id: str, phones: Iterable[str]) -> list[merge.Result]:
    """Gives the contacts that are stored under an old form of one of `phones` the phone itself, and
    former phones their new form. Where another contact has that phone already, now or as a former
    phone, both are one person and are merged; returns what `merge.merge` returns.

    Inside a transaction. Rows are locked in the order of their phones, as every writer does: a
    second caller waits here, and then finds the row under its new phone.
    """
    today = {old: phone for phone in phones for old in old_forms(phone)}
    if not today:
        return []
    stored = Contact.all_phones.filter(tenant=tenant_id, phone__in=today)
    if not (old := [*stored.values_list("phone", flat=True)]):
        return []
    concerned = {phone: today[phone] for phone in old}
    concerned |= {phone: phone for phone in today.values() if phone in concerned.values()}
    parts = apart(locked_groups(tenant_id, concerned))
    merged = [result for groups in parts for result in unite(groups)]
    renumber_former(tenant_id, today)
    return merged


def locked_groups(tenant_id: str, wanted: dict[str, str]) -> dict[str, list[Contact]]:
    """The contacts, locked, that have or had the phones in `wanted`, by the phone that they should
    have, which is the value in `wanted`."""
    current = former_phones.lock_current(tenant_id, wanted)
    found = Contact.objects.filter(tenant=tenant_id, phone__in=current.values())
    contacts = {contact.phone: contact for contact in found}
    groups: dict[str, list[Contact]] = {phone: [] for phone in wanted.values()}
    for phone in sorted(current):
        group, contact = groups[wanted[phone]], contacts[current[phone]]
        if contact not in group:
            group.append(contact)
    return groups


def apart(groups: dict[str, list[Contact]]) -> list[dict[str, list[Contact]]]:
    """The groups in parts, so that no part has a contact twice. One part, unless a contact has two
    of the phones."""
    members = [contact.pk for group in groups.values() for contact in group]
    if len({*members}) == len(members):
        return [groups]
    return [{phone: group} for phone, group in groups.items()]


def renumber_former(tenant_id: str, today: dict[str, str]) -> None:
    """Gives former phones that are stored in an old form their new one, and logs it. Deletes those
    of which the new form is stored, too. `today`: the new form, by the old one."""
    mine = Contact.all_phones.filter(tenant=tenant_id)
    old = [*mine.filter(phone__in=today, former_of__isnull=False).order_by("phone")]
    taken = {*mine.filter(phone__in=today.values()).values_list("phone", flat=True)}
    changes: dict[str, tuple[list[str], list[str]]] = {}
    for row in old:
        added, removed = changes.setdefault(str(row.former_of_id), ([], []))
        removed.append(row.phone)
        if today[row.phone] not in taken:
            taken.add(today[row.phone])
            added.append(today[row.phone])
            mine.filter(pk=row.pk).update(phone=today[row.phone])
    gone = [row.pk for row in old if today[row.phone] not in changes[str(row.former_of_id)][0]]
    former_phones.delete(mine.filter(pk__in=gone, phone__in=today))
    for contact in Contact.objects.filter(tenant=tenant_id, pk__in=changes).order_by("phone"):
        former_phones.log(contact, former_phones.logged(*changes[contact.pk]))


def unite(groups: dict[str, list[Contact]]) -> list[merge.Result]:
    """Makes each group of locked contacts of one tenant one contact, and returns what `merge.merge`
    returns. If its phone is an old form, it gets the phone that is the key of the group.

    If a group cannot be merged, its contacts stay, and `normalize_phones` says why. Then one of
    them has the phone, too: else the caller would create one more contact.
    """
    results = merge.merge([*groups.values()])
    merged = {kept.pk: kept for kept, _, problem in results if not problem}
    renamed = []
    for phone, group in groups.items():
        oldest = min(group, key=lambda contact: contact.pk)
        kept = merged.get(oldest.pk)
        contact = kept or oldest
        is_free = kept or all(contact.phone != phone for contact in group)
        if is_free and contact.phone != phone and renumbered(contact.phone) == phone:
            contact.phone = phone
            renamed.append(contact)
    edit.change_many(renamed, ["phone"])
    return results
