"""Exports that are made in the background."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .owned import Owned
from .queued import Queued


class ExportQuerySet(models.QuerySet["Export"]):
    def unfinished(self) -> "ExportQuerySet":
        return self.filter(state__in=Export.RUNNING)

    def with_file(self) -> "ExportQuerySet":
        return self.filter(state=Export.State.DONE)


class Export(Queued, Owned):
    """An export into a file: which contacts, how far it is, and until when the file is stored."""

    class State(models.TextChoices):
        QUEUED = "queued", gettext_lazy("Queued")
        WRITING = "writing", gettext_lazy("Writing")
        DONE = "done", gettext_lazy("Done")  # the file can be downloaded
        REFUSED = "refused", gettext_lazy("Refused")  # the format cannot hold these contacts
        EXPIRED = "expired", gettext_lazy("Expired")  # the file was deleted

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="exports", db_index=False)
    actor = models.CharField(max_length=100, help_text="Who asked for it, such as user:7.")
    format = models.CharField(max_length=20)
    filters = models.JSONField(
        null=True, help_text="As in list-contacts; none if a person chose each contact."
    )
    state = models.CharField(max_length=20, choices=State, default=State.QUEUED)
    problem = models.TextField(blank=True, help_text="Why it was refused, or does not go on.")
    total = models.PositiveIntegerField(null=True, help_text="Contacts, once they are known.")
    written = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = ExportQuerySet.as_manager()

    RUNNING = (State.QUEUED, State.WRITING)

    class Meta:
        indexes = [models.Index(fields=["tenant", "id"], name="export_by_tenant")]

    def __str__(self) -> str:
        return f"{self.format} {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def has_file(self) -> bool:
        """Whether the file can be downloaded now."""
        is_done = self.state == self.State.DONE
        return is_done and self.expires_at is not None and timezone.now() < self.expires_at
