"""Deletes imports and their files."""

from contextlib import suppress
from datetime import datetime
from itertools import chain

from django_tasks_db.models import DBTaskResult

from contacts.jobs.files import store
from contacts.jobs.lock import JobIsRunning, locked
from contacts.models import Import

from .storage import errors_of, spool_folder

FOLDERS = ("imports", "uploads", "turns")


def delete(job: Import) -> None:
    """Deletes the import and its files. Raises `JobIsRunning`."""
    with locked(spool_folder(job)):
        store().remove(spool_folder(job))
        store().remove(errors_of(job))
        job.delete()


def delete_older(limit: datetime) -> int:
    """Deletes the imports that began before `limit` and do not run now: finished imports,
    abandoned imports and drafts. Also deletes files that belong to no import.

    Returns the number of deleted imports.
    """
    number = 0
    for job in Import.objects.filter(started_at__lt=limit):
        with suppress(JobIsRunning):
            delete(job)
            number += 1
    known = {*Import.objects.values_list("pk", flat=True)}
    for path, changed_at in chain.from_iterable(map(store().entries, FOLDERS)):
        if path.name.partition(".")[0] not in known and changed_at < limit.timestamp():
            store().remove(path)
    store().delete_leftovers()
    DBTaskResult.objects.filter(enqueued_at__lt=limit).delete()
    return number
