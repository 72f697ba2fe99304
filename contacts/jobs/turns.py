"""Whose turn it is at a worker: tenants take turns, so that nobody's large job stops the others.

A task in the queue says only that there is work. What its worker does is the oldest job of the
tenant that has waited longest for a turn. A job that has had a turn of `SECONDS` while another
tenant waits is put into the queue again, and goes on where it was. A tenant's own jobs are done in
their order: of two imports the later one must win.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from django.db import models

from contacts.models import BulkAction, Import
from tenants.isolation import all_tenants_context

from .files import data_folder
from .lock import ImportRuns, alone_in

SECONDS = 10.0  # that a job may go on while another tenant waits; `worker --turn` sets another
TRIES = 2  # somebody may be asking at this moment whether a job is free
PAUSE = 0.05  # seconds


class Job(NamedTuple):
    pk: str
    tenant_id: str
    model: type[models.Model]

    @property
    def folder(self) -> Path:
        """Whoever does the job is alone in this folder."""
        return data_folder("imports" if self.model is Import else "turns") / self.pk

    @property
    def is_free(self) -> bool:
        """Whether no worker does it at this moment."""
        try:
            with alone_in(self.folder) as folder:
                if self.model is not Import:
                    folder.rmdir()
        except ImportRuns:
            return False
        return True


class Turn:
    """The time that a tenant has at a worker; as a context, it is noted when that was."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.ends = time.monotonic() + SECONDS

    def __enter__(self) -> "Turn":
        note(self.tenant_id)
        return self

    def __exit__(self, *args: object) -> None:
        note(self.tenant_id)

    def is_over(self) -> bool:
        """Whether it was long enough, and another tenant has a job that nobody does."""
        if time.monotonic() < self.ends:
            return False
        others = (job for job in waiting() if job.tenant_id != self.tenant_id)
        return any(job.is_free for job in others)


Run = Callable[[str], Any]
RUNS: dict[type[models.Model], Run] = {}


def runs(model: type[models.Model]) -> Callable[[Run], Run]:
    """Registers what does a job of this kind, by its id, for a turn. It raises `ImportRuns` where
    another worker does the job."""

    def register(run: Run) -> Run:
        RUNS[model] = run
        return run

    return register


def give(model: type[models.Model], pk: str) -> None:
    """Gives a turn to the job whose turn it is; to the one named where nobody waits."""
    for attempt in range(TRIES):
        time.sleep(PAUSE * attempt)
        for job in in_turn(model, pk):
            with suppress(ImportRuns):  # another worker does this one
                RUNS[job.model](job.pk)
                return


def in_turn(model: type[models.Model], pk: str) -> Iterator[Job]:
    of_tenants: dict[str, list[Job]] = defaultdict(list)
    for job in waiting():
        of_tenants[job.tenant_id].append(job)
    for tenant_id in sorted(of_tenants, key=last_turn):
        yield from of_tenants[tenant_id]
    if not any(job.pk == pk for jobs in of_tenants.values() for job in jobs):
        yield Job(pk, "", model)  # it has stopped, or is over and must be tidied up


def waiting() -> list[Job]:
    """What is begun and not done, the oldest first; not what has stopped with a problem."""
    with all_tenants_context():
        imports = begun(Import, Import.objects.unfinished())
        actions = begun(BulkAction, BulkAction.objects.filter(finished_at=None))
    uploads = [row for row in imports if (row[1].folder / "upload").exists()]  # not of commands
    return [job for _, job in sorted(uploads + actions)]


def begun(model: type[models.Model], jobs: models.QuerySet) -> list[tuple[Any, Job]]:
    rows = jobs.filter(problem="").values_list("started_at", "pk", "tenant_id")
    return [(moment, Job(pk, tenant_id, model)) for moment, pk, tenant_id in rows]


# When tenants had their last turn


def note(tenant_id: str) -> None:
    """In a file, whose time the workers of an installation share."""
    path = data_folder("turns") / tenant_id
    path.touch(mode=0o600)
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def last_turn(tenant_id: str) -> int:
    """In nanoseconds; 0 where there was none."""
    try:
        return (data_folder("turns") / tenant_id).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
