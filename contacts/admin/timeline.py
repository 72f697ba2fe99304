"""The timeline of a contact: its changes and the notes of staff, newest first."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from heapq import merge
from typing import NamedTuple

from django.db.models import QuerySet
from django.http import HttpRequest

from contacts.change_log.cause import actor_of
from contacts.models import Change, Contact, Note

from .describe import Actors, ChangeText, Who, changes_of, local_time

LATEST = 10  # changes, and as many notes, on the page of a contact


class NoteText(NamedTuple):
    """A note as text. `may_delete`: whether the user may delete it."""

    note: Note
    at: str
    who: Who
    may_delete: bool


Entry = ChangeText | NoteText


def latest(request: HttpRequest, contact: Contact) -> list[Entry]:
    """The newest changes and the newest notes: many changes do not hide a note."""
    found = notes_of([contact]).order_by("-created_at", "-pk")[:LATEST]
    return mixed(changes_of(contact, None)[:LATEST], texts_of(request, contact, found))


def page(
    request: HttpRequest, contact: Contact, changes: Sequence[ChangeText], before: int | None,
    *, is_last: bool,
) -> list[Entry]:  # fmt: skip
    """A page of the history: `changes`, and the notes between them and the change `before` of the
    page before. The last page has all older notes, too."""
    found = notes_of([contact])
    log = Change.objects.filter(tenant=contact.tenant_id)
    if before and (newer := log.filter(pk=before).values_list("at", flat=True).first()):
        found = found.filter(created_at__lte=newer)
    if not is_last:
        found = found.filter(created_at__gt=changes[-1].change.at)
    texts = texts_of(request, contact, found.order_by("-created_at", "-pk"))
    return mixed(changes, texts)


def notes_of(contacts: Collection[Contact]) -> QuerySet[Note]:
    tenants, pks = {one.tenant_id for one in contacts}, [one.pk for one in contacts]
    return Note.objects.filter(tenant__in=tenants, contact_id__in=pks)


def texts_of(request: HttpRequest, contact: Contact, notes: Iterable[Note]) -> list[NoteText]:
    notes = [*notes]
    authors = Actors((note.author for note in notes), [contact.tenant_id])
    return [
        NoteText(
            note, local_time(note.created_at), authors.who(note.author), may_delete(request, note)
        )
        for note in notes
    ]


def may_delete(request: HttpRequest, note: Note) -> bool:
    """Authors may delete their own notes, managers all notes."""
    is_own = note.author == actor_of(request)
    has_perm = request.user.has_perm
    return has_perm("contacts.change_contact") and (is_own or has_perm("contacts.delete_note"))


def mixed(changes: Iterable[ChangeText], notes: Iterable[NoteText]) -> list[Entry]:
    """Both by their times; the changes stay in the order of the log."""
    both: tuple[Iterable[Entry], Iterable[Entry]] = (changes, notes)
    return [*merge(*both, key=moment_of, reverse=True)]


def moment_of(entry: Entry) -> datetime:
    return entry.note.created_at if isinstance(entry, NoteText) else entry.change.at
