"""Old imports."""

import shutil
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path

from django_tasks_db.models import DBTaskResult

from contacts.jobs.files import data_folder
from contacts.jobs.lock import ImportRuns, alone_in
from contacts.models import Import

from .storage import errors_of, spool_folder

# Forgotten


def delete(job: Import) -> None:
    """The import and its files. Raises `ImportRuns`."""
    with alone_in(spool_folder(job)) as folder:
        shutil.rmtree(folder)
        errors_of(job).unlink(missing_ok=True)
        job.delete()


def sweep(before: datetime) -> int:
    """Deletes the imports begun before then, abandoned ones and drafts too, and files that no
    import knows.

    Returns how many imports.
    """
    number = 0
    for job in Import.objects.filter(started_at__lt=before):
        with suppress(ImportRuns):
            delete(job)
            number += 1
    known = {*Import.objects.values_list("pk", flat=True)}
    folders = map(data_folder, ("imports", "uploads", "turns"))
    for path in chain.from_iterable(folder.iterdir() for folder in folders):
        if path.name.partition(".")[0] not in known:
            with suppress(FileNotFoundError):  # an upload that was coming in has just ended
                remove_older(path, before)
    DBTaskResult.objects.filter(enqueued_at__lt=before).delete()
    return number


def remove_older(path: Path, before: datetime) -> None:
    if path.stat().st_mtime < before.timestamp():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
