"""Changing fields of contacts that exist."""

from collections.abc import Callable, Iterable, Sequence
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

from . import consent, links, rows


@transactional
def change_one(tenant: Tenant, key: dict[str, str], changes: dict[str, Any]) -> Contact:
    """Writes `changes` to the contact that `key` finds; its other fields stay as they are.

    Metadata is merged (RFC 7396, at the top level): a key with a value overwrites, a key with None
    is removed, and other keys stay; None instead of an object empties it. Raises
    `Contact.DoesNotExist`, and `RuleBroken` where the merged metadata is too large.
    """
    contact = tenant.contacts.find(lock=True, **key)
    if "metadata" in changes:
        changes = changes | {"metadata": merged_metadata(contact, changes["metadata"])}
    change(contact, **changes)
    return contact


def merged_metadata(contact: Contact, given: dict[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    removed = {key for key, value in given.items() if value is None}
    merged = {k: v for k, v in (contact.metadata | given).items() if k not in removed}
    try:
        return rules.metadata(merged)
    except ValueError as error:
        raise rules.RuleBroken("metadata", error) from error


def change(contact: Contact, **fields: Any) -> None:
    """Saves those of `fields` that differ from what the contact has; writes nothing where none
    differs. The contact is locked."""
    changed = [
        name
        for name, value in fields.items()
        if rules.spelled(getattr(contact, name)) != rules.spelled(value)
    ]
    before = copy(contact)
    for name in changed:
        setattr(contact, name, fields[name])
    if changed:
        save(contact, update_fields=changed, before=before)


@transactional
def save(
    contact: Contact,
    *args: Any,
    update_fields: Iterable[str] | None = None,
    before: Contact | None = None,
    **kwargs: Any,
) -> None:
    """Saves the row, or only `update_fields` of it, with its links and its log entry. The other
    arguments are those of `Model.save`.

    `before`: the contact as it is stored, where the caller has locked it already.
    """
    before = before or Contact.objects.filter(pk=contact.pk).select_for_update().first()
    contact.updated_at = updated_after(before.updated_at) if before else timezone.now()
    if update_fields is not None:
        update_fields = {*with_folded(update_fields), "updated_at"}
    Model.save(contact, *args, update_fields=update_fields, **kwargs)
    if update_fields is None or "tags" in update_fields:
        links.match([contact])
    if before is None:
        entry = Entry(contact.tenant_id, contact.pk, Change.Kind.CREATED, {})
    else:
        entry = before.updated_to(contact, update_fields or LOGGED_FIELDS)
    Change.objects.log([entry])
    if before is None or "phone" in entry.fields:
        consent.remember([before.opt_out] if before else [])
        if consent.keep_out(contact.tenant_id, [contact.phone]):
            contact.refresh_from_db(fields=[*CONSENT, "updated_at"])


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
        remember_former_phones([contact for contact in contacts if contact.pk in before])
    rows.update(contacts, before, fields, describe)
    if "phone" in fields:
        phones = [contact.phone for contact in contacts if contact.pk in before]
        consent.keep_out(contacts[0].tenant_id, phones)


def remember_former_phones(contacts: Sequence[Contact]) -> None:
    """Stores the opt-outs of contacts that are about to get another phone than the stored one."""
    phones = {contact.pk: contact.phone for contact in contacts}
    opted_out = Contact.objects.filter(pk__in=phones).exclude(opted_out_at=None)
    consent.remember(one.opt_out for one in opted_out if one.phone != phones[one.pk])
