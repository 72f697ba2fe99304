"""Bulk actions: changes of many contacts at once, which `contacts.jobs.bulk_actions` makes."""

import json
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .owned import Owned

ONLY_OPT_OUT = '{"opt_out": true}'  # the value of an update that only opts out


def in_words(item: Any) -> str:
    """A value of an update, for people."""
    if isinstance(item, list):
        return ", ".join(item)
    return "" if item is True else item or _("(empty)")


class BulkAction(Owned):
    """An action on the contacts that somebody has chosen and confirmed, and how far it is.

    Its id is the change set of its log entries. `done` counts the contacts handled so far. Of them,
    `changed` were changed, and `refused` could not be changed; in a dry run, `changed` counts the
    contacts that would be changed.
    """

    class Kind(models.TextChoices):
        UPDATE = "update", pgettext_lazy("noun", "Update")
        ADD_TAG = "add_tag", gettext_lazy("Add a tag")
        REMOVE_TAG = "remove_tag", gettext_lazy("Remove a tag")
        SET_LOCALE = "set_locale", gettext_lazy("Set the locale")
        OPT_OUT = "opt_out", pgettext_lazy("noun", "Opt out")
        DELETE = "delete", pgettext_lazy("noun", "Delete")
        MERGE_TAGS = "merge_tags", gettext_lazy("Merge tags")
        RENAME_TAG = "rename_tag", gettext_lazy("Rename a tag")
        DELETE_TAGS = "delete_tags", gettext_lazy("Delete tags")
        UNDO = "undo", pgettext_lazy("noun", "Undo")
        MERGE_PAIRS = "merge_pairs", gettext_lazy("Merge duplicates")
        DISMISS_PAIRS = "dismiss_pairs", gettext_lazy("Dismiss duplicates")

    class State(models.TextChoices):
        """As the API calls it; the names are those of an import."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"

    # Their `value` lists the old tags and then the new one, separated by commas.
    REPLACING = (Kind.MERGE_TAGS, Kind.RENAME_TAG)
    OF_PAIRS = (Kind.MERGE_PAIRS, Kind.DISMISS_PAIRS)

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="bulk_actions", db_index=False)
    actor = models.CharField(max_length=100, help_text="Who asked for it, such as user:7.")
    kind = models.CharField(max_length=20, choices=Kind)
    value = models.TextField(
        blank=True,
        help_text="The tag, or tags; the locale; the change set; what to update, as JSON.",
    )
    dry_run = models.BooleanField(
        default=False, db_default=False, help_text="Nothing is changed, only counted."
    )
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    refusals = models.JSONField(default=list, help_text="Of the first of them: phone and reason.")
    problem = models.TextField(blank=True, help_text="Why it does not go on.")
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant", "id"], name="bulk_action_by_tenant")]

    def __str__(self) -> str:
        what, value = self.get_kind_display(), self.value
        if self.kind == self.Kind.UPDATE:
            value = ", ".join(
                f"{name} {in_words(item)}" for name, item in json.loads(value).items()
            )
        if self.kind in self.OF_PAIRS:
            value = _(value)  # their reason, which is stored in English
        if self.kind in self.REPLACING:
            old, new = value.rpartition(",")[::2]
            value = f"{old} → {new}"
        if self.dry_run:
            value = _("%(value)s (dry run)") % {"value": value}
        return _("%(action)s: %(value)s") % {"action": what, "value": value} if value else what

    @property
    def noun(self) -> str:
        """What the action handles."""
        return "pair" if self.kind in self.OF_PAIRS else "contact"

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None

    @property
    def is_running(self) -> bool:
        return not self.is_over

    @property
    def is_waiting(self) -> bool:
        return self.is_running and not self.done

    @property
    def state(self) -> State:
        if self.is_over:
            return self.State.DONE
        return self.State.QUEUED if self.is_waiting else self.State.RUNNING

    @property
    def own_change_set(self) -> str:
        """Empty as long as the log has no entry of the action. Dismissing pairs changes no contact,
        so it is never logged; no dry run is."""
        is_logged = self.kind != self.Kind.DISMISS_PAIRS and not self.dry_run
        return self.pk if self.changed and is_logged else ""

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 100

    @property
    def can_be_undone(self) -> bool:
        """Whether an undo could restore anything: no undo changes consent."""
        only_consent = {self.Kind.OPT_OUT: True, self.Kind.UPDATE: self.value == ONLY_OPT_OUT}
        return bool(self.own_change_set) and not only_consent.get(self.Kind(self.kind), False)

    @property
    def unchanged(self) -> int:
        """Contacts that were already as they should be, or that are deleted."""
        return max(0, self.done - self.changed - self.refused)


class BulkBatch(models.Model):
    """Contacts that a bulk action still has to handle.

    A transaction that changes contacts takes them out of their batch, so none is handled twice. In
    one list of all contacts, every transaction would write the whole rest of the list again.
    """

    pk = models.CompositePrimaryKey("tenant_id", "action_id", "number")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    action = models.ForeignKey(BulkAction, models.CASCADE, related_name="left", db_index=False)
    number = models.PositiveIntegerField()
    contacts = models.BinaryField(help_text="Their ids, 16 bytes each.")

    def __str__(self) -> str:
        return f"{self.action_id} {self.number}"
