from contextlib import suppress

from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig

from . import catalogues


class AdminConfig(DjangoAdminConfig):
    default_site = "qyvo.admin.Site"

    def ready(self) -> None:
        super().ready()
        from . import checks  # noqa: F401 - registers the checks

        # The code may belong to somebody else; and a broken catalogue must not stop a server. A
        # check names what is missing.
        with suppress(OSError, ValueError):
            catalogues.compile_stale()
