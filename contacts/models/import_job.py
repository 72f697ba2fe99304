"""An import of a file, its batches and the rows that failed."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db import models, transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .contact import Outcome


class ImportQuerySet(models.QuerySet["Import"]):
    def unfinished(self) -> "ImportQuerySet":
        return self.filter(state__in=Import.RUNNING)

    def begun(self) -> "ImportQuerySet":
        """Without drafts, which only the admin knows."""
        return self.filter(is_draft=False)

    def with_counts(self) -> "ImportQuerySet":
        """Adds `created_so_far` and so on: what became of the rows, also while it runs."""
        return self.annotate(
            **{
                f"{name}_so_far": F(name) + Coalesce(Sum(f"written__{name}"), 0)
                for name in Import.COUNTS
            }
        )

    def results(self) -> dict[str, int]:
        """What became of the rows of all of them, dry runs left out."""
        done = self.begun().filter(dry_run=False)
        running = ImportBatch.objects.filter(job__in=done)
        sums = {f"all_{name}": Coalesce(Sum(name), 0) for name in Import.COUNTS}
        over, so_far = done.aggregate(**sums), running.aggregate(**sums)
        return {n: over[f"all_{n}"] + so_far[f"all_{n}"] for n in Import.COUNTS}


class Import(models.Model):
    """A file brought in: how it is read, how far it is, and what became of its rows."""

    class Mode(models.TextChoices):
        UPSERT = "upsert", "Create and update"
        CREATE_ONLY = "create-only", "Create new ones only"
        UPDATE_ONLY = "update-only", "Update existing ones only"

    class State(models.TextChoices):
        DRAFT = "draft"  # the file is there, and nobody has begun to bring it in
        QUEUED = "queued"
        READING = "reading"
        WRITING = "writing"
        DONE = "done"
        REFUSED = "refused"  # the file as a whole could not be read; nothing was written

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="imports", db_index=False)
    actor = models.CharField(
        max_length=100, default="", help_text="Who asked for it, such as user:7."
    )
    file_name = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the file and the options."
    )
    options = models.JSONField(default=dict)
    dry_run = models.BooleanField(default=False, help_text="Count only, and write nothing.")
    is_draft = models.BooleanField(
        default=False, help_text="It is still being chosen how; dry runs keep its file."
    )
    state = models.CharField(max_length=20, choices=State, default=State.READING)
    problem = models.TextField(blank=True, help_text="Why it was refused.")
    rows = models.PositiveIntegerField(null=True, help_text="Records of the file, once read.")
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects = ImportQuerySet.as_manager()

    COUNTS = ("created", "updated", "unchanged", "superseded", "failed")
    RUNNING = (State.QUEUED, State.READING, State.WRITING)

    class Meta:
        indexes = [models.Index(fields=["tenant", "id"], name="import_by_tenant")]

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.REFUSED)

    @property
    def is_running(self) -> bool:
        """Whether it is a worker's to go on."""
        return self.state in self.RUNNING

    @property
    def is_waiting(self) -> bool:
        return self.state == self.State.QUEUED

    @property
    def has_written(self) -> bool:
        """Whether there is something to take back, and nothing more to come."""
        is_real = self.state == self.State.DONE and not self.dry_run
        return is_real and bool(self.created or self.updated)

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.COUNTS}

    def start_over(self) -> None:
        """For a dry run, which keeps no batches to go on behind."""
        self.failures.all().delete()
        for name in self.COUNTS:
            setattr(self, name, 0)

    @transaction.atomic
    def change_draft(self, **values: Any) -> bool:
        """Sets `values`, and returns whether it was a draft that nobody runs: somebody else may
        have begun it. What a dry run has told holds no longer."""
        fresh = dict.fromkeys(self.COUNTS, 0) | {"rows": None, "problem": "", "finished_at": None}
        drafts = Import.objects.filter(tenant=self.tenant_id, pk=self.pk, state=self.State.DRAFT)
        changed = bool(drafts.update(**fresh | values))
        if changed:
            self.failures.all().delete()
        return changed

    def count(self, batches: "Iterable[ImportBatch]") -> None:
        """Adds up what became of the rows of `batches`."""
        for batch in batches:
            for name in self.COUNTS:
                setattr(self, name, getattr(self, name) + getattr(batch, name))


class ImportBatch(models.Model):
    """A batch of an import that runs, committed with its rows: so none is written twice.

    Rows of their own, not a counter of the import, for which batches would wait.
    """

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "number")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Import, models.CASCADE, related_name="written", db_index=False)
    number = models.PositiveIntegerField()  # of its first row, from 0
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.number}"

    @property
    def rows(self) -> int:
        return sum(getattr(self, name) for name in Import.COUNTS)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome, number in Counter(outcomes).items():
            setattr(self, outcome, getattr(self, outcome) + number)


class ImportFailure(models.Model):
    """A record that was not brought in. Its cells are in the file."""

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "line")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Import, models.CASCADE, related_name="failures", db_index=False)
    line = models.PositiveIntegerField()
    error = models.TextField()

    def __str__(self) -> str:
        return f"line {self.line}: {self.error}"
