"""Notes of staff about contacts: they follow their contact into a merge and back, and are deleted
with the contact, see `rows.delete`."""

from collections.abc import Iterable, Mapping

from django.db.models import Case, Value, When

from contacts.change_log import cause
from contacts.change_log.difference import NOTES
from contacts.db.transactions import transactional
from contacts.models import Contact, Entry, Note
from contacts.values import rules
from tenants.fields import ULIDField


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
