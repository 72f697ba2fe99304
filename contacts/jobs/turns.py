"""Which job a worker does next: tenants take turns, so that a large job of one delays no other.

A task in the queue says only that there is work. The worker that gets the task runs the oldest job
of the tenant that has waited longest for a turn. If another tenant waits, a job goes back into the
queue after a turn of `SECONDS`, and later continues where it was. The jobs of one tenant run in
their order: of two imports, the later one must win.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from django_tasks import task
from django_tasks.base import Task
from django_tasks_db.models import DBTaskResult

from contacts.models import BulkAction, Export, Import
from tenants.isolation import all_tenants_context

from .files import StoreUnavailable, data_folder, store
from .lock import JobIsRunning, locked

logger = logging.getLogger(__name__)

SECONDS = 10.0  # of a turn; `worker --turn` sets another value
ATTEMPTS = 2  # `is_free` of another worker may hold the lock of a job for a moment
RETRY_DELAY = 0.05  # seconds
RETRY_STORE = 60  # seconds
LEFT_INTERVAL = 60  # seconds between two looks of a worker for jobs of workers that were killed
STORE_PROBLEM = gettext_noop(
    "The store of the files does not answer. The job is tried again every minute."
)
# The jobs that have a folder with files, and where in the data folder it is.
WITH_FILES: dict[type[models.Model], str] = {Import: "imports", Export: "exports"}


class Job(NamedTuple):
    """An import, an export or a bulk action that is not finished."""

    pk: str
    tenant_id: str
    model: type[models.Model]

    @property
    def folder(self) -> Path:
        """The folder that a worker locks while it runs the job."""
        return data_folder(WITH_FILES.get(self.model, "turns")) / self.pk

    @property
    def is_free(self) -> bool:
        """Whether no worker runs the job."""
        try:
            with locked(self.folder):
                return True
        except JobIsRunning:
            return False


class Turn:
    """The time of a tenant at a worker. As a context, it records when the tenant had a turn."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.ends = time.monotonic() + SECONDS

    def __enter__(self) -> "Turn":
        record_turn(self.tenant_id)
        return self

    def __exit__(self, *args: object) -> None:
        record_turn(self.tenant_id)

    def is_over(self) -> bool:
        """Whether the time is up and another tenant has a job that no worker runs."""
        if time.monotonic() < self.ends:
            return False
        others = (job for job in waiting_jobs() if job.tenant_id != self.tenant_id)
        return any(job.is_free for job in others)


Row = TypeVar("Row", bound=models.Model)
Run = Callable[[str], Any]
RUNS: dict[type[models.Model], Run] = {}


def runs(model: type[models.Model]) -> Callable[[Run], Run]:
    """Decorates the function that runs a job of this kind for one turn.

    The function takes the id of the job, and raises `JobIsRunning` if another worker runs the job.
    """

    def register(run: Run) -> Run:
        RUNS[model] = run
        return run

    return register


def run_next(model: type[models.Model], pk: str) -> None:
    """Runs one job for a turn: the first free one in the order of `jobs_in_turn`. If the store of
    the files does not answer, tries again later."""
    try:
        run_first_free(model, pk)
    except StoreUnavailable as error:
        try_again_later(model, pk, error)


def run_first_free(model: type[models.Model], pk: str) -> None:
    for attempt in range(ATTEMPTS):
        time.sleep(RETRY_DELAY * attempt)
        for job in jobs_in_turn(model, pk):
            with suppress(JobIsRunning):
                RUNS[job.model](job.pk)
                return


def jobs_in_turn(model: type[models.Model], pk: str) -> Iterator[Job]:
    """The waiting jobs, tenant by tenant. First comes the tenant that has waited longest since its
    last turn.

    `pk`: the job that the task in the queue names. If it is not waiting, it comes last: it has
    stopped with a problem, or is finished and its files must be removed.
    """
    by_tenant: dict[str, list[Job]] = defaultdict(list)
    for job in waiting_jobs():
        by_tenant[job.tenant_id].append(job)
    for tenant_id in sorted(by_tenant, key=last_turn):
        yield from by_tenant[tenant_id]
    if not any(job.pk == pk for jobs in by_tenant.values() for job in jobs):
        yield Job(pk, "", model)


