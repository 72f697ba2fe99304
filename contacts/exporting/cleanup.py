"""How exports end before their rows do: files contain people, so no file is stored for long."""

import time
from contextlib import suppress
from datetime import datetime

from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_noop

from contacts.jobs.files import store
from contacts.jobs.lock import JobIsRunning, locked
from contacts.models import Export, ExportQuerySet
from contacts.models.owned import key_of
from tenants.models import Tenant

from .storage import file_of, folder_of

MAX_FILES = 10  # of a tenant; with more, one token could fill the disk
ORPHAN_AGE = 24 * 60 * 60  # seconds; a younger folder may belong to an export that begins now
ERASED = gettext_noop("A person was erased from the contacts. Export the contacts again.")
State = Export.State


def expire(exports: ExportQuerySet, problem: str = "") -> int:
    """Ends these exports and deletes their files. Returns their number.

    The row changes first: a worker that finishes one of them now notices it, and deletes the file.
    """
    jobs = list(exports)
    ended_at = Coalesce("finished_at", Value(timezone.now()))
    chosen = Export.objects.filter(key_of(jobs))
    chosen.update(state=State.EXPIRED, problem=problem, finished_at=ended_at)
    for job in jobs:
        delete_files(job)
    return len(jobs)


def delete_files(job: Export) -> None:
    store().remove(file_of(job))
    with suppress(JobIsRunning), locked(folder_of(job)):
        store().remove(folder_of(job))


def erase(tenant: Tenant) -> int:
    """Deletes the files of the tenant that may contain a person who was just erased: all that are
    written or being written. An export that still waits does not find the person any more. Returns
    the number of exports."""
    return expire(tenant.exports.filter(state__in=(State.WRITING, State.DONE)), ERASED)


def keep_latest(tenant: Tenant) -> None:
    """Expires the oldest files of the tenant that are more than `MAX_FILES`."""
    oldest = tenant.exports.with_file().order_by("-finished_at")[MAX_FILES:]
    expire(tenant.exports.filter(pk__in=[job.pk for job in oldest]))


def delete_expired() -> None:
    """Expires the exports that are too old, of all tenants. Also deletes files without an export,
    which remain if a tenant was deleted or a process was killed."""
    expire(Export.objects.with_file().filter(expires_at__lte=timezone.now()))
    entries = [*store().entries("exports")]  # before the rows: a row is there before its file
    # Not the expired: if the store did not answer when their files were deleted, that is done now.
    current = Export.objects.unfinished() | Export.objects.with_file()
    known = {*current.values_list("pk", flat=True)}
    for path, changed_at in entries:
        is_old = changed_at < time.time() - ORPHAN_AGE
        if path.name.partition(".")[0] not in known and (path.suffix == ".file" or is_old):
            store().remove(path)


def delete(job: Export) -> None:
    """Deletes the export and its files. Raises `JobIsRunning`."""
    with locked(folder_of(job)):
        store().remove(folder_of(job))
        store().remove(file_of(job))
        job.delete()


def delete_older(limit: datetime) -> int:
    """Deletes the exports that began before `limit` and do not run now. Returns their number."""
    delete_expired()
    number = 0
    for job in Export.objects.filter(started_at__lt=limit):
        with suppress(JobIsRunning):
            delete(job)
            number += 1
    return number
