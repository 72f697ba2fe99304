from contextlib import suppress

from django.apps import apps
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig
from django.utils.translation import gettext_lazy

from . import catalogues

# The names that the admin shows for packages. Their own names say nothing to staff.
NAMES = {
    "axes": gettext_lazy("Login attempts"),
    "django_tasks_database": gettext_lazy("Background tasks"),
    "oauth2_provider": gettext_lazy("Connected apps"),
    "otp_static": gettext_lazy("Recovery codes"),
    "otp_totp": gettext_lazy("Two-factor login"),
}


class AdminConfig(DjangoAdminConfig):
    default_site = "qyvo.admin.Site"

    def ready(self) -> None:
        super().ready()
        from . import checks  # noqa: F401 - registers the checks

        for label, name in NAMES.items():
            apps.get_app_config(label).verbose_name = name

        # The code may belong to somebody else; and a broken catalogue must not stop a server. A
        # check names what is missing.
        with suppress(OSError, ValueError):
            catalogues.compile_stale()
