from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from contacts.db import connections


class ContactsConfig(AppConfig):
    name = "contacts"

    def ready(self) -> None:
        from contacts.db import checks  # noqa: F401 - registers the checks
        from contacts.db.planner import fix_statistics
        from contacts.models import settle_restored

        connection_created.connect(connections.add_functions, dispatch_uid="contacts.db")
        # Behind Django's own receiver, which has each connection asked again.
        request_started.connect(connections.trust_busy_connections, dispatch_uid="contacts.db")
        post_migrate.connect(settle_restored, sender=self, dispatch_uid="contacts.changes")
        post_migrate.connect(fix_statistics, sender=self, dispatch_uid="contacts.db.planner")
