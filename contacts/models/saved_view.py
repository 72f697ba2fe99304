"""Saved views: the filters of the list of contacts under a name."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from contacts.change_log.cause import actor_of_user
from contacts.values import rules
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant, User

from .owned import Owned

MAX_VIEW_NAME = 100  # characters


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def seen_by(self, user: User) -> "SavedViewQuerySet":
        """The views of `user`, and those that are shared. The caller names the tenant."""
        return self.filter(Q(actor=actor_of_user(user.pk)) | Q(is_shared=True))


class SavedView(Owned):
    """The filters of a list under a name. `filter`: as the API takes it. `counted`: how many
    contacts a worker has found at `counted_at`; None if no worker has counted yet."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    actor = models.CharField(max_length=100, help_text="Who saved it, such as user:7.")
    name = models.CharField(max_length=MAX_VIEW_NAME)
    is_shared = models.BooleanField("shared", default=False)
    filter = models.JSONField(encoder=rules.CompactJSON)
    counted = models.PositiveIntegerField(null=True)
    counted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        # The permissions are about the shared views of others.
        default_permissions = ("change", "delete")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "actor", "name"], name="view_name_per_user")
        ]

    def __str__(self) -> str:
        return self.name


def delete_own(instance: User, **kwargs: Any) -> None:
    """Receiver of Django's signal `post_delete` of users. Nobody sees the views that a user has
    not shared; the shared ones stay."""
    views = SavedView.objects.filter(actor=actor_of_user(instance.pk), is_shared=False)
    if instance.tenant_id:  # superusers without a tenant have views of any tenant
        views = views.filter(tenant=instance.tenant_id)
    views.delete()
