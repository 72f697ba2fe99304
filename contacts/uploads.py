"""Imports whose file came over HTTP: kept beside the spool until a worker has brought it in.

The servers and the workers of an installation share `DATA_DIR`.
"""

import logging
import shutil
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from tenants.models import Tenant

from . import error_files
from .cleaning import Options, options_for
from .columns import UnknownColumn
from .files import data_folder
from .imports import (
    Importer,
    ImportRuns,
    alone_in,
    erase_from_spool,
    spool_folder,
)
from .models import Import
from .parsers import Incoming
from .tabular import Source, UnreadableFile, is_gzip

logger = logging.getLogger(__name__)

UNPACKED = 16  # times as large as an upload, a gzip file may become
STOPPED = "It has stopped on our side, and will go on when it is started again."


def upload_of(job: Import) -> Path:
    return spool_folder(job) / "upload"


def errors_of(job: Import) -> Path:
    """The error file: a CSV, there when the import is done."""
    return spool_folder(job).with_suffix(".errors.csv")


def source_of(job: Import) -> Source:
    return Source(
        upload_of(job),
        job.options["encoding"],
        job.options["delimiter"],
        at_most=UNPACKED * settings.IMPORT_MAX_BYTES,
    )


def matched(job: Import, source: Source) -> Options:
    """How the upload is read, from what its sender said; the job shows it."""
    options = options_for(source, job.options, job.tenant.default_region)
    job.options["fields"] = options.fields
    return options


# From the request


def store(job: Import, file: Incoming) -> None:
    """Keeps `file` for `job`, whose options have what `options_for` wants, and `mode`, `encoding`,
    `delimiter`.

    Raises `UnreadableFile` and `UnknownColumn` where the first look at a CSV tells; then nothing is
    kept. What only a long look can tell, the worker does.
    """
    upload = upload_of(job)
    upload.parent.mkdir(mode=0o700, parents=True)
    try:
        shutil.move(file.path, upload)
        if not is_gzip(upload) and not (source := source_of(job)).is_json:
            matched(job, source)
    except BaseException:
        shutil.rmtree(upload.parent)
        raise


def queue(job: Import) -> None:
    """Saves `job`, whose file is stored, for a worker to run."""
    job.state = Import.State.QUEUED
    job.save()
    transaction.on_commit(partial(enqueue, job))


def enqueue(job: Import) -> None:
    """Where the queue is down, the import waits for the next start of a worker."""
    try:
        run_import.enqueue(job.pk)
    except Exception:
        logger.exception("Import %s could not be put into the queue", job.pk)


# In the worker


@task()
def run_import(pk: str) -> None:
    """Brings an upload in, or goes on with it. Twice is once."""
    job = Import.objects.filter(pk=pk).first()
    if job is None:
        return  # its tenant was deleted
    try:
        with alone_in(spool_folder(job)) as folder:
            job.refresh_from_db()
            if job.is_over:
                shutil.rmtree(folder)
            else:
                bring(job, folder)
    except ImportRuns:
        logger.info("Import %s is running already", pk)
    except Exception:
        Import.objects.filter(pk=pk).update(problem=STOPPED)
        raise


def bring(job: Import, folder: Path) -> None:
    job.problem = ""
    try:
        source = source_of(job)
        options = matched(job, source)
    except (UnreadableFile, UnknownColumn) as error:
        job.refuse(str(error))
        shutil.rmtree(folder)
        return
    job.save(update_fields=["options", "problem"])
    importer = Importer(job, source, options)
    importer.before_done = lambda job: error_files.write(job, source, options, errors_of(job))
    with suppress(UnreadableFile):  # the job says so
        importer.run_in(folder)


def take_up() -> int:
    """Puts the uploads into the queue that a worker has left, killed or stopped. Returns how
    many. One that another worker is busy with is not done twice."""
    left = [job for job in Import.objects.unfinished().order_by("pk") if upload_of(job).exists()]
    for job in left:
        enqueue(job)
    return len(left)


# Forgotten


def delete(job: Import) -> None:
    """The import and its files. Raises `ImportRuns`."""
    with alone_in(spool_folder(job)) as folder:
        shutil.rmtree(folder)
        errors_of(job).unlink(missing_ok=True)
        job.delete()


def sweep(before: datetime) -> int:
    """Deletes the imports begun before then, those abandoned too, and files that no import knows.

    Returns how many imports.
    """
    number = 0
    for job in Import.objects.filter(started_at__lt=before):
        with suppress(ImportRuns):
            delete(job)
            number += 1
    known = {*Import.objects.values_list("pk", flat=True)}
    for path in [*data_folder("imports").glob("*"), *data_folder("uploads").glob("*")]:
        is_old = path.stat().st_mtime < before.timestamp()
        if path.name.partition(".")[0] not in known and is_old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    DBTaskResult.objects.filter(enqueued_at__lt=before).delete()
    return number


def erase(tenant: Tenant, phone: str) -> None:
    """Takes the rows with this phone out of what imports have left. Their tenant must have
    forgotten the phone already: what still runs leaves it out by itself."""
    for job in tenant.imports.all():
        erase_from_spool(job, phone)
        if errors_of(job).exists():
            error_files.erase_from(errors_of(job), phone)
