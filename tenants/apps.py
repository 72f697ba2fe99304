from django.apps import AppConfig
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = gettext_lazy("Tenants and access")

    def ready(self) -> None:
        from . import checks, isolation  # noqa: F401 - registers the checks

        connection_created.connect(isolation.configure_connection, dispatch_uid="tenants.isolation")
        request_started.connect(isolation.begin_request, dispatch_uid="tenants.isolation")
        request_finished.connect(isolation.end_request, dispatch_uid="tenants.isolation")
