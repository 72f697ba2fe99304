"""Imports for the staff."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from tenants.admin import TenantForm, TenantOwnedAdmin, user_of
from tenants.models import Tenant

from .. import uploads
from ..columns import UnknownColumn
from ..models import Contact, Import
from ..serializers import ImportForm as ImportRules
from ..tabular import UnreadableFile
from ..views import error_file


class ImportForm(TenantForm):
    """What an import is asked for; the rules are those of the API."""

    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget, help_text="CSV or NDJSON, or one of them gzipped."
    )
    mode = forms.ChoiceField(choices=Import.Mode.choices, widget=UnfoldAdminSelectWidget)
    map = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="For columns not known by their names, each on a line: Cell=phone or "
        "Town=metadata.city.",
    )
    rest_to_metadata = forms.BooleanField(
        widget=UnfoldBooleanWidget,
        required=False,
        label="Other columns to metadata",
        help_text="Else they are left out.",
    )
    region = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        required=False,
        help_text="The country of phones without +, such as FR; else the tenant's.",
    )
    clear_marker = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        required=False,
        initial="--",
        help_text="A cell that empties its field; blank ones do not.",
    )
    encoding = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        required=False,
        help_text="Where it is not found out rightly.",
    )
    delimiter = forms.CharField(
        widget=UnfoldAdminTextInputWidget, required=False, help_text="Likewise."
    )

    class Meta:
        model = Import
        fields = ["tenant", "dry_run"]

    def clean(self) -> None:
        super().clean()
        tenant, given = self.row_tenant(), dict(self.cleaned_data)
        if self.errors or tenant is None:
            return
        given["map"] = [line for line in given["map"].splitlines() if line.strip()]
        options = ImportRules(data=given)
        if not options.is_valid():
            for field, sentences in options.errors.items():
                self.add_error(field, [str(sentence) for sentence in sentences])
            return
        self.keep(tenant, options.validated_data)

    def keep(self, tenant: Tenant, options: dict[str, Any]) -> None:
        file = options.pop("file")
        job = self.instance
        job.tenant, job.file_name = tenant, options.pop("file_name") or file.name
        job.dry_run, job.options = options.pop("dry_run"), options
        try:
            uploads.store(job, file)
        except UnknownColumn as error:
            self.add_error("map", str(error))
        except UnreadableFile as error:
            self.add_error("file", str(error))


@admin.register(Import)
class ImportAdmin(TenantOwnedAdmin):
    """A file goes in, and what became of it is shown; nothing of that can be changed."""

    form = ImportForm
    list_display = ["file_name", "state", "dry_run", "rows", *Import.COUNTS, "started_at"]
    list_filter = ["state", "dry_run"]
    ordering = ["-pk"]
    given = ["tenant", "file", "mode", "map", "rest_to_metadata", "region", "clear_marker",
             "encoding", "delimiter", "dry_run"]  # fmt: skip
    shown = ["tenant", "file_name", "state", "problem", "dry_run", "mode", "columns", "rows",
             *Import.COUNTS, "errors", "actor", "started_at", "finished_at"]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = self.shown if obj else self.given
        return [name for name in fields if name != "tenant" or request.user.is_superuser]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_over = obj is None or not isinstance(obj, Import) or obj.is_over
        return is_over and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, jobs: Any, request: HttpRequest) -> Any:
        """What the confirmation page says: not a line for each of maybe a million failures."""
        running = [str(job) for job in jobs if not job.is_over]
        failures = sum(job.failures.count() for job in jobs)
        lacking = {"import"} if running else set()
        return [str(job) for job in jobs], {"imports": len(jobs), "failures": failures}, lacking, []

    def delete_model(self, request: HttpRequest, obj: Import) -> None:
        uploads.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for job in queryset:
            uploads.delete(job)

    def save_model(self, request: HttpRequest, obj: Import, form: Any, change: bool) -> None:
        obj.actor = f"user:{user_of(request).pk}"
        uploads.queue(obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        may_undo = self.admin_site.get_model_admin(Contact).may_undo(request)
        context = {"may_undo": may_undo} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.errors_view)
        name = "contacts_import_errors"
        return [path("<str:pk>/errors/", view, name=name), *super().get_urls()]

    def errors_view(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        job = self.get_object(request, pk)
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        try:
            return error_file(job)
        except FileNotFoundError:
            raise Http404 from None

    @admin.display
    def mode(self, job: Import) -> str:
        return job.options["mode"]

    @admin.display
    def columns(self, job: Import) -> str:
        return ", ".join(f"{a} → {b}" for a, b in job.options.get("fields", {}).items())

    @admin.display(description="failed records")
    def errors(self, job: Import) -> str:
        if not job.is_over or not uploads.errors_of(job).exists():
            return "-"
        return format_html(
            '<a href="{}">Download</a>', reverse("admin:contacts_import_errors", args=[job.pk])
        )
