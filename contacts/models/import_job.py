"""Imports of files, their batches and the records that failed."""

from collections import Counter
from collections.abc import Iterable
from heapq import nsmallest
from typing import Any, NamedTuple

from django.db import models, transaction
from django.db.models import F, FilteredRelation, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .contact import Outcome
from .owned import Owned
from .queued import Queued


class Warned(NamedTuple):
    """A record that was imported without one of its fields, and why. `warning` does not repeat the
    value of the field."""

    line: int
    warning: str


class ImportQuerySet(models.QuerySet["Import"]):
    def unfinished(self) -> "ImportQuerySet":
        return self.filter(state__in=Import.RUNNING)

    def begun(self) -> "ImportQuerySet":
        """Without drafts, which only the admin shows."""
        return self.filter(is_draft=False)

    def with_counts(self) -> "ImportQuerySet":
        """Adds `created_so_far` and so on: the counts of the import and of its batches so far."""
        own = FilteredRelation("written", condition=Q(written__tenant=F("tenant")))
        return self.annotate(own=own).annotate(
            **{
                f"{name}_so_far": F(name) + Coalesce(Sum(f"own__{name}"), 0)
                for name in (*Import.COUNTS, "warnings")
            }
        )

    def results(self) -> dict[str, int]:
        """The sums of all counts, also of imports that still run; without dry runs."""
        done = self.begun().filter(dry_run=False)
        running = ImportBatch.objects.filter(job__in=done)
        sums = {f"all_{name}": Coalesce(Sum(name), 0) for name in Import.COUNTS}
        over, so_far = done.aggregate(**sums), running.aggregate(**sums)
        return {n: over[f"all_{n}"] + so_far[f"all_{n}"] for n in Import.COUNTS}


