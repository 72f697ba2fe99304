"""Notes of staff about contacts."""

from django.db import models
from django.utils import timezone

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from .owned import Owned


class Note(Owned):
    """What somebody has written about a contact. `contacts.writing.notes` writes the rows.

    `contact_id` is no foreign key, as in the change log: deleting a contact must not cost more
    because of this table. `author`: an actor of the change log, such as `user:7`. No foreign key
    either: where the database is sharded by tenant, people are not on the same machine.
    """

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    contact_id = ULIDField()
    author = models.CharField(max_length=100)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ("delete",)  # of others; who may see contacts may see their notes
        indexes = [
            models.Index(fields=["tenant", "contact_id", "created_at"], name="note_by_contact")
        ]

    def __str__(self) -> str:
        return f"{self.contact_id} {self.created_at:%Y-%m-%d %H:%M}"
