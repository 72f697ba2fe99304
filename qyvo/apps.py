from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    default_site = "qyvo.admin.Site"

    def ready(self) -> None:
        super().ready()
        from . import checks  # noqa: F401 - registers the checks
