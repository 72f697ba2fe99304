"""The queue of the workers, for superusers only: its rows belong to no tenant."""

from datetime import datetime

from django.contrib import admin
from django.utils.translation import gettext_lazy
from django_tasks_db.admin import DBTaskResultAdmin
from django_tasks_db.models import DBTaskResult

from tenants.admin import SafeChangelistAdmin, superusers_only

admin.site.unregister(DBTaskResult)


@admin.register(DBTaskResult)
class TaskAdmin(DBTaskResultAdmin, SafeChangelistAdmin):
    has_module_permission = superusers_only
    has_view_permission = superusers_only

    # The columns of the package, with names that are translated.

    @admin.display(description=gettext_lazy("Task name"))
    def task_name(self, task: DBTaskResult) -> str:
        return task.task_name

    @admin.display(description=gettext_lazy("traceback"))
    def formatted_traceback(self, obj: DBTaskResult) -> str:
        return super().formatted_traceback(obj)

    @admin.display(description=gettext_lazy("run after"))
    def display_run_after(self, obj: DBTaskResult) -> datetime | str:
        return super().display_run_after(obj)
