from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class ContactsConfig(AppConfig):
    name = "contacts"

    def ready(self) -> None:
        from . import checks, sql  # noqa: F401 - registers the checks
        from .changes import settle_restored
        from .planner import fix_statistics

        connection_created.connect(sql.add_functions, dispatch_uid="contacts.sql")
        # Behind Django's own receiver, which has each connection asked again.
        request_started.connect(sql.trust_busy_connections, dispatch_uid="contacts.sql")
        post_migrate.connect(settle_restored, sender=self, dispatch_uid="contacts.changes")
        post_migrate.connect(fix_statistics, sender=self, dispatch_uid="contacts.planner")
