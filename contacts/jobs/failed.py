"""Imports, exports and bulk actions that have failed, and how a person has one tried again.

A job that has stopped with a problem stays as it is, until a worker starts or `retry` is called. A
job that was refused is over: its file could not be read, or not be made.
"""

from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet

from contacts.models import BulkAction, Export, Import

from . import turns

AnyJob = Import | Export | BulkAction

STOPPED = Q(finished_at=None) & ~Q(problem="")
REFUSED = Q(state="refused")


def failed(jobs: QuerySet) -> QuerySet:
    """Those of `jobs`, rows of one model, that have failed."""
    return jobs.filter(STOPPED if jobs.model is BulkAction else STOPPED | REFUSED)


def can_be_retried(job: AnyJob) -> bool:
    return job.finished_at is None and bool(job.problem)


@transaction.atomic
def retry(job: AnyJob) -> bool:
    """Has a worker go on with a job that has stopped. Returns False if it has not stopped, or if
    somebody has retried it before."""
    is_stopped = bool(job.own_row().filter(STOPPED).update(problem=""))
    if is_stopped:
        name, pk = type(job).__name__, str(job.pk)
        transaction.on_commit(partial(turns.put_into_queue, turns.try_again, name, pk))
    return is_stopped
