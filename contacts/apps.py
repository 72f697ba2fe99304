from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, post_migrate
from django.utils.translation import gettext_lazy

from contacts.db import connections

CHECKS_OF_CONNECTIONS = "contacts.db"  # the id of a receiver, for the server


class ContactsConfig(AppConfig):
    name = "contacts"
    verbose_name = gettext_lazy("Contacts")

    def ready(self) -> None:
        from django.utils import translation as of_django

        from contacts.change_log.feed import settle_restored
        from contacts.db import checks  # noqa: F401 - registers the checks
        from contacts.db.planner import fix_statistics
        from contacts.management import checks as of_commands  # noqa: F401 - registers the check
        from contacts.models.saved_view import delete_own
        from contacts.models.tag_counts import forget_restored
        from contacts.models.tenant_lock import hold_for_deletion
        from contacts.values import translation
        from tenants.models import User, deletion

        translation.speak_with(of_django)
        connection_created.connect(connections.add_functions, dispatch_uid="contacts.db")
        # Must run after Django's own receiver, which marks each connection for a new health check.
        request_started.connect(
            connections.trust_busy_connections, dispatch_uid=CHECKS_OF_CONNECTIONS
        )
        deletion.connect(hold_for_deletion, dispatch_uid="contacts.tenant_lock")
        post_delete.connect(delete_own, sender=User, dispatch_uid="contacts.saved_views")
        post_migrate.connect(forget_restored, sender=self, dispatch_uid="contacts.tag_counts")
        post_migrate.connect(settle_restored, sender=self, dispatch_uid="contacts.changes")
        post_migrate.connect(fix_statistics, sender=self, dispatch_uid="contacts.db.planner")
