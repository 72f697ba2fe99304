"""How an import ends: its final state and the event for webhooks, in one transaction.

If the event were enqueued after the commit, a worker that is killed in between would lose it.
"""

from django.db import transaction
from django.utils import timezone

from contacts.models import IMPORT_FINISHED, Import
from contacts.webhooks.outbox import enqueue_event


@transaction.atomic
def finish(job: Import) -> None:
    """The whole file is written. Moves the counts of the batches to the import."""
    job.count(job.own_batches())
    job.own_batches().delete()
    end(job, Import.State.DONE)


def refuse(job: Import, problem: str) -> None:
    """The file as a whole cannot be read. `problem`: why, for the user."""
    job.problem = problem
    end(job, Import.State.REFUSED)


@transaction.atomic
def end(job: Import, state: Import.State) -> None:
    """A draft stays a draft after its dry run, and webhooks get no event of a dry run."""
    job.state = Import.State.DRAFT if job.is_draft else state
    job.finished_at = timezone.now()
    job.save()
    if not job.dry_run:
        enqueue_event(job.tenant_id, IMPORT_FINISHED, job=job)
