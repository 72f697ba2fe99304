"""Forgetting a person in the database, as data protection asks (GDPR, article 17).

What imports keep in files is forgotten by `contacts.erasing`, which does the whole.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from contacts.db.transactions import hold_tenant, transactional
from contacts.models import Change, Contact, Erasure, NearKey, StoredAnswer
from contacts.values.digests import phone_digest
from contacts.values.numbering_plans import forms
from tenants.models import Tenant

from . import consent, former_phones, rows


class Forgotten(NamedTuple):
    """What became of a person in the database.

    `was_there`: whether a contact had the phone. `merged_into`: the phones of contacts into which
    such a contact was merged; these contacts may belong to the same person. `phones`: all phones of
    the person, current and former.
    """

    was_there: bool
    merged_into: list[str]
    phones: list[str]


@transactional
def forget(tenant: Tenant, phone: str) -> Forgotten:
    """Deletes the contact that has this phone, or had it before, and empties what the logs say
    about the person. The contact may be stored under an old form of the phone.

    A keyed digest of each phone of the contact stays, so that no later import brings the person
    back. After an opt-out a second digest stays: whoever creates a contact with the phone in
    another way gets one that has opted out.
    """
    # Waits for the running batches of imports, and keeps later batches waiting.
    hold_tenant(tenant.pk, alone=True)
    stored = find(tenant, forms([phone]))
    former = former_phones.of(stored)
    known = {phone, *chain.from_iterable((one.phone, *former[one.pk]) for one in stored)}
    phones = sorted(forms(known))
    block_imports(tenant, phones)
    clear_admin_log(tenant, phones)
    clear_refusals(tenant, phones)
    consent.remember(chain.from_iterable(one.opt_outs(former[one.pk]) for one in stored))
    rows.delete([contact.end(Change.Kind.ERASED)._replace(fields={}) for contact in stored])
    clear_answers(tenant, phones, stored)
    clear_duplicates(tenant, [contact.pk for contact in stored])
    survivors = tenant.changes.forget(phones, [contact.pk for contact in stored])
    others = tenant.contacts.filter(pk__in=survivors).order_by("phone")
    return Forgotten(bool(stored), list(others.values_list("phone", flat=True)), phones)


def find(tenant: Tenant, phones: Iterable[str]) -> list[Contact]:
    """The contacts that have one of these phones or had it before, locked."""
    found = {}
    for phone in sorted(phones):
        with suppress(Contact.DoesNotExist):
            contact = tenant.contacts.find(phone=phone, lock=True)
            found[contact.pk] = contact
    return [*found.values()]


def block_imports(tenant: Tenant, phones: Sequence[str]) -> None:
    """Keeps later batches of imports from bringing the person back."""
    for phone in phones:
        Erasure.objects.get_or_create(tenant=tenant, digest=phone_digest(phone))


def clear_admin_log(tenant: Tenant, phones: Sequence[str]) -> None:
    """The admin's log names contacts by their phones."""
    entries = LogEntry.objects.filter(
        Q(user__tenant=tenant) | Q(user__is_superuser=True),
        content_type=ContentType.objects.get_for_model(Contact),
        object_repr__in=phones,
    )
    entries.update(object_repr="erased", change_message="")


def clear_answers(tenant: Tenant, phones: Sequence[str], stored: Sequence[Contact]) -> None:
    """Answers that are kept for repeated requests name contacts by their phones and ids."""
    words = [*phones, *(contact.pk for contact in stored)]
    StoredAnswer.objects.filter(tenant=tenant).naming(words).delete()


def clear_duplicates(tenant: Tenant, contact_ids: Sequence[str]) -> None:
    """The search for duplicates keeps pairs, dismissed ones even of contacts that are gone, and
    keys made from names and phones."""
    tenant.duplicates.of(contact_ids).delete()
    NearKey.objects.filter(tenant=tenant, pk__in=contact_ids).delete()


def clear_refusals(tenant: Tenant, spellings: Sequence[str]) -> None:
    """Bulk actions keep the phones of contacts that they could not change. An action that runs is
    locked before its contacts, and may be refusing this contact right now."""
    refusing = tenant.bulk_actions.filter(Q(refused__gt=0) | Q(finished_at=None))
    for action in refusing.order_by("pk").select_for_update():
        action.refusals = [
            line for line in action.refusals if not any(one in " ".join(line) for one in spellings)
        ]
        action.save(update_fields=["refusals"])
