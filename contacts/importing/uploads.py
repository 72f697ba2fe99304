"""Imports whose file came over HTTP: kept beside the spool until a worker has brought it in.

The servers and the workers of an installation share `DATA_DIR`.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from django.db import transaction
from django.utils import timezone
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from contacts.jobs import turns
from contacts.jobs.files import data_folder, most_unpacked, read_json, replace_json
from contacts.jobs.lock import ImportRuns, alone_in
from contacts.models import Import
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import error_file
from .columns import UnknownColumn
from .engine import Importer, clear, erase_from_spool, spool_folder
from .error_file import ErrorFile
from .incoming import Incoming
from .row import Options, options_for
from .tabular import GaveWay, Source, Start, UnreadableFile, is_gzip

logger = logging.getLogger(__name__)

SHORT = 8 * 1024 * 1024  # bytes that a request looks through by itself
STOPPED = "It has stopped on our side, and will go on when it is started again."


def upload_of(job: Import) -> Path:
    return spool_folder(job) / "upload"


def errors_of(job: Import) -> Path:
    """The error file: a CSV, there when the import is done."""
    return spool_folder(job).with_suffix(".errors.csv")


AnySource = TypeVar("AnySource", bound=Source)


def source_of(job: Import, kind: type[AnySource], head: dict[str, Any] | None = None) -> AnySource:
    """`head`: what was found out about the file before."""
    return kind(
        upload_of(job),
        job.options["encoding"],
        job.options["delimiter"],
        at_most=most_unpacked(),
        head=head,
    )


def matched(job: Import, source: Source) -> Options:
    """How the upload is read, from what its sender said; the job shows it."""
    options = options_for(source, job.options, job.tenant.default_region)
    read = {"fields": options.fields, "region": options.region}
    job.options |= read | {"parted_by": source.delimiter or ","}
    return options


# From the request


def store(job: Import, file: Incoming) -> None:
    """Keeps `file` for `job`, whose options have what `options_for` wants, and `mode`, `encoding`,
    `delimiter`.

    Raises `UnreadableFile` and `UnknownColumn` where a short look at a CSV tells; then nothing is
    kept. What only a long look can tell, the worker does.
    """
    with kept(job, file) as upload:
        is_short = upload.stat().st_size <= SHORT and not is_gzip(upload)
        if is_short and not (source := source_of(job, Source)).is_json:
            matched(job, source)


def store_draft(job: Import, file: Incoming) -> None:
    """`store`, for somebody to look at before it is begun: columns need not be known yet."""
    job.state, job.is_draft = Import.State.DRAFT, True
    with kept(job, file):
        _ = source_of(job, Start).header


@contextmanager
def kept(job: Import, file: Incoming) -> Iterator[Path]:
    upload = upload_of(job)
    upload.parent.mkdir(mode=0o700)
    with removed_on_failure(upload.parent):
        shutil.move(file.path, upload)
        yield upload


def save(job: Import) -> None:
    """Saves `job`, whose file is stored."""
    with removed_on_failure(spool_folder(job)):
        job.save()


def queue(job: Import) -> None:
    """Saves `job`, whose file is stored, for a worker to run."""
    job.state = Import.State.QUEUED
    save(job)
    transaction.on_commit(partial(enqueue, job))


def revise(job: Import, **values: Any) -> bool:
    """`Import.change_draft`, with the error file of the last dry run."""
    changed = job.change_draft(**values)
    if changed:
        errors_of(job).unlink(missing_ok=True)
    return changed


def begin(job: Import, actor: str, *, dry_run: bool, **values: Any) -> bool:
    """Has a worker run the draft `job`, and returns whether it still was one.

    A dry run leaves it a draft and keeps its file: it is the same row, so that what was tried and
    what is brought in cannot come apart, and no file is kept twice.
    """
    begun = revise(
        job,
        state=Import.State.QUEUED,
        is_draft=dry_run,
        dry_run=dry_run,
        actor=actor,
        started_at=timezone.now(),
        **values,
    )
    if begun:
        transaction.on_commit(partial(enqueue, job))
    return begun


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder)
        raise


def enqueue(job: Import) -> None:
    """Where the queue is down, the import waits for the next start of a worker."""
    try:
        run_import.enqueue(job.pk)
    except Exception:
        logger.exception("Import %s could not be put into the queue", job.pk)


# In the worker


@task()
def run_import(pk: str) -> None:
    """Does what is to be done next: this import, or a job of a tenant that has waited longer."""
    turns.give(Import, pk)


@turns.runs(Import)
def run(pk: str) -> None:
    """Brings an upload in, or goes on with it, until its turn is over. A draft is left alone.

    Raises `ImportRuns` where another worker does.
    """
    job = Import.objects.filter(pk=pk).first()
    if job is None:
        return  # its tenant was deleted
    try:
        with tenant_context(job.tenant_id), alone_in(spool_folder(job)) as folder:
            job.refresh_from_db()
            if job.is_over:
                shutil.rmtree(folder)
            elif job.is_running:
                with turns.Turn(job.tenant_id) as turn:
                    bring(job, folder, turn)
        if job.is_draft:
            queue_again(job)
    except GaveWay:
        enqueue(job)
    except ImportRuns:
        raise
    except Exception:
        Import.objects.filter(pk=pk).update(problem=STOPPED)
        raise


def queue_again(job: Import) -> None:
    """For a draft that was begun while its dry run still had the folder: that task was let go."""
    if Import.objects.filter(pk=job.pk, state=Import.State.QUEUED).exists():
        enqueue(job)


def bring(job: Import, folder: Path, turn: turns.Turn) -> None:
    job.problem = ""
    try:
        source = source_of(job, Source, read_json(folder / "head", None))
        source.must_give_way = turn.is_over
        try:
            options = matched(job, source)
        finally:
            replace_json(folder / "head", source.found())
    except (UnreadableFile, UnknownColumn) as error:
        job.refuse(getattr(error, "sentence", str(error)))
        clear(job, folder)
        return
    job.save(update_fields=["options", "problem"])
    importer = Importer(job, source, options)
    importer.errors = ErrorFile(job, source, options, errors_of(job))
    importer.must_give_way = importer.errors.must_give_way = turn.is_over
    try:
        importer.run_in(folder)
    except UnreadableFile:
        if job.is_running:
            raise  # it was not refused


def take_up() -> int:
    """Puts the uploads into the queue that a worker has left, killed or stopped, and removes what
    one that was killed at the very end has left. Returns how many are in the queue.

    One that another worker is busy with is not done twice.
    """
    number = 0
    for folder in data_folder("imports").iterdir():
        job = Import.objects.filter(pk=folder.name).first() if folder.is_dir() else None
        if job and job.is_over:
            with suppress(ImportRuns), alone_in(folder):
                shutil.rmtree(folder)
        elif job and job.is_running and upload_of(job).exists():
            Import.objects.filter(pk=job.pk).update(problem="")
            enqueue(job)
            number += 1
    return number


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


class Erased(NamedTuple):
    """`waiting`: imports whose upload has not been brought in, and is removed when it is; or when
    it is deleted, where it is a draft.
    `failed`: error files that could not be read."""

    waiting: list[Import]
    failed: list[Path]


def erase(tenant: Tenant, phone: str) -> Erased:
    """Takes the rows with this phone out of what imports have left. Their tenant must have
    forgotten the phone already: what still runs leaves it out by itself."""
    found = Erased([], [])
    for job in tenant.imports.order_by("pk"):
        erase_from_spool(job, phone)
        if upload_of(job).exists():
            found.waiting.append(job)
        if (path := errors_of(job)).exists() and not erase_from_errors(job, path, phone):
            found.failed.append(path)
    return found


def erase_from_errors(job: Import, path: Path, phone: str) -> bool:
    given = job.options
    options = Options(given["fields"], given["region"], given["clear_marker"])
    try:
        error_file.erase_from(path, phone, options, given["parted_by"])
    except Exception:
        logger.exception("The error file of import %s could not be read", job.pk)
        return False
    return True
