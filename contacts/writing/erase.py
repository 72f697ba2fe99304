"""Forgetting a person in the database, as data protection asks (GDPR, article 17).

What imports keep in files is forgotten by `contacts.erasing`, which does the whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from contacts.db.transactions import transactional
from contacts.models import Change, Contact, Erasure, StoredAnswer
from contacts.values.digests import phone_digest
from tenants.models import Tenant

from . import consent, rows


class Forgotten(NamedTuple):
    """What became of a person in the database.

    `was_there`: whether a contact had the phone. `merged_into`: the phones of contacts into which
    such a contact was merged; these contacts may belong to the same person.
    """

    was_there: bool
    merged_into: list[str]


@transactional
def forget(tenant: Tenant, phone: str) -> Forgotten:
    """Deletes the contact with this phone, and empties what the logs say about the person.

    A keyed digest of the phone stays, so that no later import brings the person back. After an
    opt-out a second digest stays: whoever creates a contact with the phone in another way gets one
    that has opted out.
    """
    block_imports(tenant, phone)
    clear_admin_log(tenant, phone)
    clear_refusals(tenant, phone)
    stored = list(tenant.contacts.filter(phone=phone).select_for_update())
    consent.remember(contact.opt_out for contact in stored)
    rows.delete([contact.end(Change.Kind.ERASED)._replace(fields={}) for contact in stored])
    clear_answers(tenant, phone, stored)
    survivors = tenant.changes.forget(phone, [contact.pk for contact in stored])
    others = tenant.contacts.filter(pk__in=survivors).order_by("phone")
    return Forgotten(bool(stored), list(others.values_list("phone", flat=True)))


def block_imports(tenant: Tenant, phone: str) -> None:
    """Waits for the running batches of imports, which lock the tenant, and keeps later batches from
    bringing the person back. Writers that only look at the tenant's key do not wait."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    Erasure.objects.get_or_create(tenant=tenant, digest=phone_digest(phone))


def clear_admin_log(tenant: Tenant, phone: str) -> None:
    """The admin's log names contacts by their phones."""
    entries = LogEntry.objects.filter(
        Q(user__tenant=tenant) | Q(user__is_superuser=True),
        content_type=ContentType.objects.get_for_model(Contact),
        object_repr=phone,
    )
    entries.update(object_repr="erased", change_message="")


def clear_answers(tenant: Tenant, phone: str, stored: Sequence[Contact]) -> None:
    """Answers that are kept for repeated requests name contacts by their phones and ids."""
    words = [phone, *(contact.pk for contact in stored)]
    StoredAnswer.objects.filter(tenant=tenant).naming(words).delete()


def clear_refusals(tenant: Tenant, phone: str) -> None:
    """Bulk actions keep the phones of contacts that they could not change. An action that runs is
    locked before its contacts, and may be refusing this contact right now."""
    refusing = tenant.bulk_actions.filter(Q(refused__gt=0) | Q(finished_at=None))
    for action in refusing.order_by("pk").select_for_update():
        action.refusals = [line for line in action.refusals if phone not in " ".join(line)]
        action.save(update_fields=["refusals"])
