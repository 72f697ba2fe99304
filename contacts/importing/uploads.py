"""Imports whose file came over HTTP: a request stores the file, a worker imports it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from django.db import transaction
from django.utils import timezone
from django_tasks import task

from contacts.jobs import turns
from contacts.jobs.files import (
    StoreUnavailable,
    max_unpacked_bytes,
    read_json,
    remove_if_possible,
    replace_json,
    store,
)
from contacts.jobs.lock import JobIsRunning, locked, locked_folder
from contacts.models import Import, fields_of
from contacts.values.translation import gettext_noop
from tenants.isolation import tenant_context

from . import ending
from .columns import UnknownColumn
from .engine import Importer
from .error_file import ErrorFile
from .findings import findings
from .formats import FORMATS, format_of
from .formats.format import InputFile
from .formats.gzipped import is_gzip
from .incoming import Incoming
from .language import speaking_for
from .record_file import FileHead, RecordFile
from .records import TurnEnded, UncertainEncoding, UnreadableFile
from .remembered import digest_of
from .row import ReadOptions, read_options
from .storage import UPLOAD, clear, errors_of, spool_folder, upload_of

STOPPED = gettext_noop(
    "The import has stopped because of a server fault. It continues when a worker starts."
)
GONE = gettext_noop("The file of this import is gone; upload it again.")


AnyFile = TypeVar("AnyFile", bound=RecordFile)


def source_of(
    job: Import,
    folder: Path,
    kind: type[AnyFile],
    found: dict[str, Any] | None = None,
    turn_is_over: Callable[[], bool] = lambda: False,
) -> AnyFile:
    """The upload of `job` in its spool folder, which is `folder` on this machine. `found`,
    `turn_is_over`: see `RecordFile`."""
    return kind(
        folder / UPLOAD,
        job.options["encoding"],
        job.options["delimiter"],
        max_unpacked_bytes(),
        header_line=job.options.get("header_line"),  # a version before has not stored it
        sheet=job.options.get("sheet", ""),
        found=found,
        cache=folder / "sheet",
        turn_is_over=turn_is_over,
    )


def head_of(job: Import, folder: Path) -> tuple[FileHead, dict[str, list[str]]]:
    """The beginning of the upload of `job` in `folder`, for a person who looks at it.

    If the encoding is not certain, the beginning is read in the most likely one. The second value
    then has the encodings that the file may have, each with some names as they read in it.

    Raises `UnreadableFile`.
    """
    try:
        return source_of(job, folder, FileHead), {}
    except UncertainEncoding as error:
        likely, _ = error.candidates[0]
        guess = Import(pk=job.pk, options=job.options | {"encoding": likely})
        return source_of(guess, folder, FileHead), dict(error.candidates)


def match_columns(job: Import, source: RecordFile) -> ReadOptions:
    """How to read the upload, by the options of `job`. The job's options then have the result."""
    tenant = job.tenant
    options = read_options(source, job.options, tenant.default_region, fields_of(tenant))
    read = findings(source, options)
    folder = source.path.parent
    job.columns_digest = digest_of(job.options, source, lambda: head_of(job, folder)[0])
    job.options |= read | {"parted_by": source.delimiter or ",", "format": source.kind.name}
    return options


def errors_suffix(job: Import) -> str:
    """In which format staff get the error file of `job`."""
    formats = {each.name: each for each in FORMATS}
    return formats[job.options["format"]].errors if "format" in job.options else "csv"


# In the request


def store_upload(job: Import, file: Incoming) -> None:
    """Stores `file` for `job`, which is not saved yet and has all options.

    Raises `UnreadableFile` if the file is known to have no records, and if a short file cannot be
    imported; then also `UnknownColumn`. Then nothing is stored. All other files are checked by the
    worker, because reading them takes longer than a request may.
    """
    with stored(job, file) as upload:
        kind = format_of(InputFile(upload, max_unpacked=max_unpacked_bytes()))
        if upload.stat().st_size <= kind.max_in_request and not is_gzip(upload):
            match_columns(job, source_of(job, upload.parent, RecordFile))


def store_draft(job: Import, file: Incoming) -> None:
    """`store_upload`, for an import that a person looks at first. The columns need not be known."""
    job.state, job.is_draft = Import.State.DRAFT, True
    with stored(job, file) as upload:
        source, _ = head_of(job, upload.parent)
        _ = source.header  # raises `UnreadableFile`


@contextmanager
def stored(job: Import, file: Incoming) -> Iterator[Path]:
    """Moves `file` into the spool folder, and stores the folder after the block, which reads the
    file: a file that is refused never gets into the store. Removes the folder again if anything
    raises."""
    upload = upload_of(job)
    upload.parent.mkdir(mode=0o700)
    with removed_on_failure(upload.parent):
        shutil.move(file.path, upload)
        yield upload
        store().keep(upload.parent)


