"""The queue of the workers, for superusers only: its rows belong to no tenant."""

from django.contrib import admin
from django_tasks_db.admin import DBTaskResultAdmin
from django_tasks_db.models import DBTaskResult

from tenants.admin import SafeChangelistAdmin, superusers_only

admin.site.unregister(DBTaskResult)


@admin.register(DBTaskResult)
class TaskAdmin(DBTaskResultAdmin, SafeChangelistAdmin):
    has_module_permission = superusers_only
    has_view_permission = superusers_only
