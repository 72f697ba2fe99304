"""Exports in the background: a request stores what is wanted, a worker writes the file.

A file contains people, so it is deleted soon; see `cleanup`.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django_tasks import task

from contacts.finding import filters
from contacts.jobs import turns
from contacts.jobs.bulk_actions import ID_BYTES
from contacts.jobs.files import (
    StoreUnavailable,
    read_json,
    remove_if_possible,
    replace_bytes,
    replace_json,
    store,
)
from contacts.jobs.lock import JobIsRunning, locked_folder
from contacts.models import ContactQuerySet, Export
from contacts.values import rules
from contacts.values.defined_fields import DefinedField
from tenants.isolation import tenant_context
from tenants.models import Tenant

from . import cleanup
from .export import FORMATS, columns_with, defined_for, pages, select_ids
from .formats import Format, NotExportable, Page
from .storage import Position, file_of, folder_of

LIFETIME = timedelta(hours=24)  # of a finished file
# Of a tenant: more would let one token fill the disk.
MAX_RUNNING = 10  # exports that are not finished
STOPPED = gettext_noop(
    "The export has stopped because of a server fault. It continues when a worker starts."
)
GONE = gettext_noop("The list of the chosen contacts is gone. Export the contacts again.")
State = Export.State


class TooManyExports(Exception):
    """The tenant has `MAX_RUNNING` exports that are not finished."""

    sentence = gettext_noop(
        "%(count)s exports are not finished yet. Wait until one of them is finished."
    )

    def __str__(self) -> str:
        return _(self.sentence) % {"count": MAX_RUNNING}


# In the request


def plan(tenant: Tenant, actor: str, form: str, given: dict[str, Any]) -> Export:
    """Enqueues an export of the contacts that match `given` when the worker begins.

    `form`: a key of `FORMATS`. `given`: `tag`, the name of a tag or an empty text;
    `updated_since`, a time or None; `filter`, see `contacts.finding.filters`. Raises
    `TooManyExports`.
    """
    since = given["updated_since"]
    stored = {"tag": given["tag"], "updated_since": since and since.isoformat()}
    stored["filter"] = filters.in_json(given["filter"])
    return enqueued(Export(tenant=tenant, actor=actor, format=form, filters=stored))


def plan_chosen(tenant: Tenant, actor: str, form: str, ids: bytes) -> Export:
    """Enqueues an export of the contacts with these `ids`, as `select_ids` returns them."""
    job = Export(tenant=tenant, actor=actor, format=form)
    folder = folder_of(job)
    folder.mkdir(mode=0o700)
    try:
        replace_bytes(folder / "ids", ids)
        store().keep(folder)
        return enqueued(job)
    except BaseException:
        remove_if_possible(folder)
        raise


def enqueued(job: Export) -> Export:
    if job.tenant.exports.unfinished().count() >= MAX_RUNNING:
        raise TooManyExports
    job.save()
    transaction.on_commit(partial(enqueue, job.pk))
    return job


def enqueue(pk: str) -> None:
    turns.put_into_queue(run_export, pk)


def requeue_interrupted() -> None:
    """Call this when a worker starts."""
    turns.requeue(run_export, Export.objects.unfinished())


# In the worker


@task()
def run_export(pk: str) -> None:
    """A task in the queue. Which job it does is decided by `turns`; it may be another one."""
    turns.run_next(Export, pk)


@turns.runs(Export)
def run(pk: str) -> None:
    """Writes the file, or continues with it, until the turn is over; then enqueues the export
    again. Raises `JobIsRunning` if another worker writes it."""
    job = turns.find(Export, pk)
    if job is None:
        return  # deleted together with its tenant
    try:
        cleanup.delete_expired()
        with tenant_context(job.tenant_id), locked_folder(folder_of(job)) as folder:
            is_over = not job.is_running or run_in_turn(job, folder)
            if is_over:
                shutil.rmtree(folder)
    except (JobIsRunning, StoreUnavailable):
        raise
    except Exception:
        job.own_row().filter(state__in=Export.RUNNING).update(problem=STOPPED)
        raise
    if not is_over:
        enqueue(pk)


def run_in_turn(job: Export, folder: Path) -> bool:
    """Returns whether the export is over."""
    with suppress(Ended), turns.Turn(job.tenant_id) as turn:
        try:
            if (path := write(job, folder, turn)) is None:
                return False
            finish(job, path)
        except NotExportable as error:
            end(job, state=State.REFUSED, problem=str(error))
    return True


class Ended(Exception):
    """The export was ended meanwhile, such as by the erasure of a person."""


def write(job: Export, folder: Path, turn: turns.Turn) -> Path | None:
    """Writes `part`. Returns the path of the finished file; None if the turn was over before."""
    ids, form, start = chosen_ids(job, folder), FORMATS[job.format], Position.of(folder)
    change(job, state=State.WRITING, problem="", total=len(ids) // ID_BYTES)
    progress = Progress(job, ids, start, defined_in(job, folder, form))
    above = start.contacts if start.size else None
    with (folder / "part").open("r+b" if start.size else "wb") as file:
        file.seek(start.size)
        file.truncate()
        for part in form.parts(progress.pages(), progress.columns, above):
            file.write(part)
            if progress.is_left and turn.is_over():
                replace_json(folder / "position", progress.position(file.tell()))
                return None
    return form.complete(folder / "part", progress.columns, progress.contacts)


class Progress:
    """The pages of an export that are left after `start`. Stores after each page how many contacts
    were written."""

    def __init__(
        self, job: Export, ids: bytes, start: Position, defined: Sequence[DefinedField]
    ) -> None:
        self.job, self.ids, self.defined = job, ids, defined
        self.read, self.contacts = start.read, start.contacts
        self.columns = columns_with(defined)

    def position(self, size: int) -> Position:
        """How far the export is, with `size` bytes of the file."""
        return Position(self.read, size, self.contacts)

    @property
    def is_left(self) -> bool:
        return self.read < len(self.ids)

    def pages(self) -> Iterator[Page]:
        for size, page in pages(self.ids[self.read :], self.job.tenant, self.defined):
            self.read += size
            self.contacts += len(page)
            yield page
            change(self.job, written=self.read // ID_BYTES)


def chosen_ids(job: Export, folder: Path) -> bytes:
    """Which contacts; an export by filters chooses them in its first turn."""
    path = folder / "ids"
    if not path.exists():
        if job.filters is None:
            raise NotExportable(GONE)
        replace_bytes(path, select_ids(matching(job.tenant, job.filters)))
    return path.read_bytes()


def defined_in(job: Export, folder: Path, form: Format) -> list[DefinedField]:
    """The fields with columns of their own, as they were in the first turn: the header is written
    then, and all rows must fit the header."""
    path = folder / "fields"
    if not path.exists():
        replace_json(path, defined_for(form, job.tenant))
    stored = read_json(path, [])
    return [DefinedField(key, label, kind, tuple(some)) for key, label, kind, some in stored]


def matching(tenant: Tenant, stored: dict[str, Any]) -> ContactQuerySet:
    """The contacts that list-contacts lists with these filters."""
    given = filters.check(stored.get("filter"))  # an earlier version has stored none
    contacts = filters.chosen(tenant, given)
    contacts = contacts.updated_since(rules.timestamp(stored["updated_since"]))
    return contacts.with_tag(stored["tag"]) if stored["tag"] else contacts


def finish(job: Export, path: Path) -> None:
    """Moves the file to its place first: a job that is done always has a file."""
    now = timezone.now()
    store().take(path, file_of(job))
    try:
        end(job, state=State.DONE, expires_at=now + LIFETIME)
    except Ended:
        store().remove(file_of(job))
        raise
    cleanup.keep_latest(job.tenant)


def end(job: Export, **values: Any) -> None:
    change(job, finished_at=timezone.now(), **values)


def change(job: Export, **values: Any) -> None:
    """Raises `Ended` if the export does not run any more.

    The condition is part of the statement: else a worker could finish a file from which a person
    should be erased at this moment.
    """
    if not Export.objects.filter(tenant=job.tenant_id, pk=job.pk).unfinished().update(**values):
        raise Ended
