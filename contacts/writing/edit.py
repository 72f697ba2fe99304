"""Changing fields of contacts that exist."""

from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from typing import Any

from django.db.models import Model
from django.utils import timezone

from contacts.change_log.difference import CONSENT, LOGGED_FIELDS
from contacts.db.expressions import updated_after
from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Entry, with_folded
from contacts.values import rules
from tenants.models import Tenant

from . import consent, former_phones, links, rows


@transactional
def change_one(tenant: Tenant, key: dict[str, str], changes: dict[str, Any]) -> Contact:
    """Writes `changes` to the contact that `key` finds; its other fields stay as they are.

    Metadata is merged (RFC 7396, at the top level): a key with a value overwrites, a key with None
    is removed, and other keys stay; None instead of an object empties it. Raises
    `Contact.DoesNotExist`, and `RuleBroken` where the merged metadata is too large.
    """
    contact = tenant.contacts.find(lock=True, **key)
    change(contact, **merged(contact, changes))
    return contact


def merged(contact: Contact, changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` with the whole metadata that the contact then has."""
    if "metadata" not in changes:
        return changes
    return changes | {"metadata": merged_metadata(contact, changes["metadata"])}


def merged_metadata(contact: Contact, given: dict[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    removed = {key for key, value in given.items() if value is None}
    merged = {k: v for k, v in (contact.metadata | given).items() if k not in removed}
    try:
        return rules.metadata(merged)
    except ValueError as error:
        raise rules.RuleBroken("metadata", error) from error


def change(contact: Contact, *, keep_former: bool = False, **fields: Any) -> None:
    """Saves those of `fields` that differ from what the contact has; writes nothing where none
    differs. The contact is locked. `keep_former`: see `save`."""
    changed = [
        name
        for name, value in fields.items()
        if rules.spelled(getattr(contact, name)) != rules.spelled(value)
    ]
    before = copy(contact)
    for name in changed:
        setattr(contact, name, fields[name])
    if changed:
        save(contact, update_fields=changed, before=before, keep_former=keep_former)


@transactional
def save(
    contact: Contact,
    *args: Any,
    update_fields: Iterable[str] | None = None,
    before: Contact | None = None,
    keep_former: bool = False,
    **kwargs: Any,
) -> None:
    """Saves the row, or only `update_fields` of it, with its links and its log entry. The other
    arguments are those of `Model.save`.

    `before`: the contact as it is stored, where the caller has locked it already. `keep_former`:
    where the contact gets another phone, whether the old one becomes a former phone. Raises
    `IntegrityError` where another contact has the new phone, or had it before.
    """
    mine = Contact.objects.filter(tenant=contact.tenant_id)
    before = before or former_phones.lock([contact])[0].get(contact.pk)
    contact.updated_at = updated_after(before.updated_at) if before else timezone.now()
    if update_fields is not None:
        update_fields = {*with_folded(update_fields), "updated_at"}
    old = before.phone if before and has_new_phone(before, contact, update_fields) else ""
    returned = former_phones.make_way([contact]).get(contact.pk) if old else None
    Model.save(contact, *args, update_fields=update_fields, **kwargs)
    if update_fields is None or "tags" in update_fields:
        links.match([contact])
    if before is None:
        entry = Entry(contact.tenant_id, contact.pk, Change.Kind.CREATED, {})
    else:
        entry = before.updated_to(contact, update_fields or LOGGED_FIELDS)
        kept = [old] if old and keep_former else []
        former_phones.insert(contact, kept)
        entry = former_phones.with_logged(entry, former_phones.logged(kept, returned or []))
    Change.objects.log([entry])
    if before is None or "phone" in entry.fields:
        consent.remember([before.opt_out] if before else [])
        if consent.keep_out(contact.tenant_id, [contact.phone]):
            contact.refresh_from_db(fields=[*CONSENT, "updated_at"], from_queryset=mine)


def has_new_phone(before: Contact, contact: Contact, fields: Collection[str] | None) -> bool:
    """Whether a save of `fields`, None for all, gives the contact another phone."""
    return contact.phone != before.phone and (fields is None or "phone" in fields)


@transactional
def change_many(
    contacts: Sequence[Contact],
    fields: Iterable[str],
    describe: Callable[[Entry], Entry] = lambda entry: entry,
) -> None:
    """`save` for many contacts of one tenant: saves `fields` of each. The number of statements does
    not grow with the number of contacts. `describe`: see `rows.update`."""
    if not contacts:
        return
    fields = [*fields]
    before = rows.lock(contacts, fields)
    if "phone" in fields:
        there = [contact for contact in contacts if contact.pk in before]
        remember_opt_outs(there)
        describe = with_returned(former_phones.make_way(there), describe)
    rows.update(contacts, before, fields, describe)
    if "phone" in fields:
        phones = [contact.phone for contact in contacts if contact.pk in before]
        consent.keep_out(contacts[0].tenant_id, phones)


def with_returned(
    returned: dict[str, list[str]], describe: Callable[[Entry], Entry]
) -> Callable[[Entry], Entry]:
    """`describe`, which also logs the former phones that are current ones again; `returned`: by the
    id of the contact."""

    def described(entry: Entry) -> Entry:
        removed = former_phones.logged(removed=returned.get(entry.contact_id, []))
        return describe(former_phones.with_logged(entry, removed))

    return described


def remember_opt_outs(contacts: Sequence[Contact]) -> None:
    """Stores the opt-outs of contacts that are about to get another phone than the stored one: the
    former phones must stay opted out."""
    phones = {contact.pk: contact.phone for contact in contacts}
    mine = Contact.objects.filter(tenant__in={contact.tenant_id for contact in contacts})
    opted_out = mine.filter(pk__in=phones).exclude(opted_out_at=None)
    consent.remember(one.opt_out for one in opted_out if one.phone != phones[one.pk])
