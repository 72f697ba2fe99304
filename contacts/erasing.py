"""Erasing a person from the database and from the files of imports."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from django.db import connection, transaction

from contacts.exporting import cleanup
from contacts.importing import erasures
from contacts.models import Import
from contacts.writing.erase import Numbers, forget
from tenants.models import Tenant


class Erased(NamedTuple):
    """What was erased, and what is left.

    `was_there`: whether a contact had the phone. `merged_into`: the phones of contacts into which
    such a contact was merged; these contacts may belong to the same person. `waiting`: imports that
    have not run yet. Their uploads may contain the person; an upload is deleted when its import has
    run or is deleted. `unreadable`: error files that could not be searched: delete them by hand.
    `numbers`: what was deleted or emptied in the database. `exports`: how many exports lost their
    files.
    """

    was_there: bool
    merged_into: list[str]
    waiting: list[Import]
    unreadable: list[Path]
    numbers: Numbers
    exports: int


def erase(tenant: Tenant, phone: str) -> Erased:
    """Forgets the person who has this phone, or had it before, in E.164: the contact with all its
    phones, and what logs, imports and exports keep.

    Idempotent. The database comes first, in a transaction of its own: from then on no import writes
    the phones into the database or into a file. If a process is killed after that, call it again,
    for each phone of the person.
    """
    forgotten = forget(tenant, phone)
    waiting, unreadable, exports = erase_files(tenant, forgotten.phones)
    if connection.in_atomic_block:
        # Until the caller's transaction ends, an import does not see that the person is erased, and
        # may write the person into its error file.
        transaction.on_commit(partial(erase_files, tenant, forgotten.phones))
    was_there, merged_into, _, numbers = forgotten
    return Erased(was_there, merged_into, waiting, unreadable, numbers, exports)


def erase_files(tenant: Tenant, phones: Iterable[str]) -> tuple[list[Import], list[Path], int]:
    """Erases the phones of a person from the files of imports and exports. Returns `waiting`,
    `unreadable` and `exports` of `Erased`."""
    waiting: dict[str, Import] = {}
    unreadable: dict[Path, None] = {}
    for each in phones:
        files = erasures.erase(tenant, each)
        waiting |= {job.pk: job for job in files.waiting}
        unreadable |= dict.fromkeys(files.failed)
    return [*waiting.values()], [*unreadable], cleanup.erase(tenant)
