"""Erasing a person: the one verb behind every door."""

from pathlib import Path
from typing import NamedTuple

from contacts.importing import erasures
from contacts.models import Import
from contacts.writing.erase import forget
from tenants.models import Tenant


class Erased(NamedTuple):
    """`was_there`: whether a contact had the phone. `merged_into`: phones of contacts that it was
    merged into; they may be the same person. `waiting`: imports whose upload is still to be brought
    in; the upload is deleted afterwards, or together with the import where that is a draft.
    `unreadable`: error files that could not be searched, and have to be deleted by hand."""

    was_there: bool
    merged_into: list[str]
    waiting: list[Import]
    unreadable: list[Path]


def erase(tenant: Tenant, phone: str) -> Erased:
    """Forgets the person with this phone, in E.164: the contact, and what logs and imports keep.

    Idempotent. The database comes first, in a transaction of its own: from then on no import writes
    the phone into the database or into a file. If a process is killed after that, call it again.
    """
    forgotten = forget(tenant, phone)
    files = erasures.erase(tenant, phone)
    return Erased(*forgotten, *files)
