"""Counting the messages that a messaging system has exchanged with contacts."""

from datetime import datetime

from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from contacts.db.expressions import MicrosecondAfter
from contacts.db.transactions import transactional
from contacts.models import Contact
from tenants.models import Tenant


@transactional
def record(tenant: Tenant, key: dict[str, str], at: datetime) -> Contact:
    """Counts a message of the contact that `key` finds. `at`: when the message was sent; the later
    one of this and the stored time stays. Returns the contact as it is then.

    One statement counts, and the database adds: of two requests at once, none is lost. The change
    is not logged: the log and the receivers of webhooks would have a line for each message. Raises
    `Contact.DoesNotExist`.
    """
    contact = tenant.contacts.find(lock=False, **key)
    # Not `contact` alone: it may have been merged into another one since it was found.
    stored = tenant.contacts.filter(pk=contact.pk)
    if not stored.update(
        total_messages=F("total_messages") + 1,
        last_message_at=Greatest(Coalesce("last_message_at", Value(at)), Value(at)),
        updated_at=Greatest(Value(timezone.now()), MicrosecondAfter("updated_at")),
    ):
        raise Contact.DoesNotExist
    return stored.get()
