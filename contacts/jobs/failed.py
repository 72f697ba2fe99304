"""Imports, exports and bulk actions that have failed, and how a person has one tried again.

A job that has stopped with a problem stays as it is, until a worker starts or `retry` is called. If
the worker of a job was killed, the job has no problem; `left_alone` finds it. A job that was
refused is over: its file could not be read, or not be made.
"""

from collections.abc import Collection
from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet

from contacts.models import BulkAction, Export, Import

from . import turns

AnyJob = Import | Export | BulkAction

STOPPED = Q(finished_at=None) & ~Q(problem="")
REFUSED = Q(state="refused")


def failed(jobs: QuerySet, left: Collection[str] = ()) -> QuerySet:
    """Those of `jobs`, rows of one model, that have failed. `left`: of `turns.left_alone`."""
    stopped = STOPPED | Q(pk__in=left) if left else STOPPED
    return jobs.filter(stopped if jobs.model is BulkAction else stopped | REFUSED)


def can_be_retried(job: AnyJob, left: Collection[str]) -> bool:
    return job.finished_at is None and (bool(job.problem) or job.pk in left)


@transaction.atomic
def retry(job: AnyJob, left: Collection[str]) -> bool:
    """Has a worker go on with a job that has stopped, or that is in `left`. Returns False if it has
    not stopped, or if somebody has retried it before."""
    is_stopped = bool(job.own_row().filter(STOPPED).update(problem="")) or job.pk in left
    if is_stopped:
        name, pk = type(job).__name__, str(job.pk)
        transaction.on_commit(partial(turns.put_into_queue, turns.try_again, name, pk))
    return is_stopped