def waiting_jobs() -> list[Job]:
    """All jobs that are begun and not finished, the oldest first, whether or not a worker runs
    them. A job that has stopped with a problem is left out: it would fail in every turn."""
    with all_tenants_context():
        imports = without_problem(Import, Import.objects.unfinished())
        exports = without_problem(Export, Export.objects.unfinished())
        actions = without_problem(BulkAction, BulkAction.objects.filter(finished_at=None))
    # An import by a command has no upload, and its command runs it.
    uploads = [row for row in imports if has_upload(row[1])]
    return [job for _, job in sorted(uploads + exports + actions)]


WITH_UPLOAD: set[str] = set()


def has_upload(job: Job) -> bool:
    """Remembered, because it is asked after each batch, and the upload stays until the end."""
    if job.pk not in WITH_UPLOAD and store().has(job.folder / "upload"):
        WITH_UPLOAD.add(job.pk)
    return job.pk in WITH_UPLOAD


def without_problem(model: type[models.Model], jobs: models.QuerySet) -> list[tuple[Any, Job]]:
    """Each job with the time of its start."""
    rows = jobs.filter(problem="").values_list("started_at", "pk", "tenant_id")
    return [(started_at, Job(pk, tenant_id, model)) for started_at, pk, tenant_id in rows]


def left_alone() -> set[str]:
    """The ids of jobs that no worker runs and that no task in the queue leads to: the worker that
    ran such a job was killed. Another worker would go on with it only by chance."""
    found = without_task()
    if found:
        # A worker that has just claimed a task has not locked its job yet.
        time.sleep(RETRY_DELAY)
        found &= without_task()
    return {job.pk for job in found}


def without_task() -> set[Job]:
    """Those of the jobs that no worker runs which have no task of their own, if there are fewer
    tasks than jobs: the task of a job may have been used for another one."""
    tasks = DBTaskResult.objects.ready().filter(task_path__startswith="contacts.")
    queued = [task["args"][-1] for task in tasks.values_list("args_kwargs", flat=True)]
    free = {job for job in waiting_jobs() if job.is_free}
    return {job for job in free if job.pk not in queued} if len(queued) < len(free) else set()


def requeue_left_alone() -> None:
    """A worker calls this every `LEFT_INTERVAL` seconds."""
    left = left_alone()
    for job in waiting_jobs():
        if job.pk in left:
            try_again.enqueue(job.model.__name__, job.pk)


def find(model: type[Row], pk: str) -> Row | None:
    """The job of a task, which names only its id; None if it was deleted with its tenant."""
    with all_tenants_context():
        return model._default_manager.filter(pk=pk).first()


# The queue


def put_into_queue(task: "Task[..., None]", *args: str) -> None:
    """Enqueues `task` for a job; the last of `args` is the id of the job. If the queue is down, the
    job waits for the next start of a worker, see `requeue`."""
    try:
        task.enqueue(*args)
    except Exception:
        logger.exception("The job %s could not be put into the queue", args[-1])


def try_again_later(model: type[models.Model], pk: str, reason: Exception) -> None:
    """Enqueues the task of the job `pk` for a time when the store of the files may answer again.
    Until then the job gives way to others, and shows the problem."""
    logger.error("%s Trying again in %s seconds.", reason, RETRY_STORE)
    model._default_manager.filter(pk=pk, finished_at=None).update(problem=STORE_PROBLEM)
    later = timezone.now() + timedelta(seconds=RETRY_STORE)
    try_again.using(run_after=later).enqueue(model.__name__, pk)


@task()
def try_again(name: str, pk: str) -> None:
    """See `try_again_later` and `failed.retry`. `name`: of the model."""
    model = next(each for each in RUNS if each.__name__ == name)
    model._default_manager.filter(pk=pk, problem=STORE_PROBLEM).update(problem="")
    run_next(model, pk)


def requeue(task: "Task[..., None]", unfinished: models.QuerySet) -> None:
    """Enqueues `task` for each of the `unfinished` jobs: their worker may have been stopped or
    killed. A job that is enqueued twice is still done once."""
    unfinished.update(problem="")
    for pk in unfinished.values_list("pk", flat=True):
        put_into_queue(task, pk)


# When each tenant had its last turn: the time of a file, so that a turn costs no statement, and all
# workers of the installation see it


def record_turn(tenant_id: str) -> None:
    store().record_time(data_folder("turns") / tenant_id)


def last_turn(tenant_id: str) -> int:
    """In nanoseconds since the epoch; 0 if the tenant had no turn yet."""
    return store().recorded_time(data_folder("turns") / tenant_id)
