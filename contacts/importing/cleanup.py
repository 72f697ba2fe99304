"""Deletes imports and their files."""

import shutil
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path

from django_tasks_db.models import DBTaskResult

from contacts.jobs.files import data_folder
from contacts.jobs.lock import JobIsRunning, locked_folder
from contacts.models import Import

from .storage import errors_of, spool_folder


def delete(job: Import) -> None:
    """Deletes the import and its files. Raises `JobIsRunning`."""
    with locked_folder(spool_folder(job)) as folder:
        shutil.rmtree(folder)
        errors_of(job).unlink(missing_ok=True)
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
    folders = map(data_folder, ("imports", "uploads", "turns"))
    for path in chain.from_iterable(folder.iterdir() for folder in folders):
        if path.name.partition(".")[0] not in known:
            with suppress(FileNotFoundError):  # a request has just ended and removed its upload
                remove_if_older(path, limit)
    DBTaskResult.objects.filter(enqueued_at__lt=limit).delete()
    return number


def remove_if_older(path: Path, limit: datetime) -> None:
    if path.stat().st_mtime < limit.timestamp():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
