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

from . import consent, former_phones, notes, rows


class Numbers(NamedTuple):
    """How many rows an erasure has deleted or emptied. It says nothing about the person, so a
    receipt may keep it.

    `notes`: of staff. `phones`: current and former ones, of which digests stay. `opt_outs`: those
    of them that stay opted out. `changes`: entries of the change log. `answers`: stored answers of
    the API. `refusals`: lines of bulk actions. `log_entries`: of the admin's log.
    """

    contacts: int
    notes: int
    phones: int
    opt_outs: int
    changes: int
    duplicates: int
    answers: int
    refusals: int
    log_entries: int


class Forgotten(NamedTuple):
    """What became of a person in the database.

    `was_there`: whether a contact had the phone. `merged_into`: the phones of contacts into which
    such a contact was merged; these contacts may belong to the same person. `phones`: all phones of
    the person, current and former, in each form of their numbers.
    """

    was_there: bool
    merged_into: list[str]
    phones: list[str]
    numbers: Numbers


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
    former_phones.lock(find(tenant, forms([phone]), lock=False))
    stored = find(tenant, forms([phone]), lock=True)
    former = former_phones.of(stored)
    known = {phone, *chain.from_iterable((one.phone, *former[one.pk]) for one in stored)}
    phones = sorted(forms(known))
    block_imports(tenant, phones)
    log_entries = clear_admin_log(tenant, phones)
    refusals = clear_refusals(tenant, phones)
    opt_outs = [*filter(None, chain.from_iterable(c.opt_outs(former[c.pk]) for c in stored))]
    consent.remember(opt_outs)
    ends = [contact.end(Change.Kind.ERASED)._replace(fields={}) for contact in stored]
    rows.delete(ends)
    answers = clear_answers(tenant, phones, stored)
    duplicates = clear_duplicates(tenant, [contact.pk for contact in stored])
    cleared = tenant.changes.forget(phones, [contact.pk for contact in stored])
    others = tenant.contacts.filter(pk__in=cleared.survivors).order_by("phone")
    numbers = Numbers(
        contacts=len(stored), notes=notes.erase(tenant, cleared.contact_ids), phones=len(known),
        opt_outs=len(opt_outs), changes=cleared.number, duplicates=duplicates, answers=answers,
        refusals=refusals, log_entries=log_entries,
    )  # fmt: skip
    return Forgotten(bool(stored), list(others.values_list("phone", flat=True)), phones, numbers)


def find(tenant: Tenant, phones: Iterable[str], *, lock: bool) -> list[Contact]:
    """The contacts that have one of these phones or had it before. `lock`: see `find` of the
    contacts."""
    found = {}
    for phone in sorted(phones):
        with suppress(Contact.DoesNotExist):
            contact = tenant.contacts.find(phone=phone, lock=lock)
            found[contact.pk] = contact
    return [*found.values()]


def block_imports(tenant: Tenant, phones: Sequence[str]) -> None:
    """Keeps later batches of imports from bringing the person back."""
    for phone in phones:
        Erasure.objects.get_or_create(tenant=tenant, digest=phone_digest(phone))


def clear_admin_log(tenant: Tenant, phones: Sequence[str]) -> int:
    """The admin's log names contacts by their phones. Returns the number of cleared entries."""
    entries = LogEntry.objects.filter(
        Q(user__tenant=tenant) | Q(user__is_superuser=True),
        content_type=ContentType.objects.get_for_model(Contact),
        object_repr__in=phones,
    )
    return entries.update(object_repr="erased", change_message="")


def clear_answers(tenant: Tenant, phones: Sequence[str], stored: Sequence[Contact]) -> int:
    """Answers that are kept for repeated requests name contacts by their phones and ids. Returns
    the number of deleted answers."""
    words = [*phones, *(contact.pk for contact in stored)]
    number, _ = StoredAnswer.objects.filter(tenant=tenant).naming(words).delete()
    return number


def clear_duplicates(tenant: Tenant, contact_ids: Sequence[str]) -> int:
    """The search for duplicates keeps pairs, dismissed ones even of contacts that are gone, and
    keys made from names and phones. Returns the number of deleted pairs."""
    number, _ = tenant.duplicates.of(contact_ids).delete()
    NearKey.objects.filter(tenant=tenant, pk__in=contact_ids).delete()
    return number


def clear_refusals(tenant: Tenant, spellings: Sequence[str]) -> int:
    """Bulk actions keep the phones of contacts that they could not change. An action that runs is
    locked before its contacts, and may be refusing this contact right now. Returns the number of
    deleted lines."""
    number = 0
    refusing = tenant.bulk_actions.filter(Q(refused__gt=0) | Q(finished_at=None))
    for action in refusing.order_by("pk").select_for_update():
        kept = [line for line in action.refusals if not names(line, spellings)]
        number += len(action.refusals) - len(kept)
        action.refusals = kept
        action.save(update_fields=["refusals"])
    return number


def names(refusal: list[str], spellings: Sequence[str]) -> bool:
    """Whether a line of a bulk action names one of these phones."""
    return any(one in " ".join(refusal) for one in spellings)
