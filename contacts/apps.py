from django.apps import AppConfig
from django.db.backends.signals import connection_created


class ContactsConfig(AppConfig):
    name = "contacts"

    def ready(self) -> None:
        from . import checks, sql  # noqa: F401 - registers the checks

        connection_created.connect(sql.add_functions, dispatch_uid="contacts.sql")