def save(job: Import) -> None:
    """Saves `job`, whose file is stored."""
    with removed_on_failure(spool_folder(job)):
        job.save()


def queue(job: Import) -> None:
    """Saves `job`, whose file is stored, and enqueues it for a worker."""
    job.state = Import.State.QUEUED
    save(job)
    transaction.on_commit(partial(enqueue, job))


def change_draft(job: Import, **values: Any) -> bool:
    """`Import.change_draft`, which also removes the error file of the last dry run."""
    changed = job.change_draft(**values)
    if changed:
        store().remove(errors_of(job))
    return changed


def begin(job: Import, actor: str, *, dry_run: bool, **values: Any) -> bool:
    """Enqueues the draft `job` with these `values` set. Returns False if somebody else has begun
    the draft before.

    After a dry run, the job is a draft again and keeps its file. The dry run and the real run are
    the same row: so a person imports exactly what was tried, and the file is stored once.
    """
    begun = change_draft(
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
        remove_if_possible(folder)
        raise


def enqueue(job: Import) -> None:
    turns.put_into_queue(run_import, job.pk)


# In the worker


@task()
def run_import(pk: str) -> None:
    """Runs this import, or first a job of a tenant that has waited longer; see `jobs.turns`.

    Tasks in the queue name this function by its path. If it moves, a migration must rename it, as
    0016 did.
    """
    turns.run_next(Import, pk)


@turns.runs(Import)
def run(pk: str) -> None:
    """Imports an upload, or continues with it, until the turn is over. Ignores drafts.

    Raises `JobIsRunning` if another worker runs the import.
    """
    job = turns.find(Import, pk)
    if job is None:
        return  # the tenant was deleted
    try:
        run_locked(job)
        if job.is_draft:
            enqueue_if_begun(job)
    except TurnEnded:
        enqueue(job)
    except (JobIsRunning, StoreUnavailable):
        raise
    except Exception:
        job.own_row().update(problem=STOPPED)
        raise


def run_locked(job: Import) -> None:
    with tenant_context(job.tenant_id), locked_folder(spool_folder(job)) as folder:
        job.refresh_from_db()
        if job.is_over:
            shutil.rmtree(folder)
        elif job.is_running:
            with turns.Turn(job.tenant_id) as turn, speaking_for(job):
                run_in_turn(job, folder, turn)


def enqueue_if_begun(job: Import) -> None:
    """Enqueues a draft that was begun while its dry run still had the folder: the task of that
    moment has ended with `JobIsRunning`."""
    if job.own_row().filter(state=Import.State.QUEUED).exists():
        enqueue(job)


def run_in_turn(job: Import, folder: Path, turn: turns.Turn) -> None:
    job.problem = ""
    if not (folder / UPLOAD).exists():
        ending.refuse(job, GONE)
        clear(job, folder)
        return
    try:
        found = read_json(folder / "head", None)
        source = source_of(job, folder, RecordFile, found, turn.is_over)
        try:
            options = match_columns(job, source)
        finally:
            replace_json(folder / "head", source.found())
    except (UnreadableFile, UnknownColumn) as error:
        ending.refuse(job, getattr(error, "sentence", str(error)))
        clear(job, folder)
        return
    job.save(update_fields=["options", "columns_digest", "problem"])
    importer = Importer(job, source, options)
    importer.errors = stored_errors(job, source, options, folder)
    importer.turn_is_over = importer.errors.turn_is_over = turn.is_over
    try:
        importer.run_in(folder)
    except UnreadableFile:
        if job.is_running:
            raise  # the error file could not be written; `run_in` has not refused the job


def stored_errors(job: Import, source: RecordFile, options: ReadOptions, folder: Path) -> ErrorFile:
    """The error file that the store keeps. It is written in `folder`, the spool folder."""
    return ErrorFile(job, source, options, folder / "errors", partial(keep_errors, job))


def keep_errors(job: Import, file: Path) -> None:
    store().take(file, errors_of(job))


def requeue_interrupted() -> int:
    """Enqueues the uploads that a worker has left unfinished because it was killed or stopped, and
    removes the spool folders of imports that are over. Returns how many uploads were enqueued.

    If another worker runs such an upload at this moment, the task ends without doing anything.
    """
    number = 0
    for folder, _ in store().entries("imports"):
        job = None if folder.suffix else Import.objects.filter(pk=folder.name).first()
        if job and job.is_over:
            with suppress(JobIsRunning), locked(folder):
                store().remove(folder)
        elif job and job.is_running and store().has(upload_of(job)):
            job.own_row().update(problem="")
            enqueue(job)
            number += 1
    return number
