"""Notes of staff about contacts. They follow their contact into a merge and back.

The notes of a deleted contact stay: nobody sees them, and an undo of the deletion has them again.
They are deleted when the person is erased, and when the log entry has been pruned that the undo
needs (`lost`).
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from django.db.models import Case, Exists, Max, OuterRef, QuerySet, Value, When

from contacts.change_log import cause
from contacts.change_log.difference import NOTES
from contacts.db.transactions import transactional
from contacts.models import ENDS, Change, Contact, Entry, Note
from contacts.values import rules
from tenants.fields import ULIDField
from tenants.models import Tenant


@transactional
def add(contact: Contact, text: str) -> Note:
    """Writes a note of the current actor. Raises `ValueError` for a text that breaks the rule, and
    `Contact.DoesNotExist`.

    The contact is locked: whoever merges or erases it either finds the note or comes first.
    """
    text = rules.note(text)
    there = contact.tenant.contacts.find(contact_id=contact.pk, lock=True)
    author = cause.current.get().actor()
    return Note.objects.create(tenant=contact.tenant, contact_id=there.pk, text=text, author=author)


def with_logged(entry: Entry, note_ids: list[str]) -> Entry:
    """The entry of a contact that is merged, with the ids of its notes, so that an undo gives them
    back."""
    return entry._replace(fields=entry.fields | {NOTES: note_ids}) if note_ids else entry


def ids_of(tenant_id: str, contact_ids: Iterable[str]) -> dict[str, list[str]]:
    """The ids of the notes of these contacts of one tenant, by the id of the contact; without
    contacts that have none."""
    found = Note.objects.filter(tenant=tenant_id, contact_id__in=[*contact_ids])
    ids: dict[str, list[str]] = {}
    for pk, contact_id in found.order_by("pk").values_list("pk", "contact_id"):
        ids.setdefault(contact_id, []).append(pk)
    return ids


def latest(tenant_id: str, contact_ids: Iterable[str]) -> dict[str, datetime]:
    """When the newest note about each of these contacts was written, by the id of the contact."""
    found = Note.objects.filter(tenant=tenant_id, contact_id__in=[*contact_ids])
    return dict(found.values_list("contact_id").annotate(Max("created_at")))


def erase(tenant: Tenant, contact_ids: Collection[str]) -> int:
    """Deletes the notes about these contacts; not about those that exist, which have another phone
    than the erased person. Returns the number of notes."""
    there = tenant.contacts.filter(pk__in=contact_ids).values_list("pk", flat=True)
    gone = {*contact_ids} - {*there}
    return Note.objects.filter(tenant=tenant, contact_id__in=gone).delete()[0]


def lost() -> QuerySet[Note]:
    """The notes about contacts that are gone and that no undo brings back: their ends were pruned,
    or a version before has deleted them while it was replaced."""
    contacts = Contact.objects.filter(tenant=OuterRef("tenant"), pk=OuterRef("contact_id"))
    ends = Change.objects.filter(
        tenant=OuterRef("tenant"), contact_id=OuterRef("contact_id"), kind__in=ENDS
    )
    return Note.objects.filter(~Exists(contacts), ~Exists(ends.exclude(fields={})))


def move(tenant_id: str, contact_of: Mapping[str, str]) -> None:
    """Gives notes to other contacts. `contact_of`: the ids of the contacts, by the ids of the
    notes. Notes that were deleted since are left out."""
    if not contact_of:
        return
    by_contact: dict[str, list[str]] = {}
    for pk, contact_id in contact_of.items():
        by_contact.setdefault(contact_id, []).append(pk)
    cases = (When(pk__in=pks, then=Value(to, ULIDField())) for to, pks in by_contact.items())
    mine = Note.objects.filter(tenant=tenant_id, pk__in=[*contact_of])
    mine.update(contact_id=Case(*cases, output_field=ULIDField()))
