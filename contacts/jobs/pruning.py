"""What is deleted by itself while a worker runs, because its time is over."""

from contacts.models import StoredAnswer
from tenants.isolation import all_tenants_context
from tenants.oauth import clients

from .files import store

INTERVAL = 3600  # seconds


def delete_expired() -> None:
    """Deletes what OAuth no longer needs, and the answers that are stored for repeated requests and
    are older than 24 hours: they show contacts, and nobody can ask for them any more. Also deletes
    the copies of files that killed processes have left on this machine."""
    with all_tenants_context():
        StoredAnswer.objects.expired().delete()
    clients.delete_expired()
    store().delete_leftovers()
