"""Imports in the admin: upload, preview, dry run, import, result."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms import BoundField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import get_language, gettext_lazy, gettext_noop, pgettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from contacts.api.imports import error_file, error_workbook
from contacts.change_log.cause import actor_of
from contacts.importing import cleanup, storage, uploads
from contacts.importing.erasures import in_words
from contacts.importing.preview import Preview, preview
from contacts.importing.records import UnreadableFile
from contacts.jobs.files import store
from contacts.models import Import

from .describe import field_in_words
from .import_forms import READING, MappingForm, UploadForm
from .progress import ProgressAdmin

State = Import.State
FAILURES = 10  # and warnings, that the page of an import shows
BEGUN_ALREADY = gettext_noop("This import has begun already.")
OTHER_COLUMNS = gettext_noop(
    "The file is now read with other options: check its columns, then continue."
)


@admin.register(Import)
class ImportAdmin(ProgressAdmin):
    form = UploadForm
    add_form_template = "admin/contacts/import/add.html"
    change_form_template = "admin/contacts/import/progress.html"
    list_display = ["file_name", "state", "kind", "rows", *Import.COUNTS, "started_at"]
    list_filter = ["state", "dry_run"]
    ordering = ["-pk"]
    options = [
        "mode", "region", "phones_have_country_code", "tags", "tag", "dates", "timezone", "strict",
        "clear_marker", "encoding", "delimiter", "header_line", "sheet",
    ]  # fmt: skip

    @admin.display(description=gettext_lazy("kind"), ordering="dry_run")
    def kind(self, job: Import) -> str:
        """In words: a red cross for “no dry run” looks like a failure."""
        return pgettext("noun", "Check") if job.dry_run else pgettext("noun", "Import")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        run = wrap(require_POST(self.run_view))
        return [
            path("<str:pk>/preview/", wrap(self.preview_view), name="contacts_import_preview"),
            path("<str:pk>/run/", run, name="contacts_import_run"),
            path("<str:pk>/errors/", wrap(self.errors_view), name="contacts_import_errors"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj:
            return super().get_fieldsets(request, obj)
        given = ["tenant", "file"] if request.user.is_superuser else ["file"]
        options = {"classes": ["collapse"], "fields": self.options}
        return [(None, {"fields": given}), (_("Options"), options)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return []  # the page of an import shows its progress instead of fields

    # Deleting

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_running = isinstance(obj, Import) and obj.is_running
        return not is_running and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, jobs: Any, request: HttpRequest) -> Any:
        """The confirmation page has no line for each failure: an import may have a million."""
        running = [str(job) for job in jobs if job.is_running]
        failures = sum(job.own_failures().count() for job in jobs)
        lacking = {self.opts.verbose_name} if running else set()
        numbers = {self.opts.verbose_name_plural: len(jobs), _("failures"): failures}
        return [str(job) for job in jobs], numbers, lacking, []

    def delete_model(self, request: HttpRequest, obj: Import) -> None:
        cleanup.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for job in queryset:
            cleanup.delete(job)

    # Uploading

    def save_model(self, request: HttpRequest, obj: Import, form: Any, change: bool) -> None:
        obj.actor = actor_of(request)
        uploads.save(obj)

    def response_add(
        self, request: HttpRequest, obj: Import, post_url_continue: str | None = None
    ) -> HttpResponse:
        return to("preview", obj.pk)

    # Preview

    def preview_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        def show(request: HttpRequest, job: Import) -> HttpResponse:
            with store().local_folder(storage.spool_folder(job)) as folder:
                return self.show_preview(request, job, folder)

        return self.with_draft(request, pk, show)

    def show_preview(self, request: HttpRequest, job: Import, folder: Path) -> HttpResponse:
        shown = preview(job, folder)
        form = MappingForm(job, shown, request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_of_other_columns():
            self.message_user(request, _(OTHER_COLUMNS), messages.WARNING)
            return to("preview", job.pk)
        if form.is_valid() and (answer := self.submit(request, job, folder, form)):
            return answer
        return self.preview_page(request, job, shown, form)

    def submit(
        self, request: HttpRequest, job: Import, folder: Path, form: MappingForm
    ) -> HttpResponse | None:
        """Does what the button of the form says. Returns None, and adds errors to the form, if the
        options are refused."""
        submitted = Import(pk=job.pk, tenant=job.tenant, options=form.options)
        try:
            read = preview(submitted, folder)
        except UnreadableFile as error:
            form.add_error(None, str(error))
            return None
        options = form.options | {"map": form.map_for(read)}
        if "update" in request.POST or form.changes_columns():
            return self.update(request, job, options)
        if read.problem:
            form.add_error(None, read.problem)
            return None
        options |= {"language": get_language()}  # in which a worker writes the messages
        return self.begin(request, job, dry_run="try" in request.POST, options=options)

    def update(self, request: HttpRequest, job: Import, options: dict[str, Any]) -> HttpResponse:
        if "update" not in request.POST:
            self.message_user(request, _(OTHER_COLUMNS), messages.WARNING)
        if any(job.options.get(name) != value for name, value in options.items()):
            uploads.change_draft(job, options=options)
        return to("preview", job.pk)

    def preview_page(
        self, request: HttpRequest, job: Import, shown: Preview, form: MappingForm
    ) -> HttpResponse:
        numbers = [form.columns.get(column) for column in shown.source.header]
        columns = [
            (form[f"field_{n}"], form[f"key_{n}"]) if n is not None else None for n in numbers
        ]
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": title_of(job), "original": job, "preview": shown,
            "form": form, "columns": columns, "reading": visible(form, READING),
            "options": visible(form, [name for name in self.options if name not in READING]),
            "may_delete": self.has_delete_permission(request, job),
        }  # fmt: skip
        # At once, while the file is on this machine: the page asks the preview for more.
        return TemplateResponse(request, "admin/contacts/import/preview.html", context).render()

    # Running

    def run_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Imports the file after a dry run."""
        return self.with_draft(request, pk, lambda *given: self.begin(*given, dry_run=False))

    def begin(
        self, request: HttpRequest, job: Import, *, dry_run: bool, **values: Any
    ) -> HttpResponse:
        if uploads.begin(job, actor_of(request), dry_run=dry_run, **values):
            said = gettext_noop("Dry run.") if dry_run else gettext_noop("Begun.")
            self.log_change(request, job, said)
        else:
            self.message_user(request, _(BEGUN_ALREADY), messages.WARNING)
        return to("change", job.pk)

    def with_draft(
        self, request: HttpRequest, pk: str, act: Callable[[HttpRequest, Import], HttpResponse]
    ) -> HttpResponse:
        """The result of `act` for a draft of the user's tenant; the progress page if the import has
        begun already."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        job = self.get_object(request, unquote(pk))
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        if job.state != State.DRAFT:
            return to("change", job.pk)
        try:
            return act(request, job)
        except (UnreadableFile, FileNotFoundError):
            self.message_user(request, _(uploads.GONE), messages.ERROR)
            return to("changelist")

    # Result

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        job = self.get_object(request, unquote(object_id))
        if job is None:
            return super().change_view(request, object_id, form_url, extra_context)
        may_run = job.state == State.DRAFT and self.has_add_permission(request)
        if may_run and not job.finished_at:
            return to("preview", job.pk)
        now = job.tenant.imports.with_counts().filter(pk=job.pk).first()
        if now is None:  # somebody has deleted the import at this moment
            return super().change_view(request, object_id, form_url, extra_context)
        context = self.progress_of(now) | {
            "may_run": may_run,
            "may_delete": self.has_delete_permission(request, job),
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def progress_of(self, job: Import) -> dict[str, Any]:
        """The progress of a job from `with_counts`, also while it runs."""
        counts = {name: getattr(job, f"{name}_so_far") for name in Import.COUNTS}
        failures = job.own_failures().order_by("line")
        return {
            "title": title_of(job),
            "counts": counts,
            "done": sum(counts.values()),
            "is_counted": job.rows is not None and is_past_reading(job),
            "failures": [(one.line, in_words(one.error)) for one in failures[:FAILURES]],
            "warnings": job.warned()[:FAILURES],
            "warned": vars(job)["warnings_so_far"],
            "columns": [
                (name, field_in_words(field)) for name, field in (job.columns or {}).items()
            ],
            "has_errors": not job.is_running and store().has(storage.errors_of(job)),
        }

    def errors_view(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self.get_object(request, unquote(pk))
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        try:
            is_workbook = uploads.errors_suffix(job) == "xlsx"
            return error_workbook(job) if is_workbook else error_file(job)
        except FileNotFoundError:
            raise Http404 from None


def title_of(job: Import) -> str:
    return pgettext("noun", "Import %(file)s") % {"file": job}


def to(page: str, *args: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse(f"admin:contacts_import_{page}", args=args))


def visible(form: MappingForm, names: Iterable[str]) -> list[BoundField]:
    return [form[name] for name in names if not form[name].is_hidden]


def is_past_reading(job: Import) -> bool:
    """Whether the counts mean anything: for a file that was refused, they do not."""
    tried = job.state == State.DRAFT and not job.problem
    return tried or job.state in (State.WRITING, State.DONE)