class Import(Queued, Owned):
    """An import of a file: how the file is read, how far the import is, and its counts.

    While it runs, the counts are in its batches; at the end they are added up here.
    """

    class Mode(models.TextChoices):
        UPSERT = "upsert", gettext_lazy("Create and update")
        CREATE_ONLY = "create-only", gettext_lazy("Create new ones only")
        UPDATE_ONLY = "update-only", gettext_lazy("Update existing ones only")

    class State(models.TextChoices):
        # The file is uploaded; the user still chooses how to import it.
        DRAFT = "draft", gettext_lazy("Draft")
        QUEUED = "queued", gettext_lazy("Queued")
        READING = "reading", gettext_lazy("Reading")
        WRITING = "writing", gettext_lazy("Writing")
        DONE = "done", gettext_lazy("Done")
        # The file as a whole could not be read; nothing was written.
        REFUSED = "refused", gettext_lazy("Refused")

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
    columns_digest = models.CharField(
        max_length=64, blank=True, default="", db_default="",
        help_text="SHA-256 of the names of the columns, if somebody has given their fields.",
    )  # fmt: skip
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
    warnings = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Records that were imported without one of their fields."
    )
    warning_list = models.JSONField(
        default=list,
        db_default=Value([], models.JSONField()),
        help_text="The first of them: line and sentence.",
    )
    hint = models.TextField(
        blank=True, default="", db_default="", help_text="What a dry run doubts."
    )
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects = ImportQuerySet.as_manager()

    COUNTS = ("created", "updated", "unchanged", "superseded", "failed")
    SHOWN_WARNINGS = 100
    RUNNING = (State.QUEUED, State.READING, State.WRITING)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "id"], name="import_by_tenant"),
            models.Index(fields=["tenant", "columns_digest", "id"], name="import_by_columns"),
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.REFUSED)

    @property
    def has_written(self) -> bool:
        """Whether it is finished and has changed contacts, so that it can be undone."""
        is_real = self.state == self.State.DONE and not self.dry_run
        return is_real and bool(self.created or self.updated)

    @property
    def columns(self) -> dict[str, str] | None:
        """The field of each column that has one, by the name of the column in the file; if several
        columns have the same name, of the first. None before the columns are known."""
        listed = self.options.get("column_list")
        if listed is None:  # a version before has stored the import
            return self.options.get("fields")
        return {each["header"]: each["field"] for each in reversed(listed) if each["field"]}

    @transaction.atomic
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Deletes the import with all rows that name it. Django's own way finds them by its id
        alone."""
        from .webhook import Delivery

        for rows in (
            Delivery.objects.filter(tenant=self.tenant_id, job=self),
            self.own_batches(),
            self.own_failures(),
            self.own_row(),
        ):
            number = rows._raw_delete(rows.db)
        return number, {self._meta.label: number}

    def own_batches(self) -> "models.QuerySet[ImportBatch]":
        """Like `written`, but with the tenant, which the primary key begins with."""
        return ImportBatch.objects.filter(tenant=self.tenant_id, job=self)

    def own_failures(self) -> "models.QuerySet[ImportFailure]":
        """Like `failures`, but with the tenant, which the primary key begins with."""
        return ImportFailure.objects.filter(tenant=self.tenant_id, job=self)

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.COUNTS}

    def start_over(self) -> None:
        """For a dry run that was killed: it stores no batches, so it cannot continue."""
        self.own_failures().delete()
        for name in (*self.COUNTS, "warnings"):
            setattr(self, name, 0)
        self.warning_list, self.hint = [], ""

    @transaction.atomic
    def change_draft(self, **values: Any) -> bool:
        """Sets `values` and forgets the result of the last dry run, which no longer applies.

        Returns False and changes nothing if it is no draft any more: somebody else may have started
        the import meanwhile.
        """
        fresh: dict[str, Any] = dict.fromkeys((*self.COUNTS, "warnings"), 0)
        fresh |= {"warning_list": [], "hint": "", "rows": None, "problem": "", "finished_at": None}
        drafts = Import.objects.filter(tenant=self.tenant_id, pk=self.pk, state=self.State.DRAFT)
        changed = bool(drafts.update(**fresh | values))
        if changed:
            self.own_failures().delete()
        return changed

    def count(self, batches: "Iterable[ImportBatch]") -> None:
        """Adds the counts of `batches` to those of the import."""
        for batch in batches:
            for name in self.COUNTS:
                setattr(self, name, getattr(self, name) + getattr(batch, name))
            self.warnings += batch.warnings
            self.warning_list = first_of([*self.warning_list, *batch.warning_list])

    def warned(self) -> list[Warned]:
        """The first records with warnings, also while the import runs."""
        lists = [self.warning_list, *self.own_batches().values_list("warning_list", flat=True)]
        return [Warned(*warned) for warned in first_of([one for each in lists for one in each])]


class ImportBatch(models.Model):
    """The counts of a batch, committed with its contacts, so that no row is written twice.

    Not added to a counter of the import: batches that are written at once would wait for its lock.
    """

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "number")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Import, models.CASCADE, related_name="written", db_index=False)
    number = models.PositiveIntegerField()  # of its first row in the file, from 0
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    warnings = models.PositiveIntegerField(default=0, db_default=0)
    warning_list = models.JSONField(default=list, db_default=Value([], models.JSONField()))

    def __str__(self) -> str:
        return f"{self.number}"

    @property
    def rows(self) -> int:
        return sum(getattr(self, name) for name in Import.COUNTS)

    def warn(self, warned: list[Warned]) -> None:
        self.warnings = len(warned)
        self.warning_list = first_of(warned)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome, number in Counter(outcomes).items():
            setattr(self, outcome, getattr(self, outcome) + number)


def first_of(warned: Iterable[Any]) -> list[Any]:
    """The warnings of the first lines, few enough for one page and one answer."""
    return nsmallest(Import.SHOWN_WARNINGS, map(tuple, warned))


class ImportFailure(models.Model):
    """A record that was not imported, and why. Its cells are in the error file."""

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "line")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    job = models.ForeignKey(Import, models.CASCADE, related_name="failures", db_index=False)
    line = models.PositiveIntegerField()
    error = models.TextField()

    def __str__(self) -> str:
        return f"line {self.line}: {self.error}"
