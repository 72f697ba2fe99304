"""Exports in the admin: small ones are downloaded at once, a worker writes large workbooks."""

from tempfile import TemporaryFile
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from unfold.widgets import UnfoldAdminSelectWidget

from contacts.api.exports import download
from contacts.change_log.cause import actor_of
from contacts.exporting import background, cleanup
from contacts.exporting.export import CSV_FOR_SPREADSHEETS, FORMATS, export, select_ids
from contacts.exporting.formats import Format, NotExportable
from contacts.jobs.bulk_actions import ID_BYTES
from contacts.jobs.files import data_folder
from contacts.models import ContactQuerySet, Export
from tenants.admin import user_of
from tenants.models import Tenant

from .confirm import ConfirmActionAdmin, ConfirmForm, Question, log
from .progress import ProgressAdmin

# A workbook must be whole before its download begins. A larger one is left to a worker, because a
# proxy gives up a request that answers nothing for long.
AT_ONCE = 5_000  # contacts
FOR_PEOPLE: dict[str, Format] = FORMATS | {"csv": CSV_FOR_SPREADSHEETS}


class FormatForm(ConfirmForm):
    value = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=[(name, gettext_lazy(form.label)) for name, form in FOR_PEOPLE.items()],
        initial="xlsx",
        widget=UnfoldAdminSelectWidget,
    )


QUESTION = Question(gettext_noop("Export"), gettext_noop("Export"), FormatForm)
ACTION = format_lazy("{}…", gettext_lazy(QUESTION.title))


class ExportActionAdmin(ConfirmActionAdmin):
    """The action of the list of contacts that exports."""

    @admin.action(description=ACTION, permissions=["view"])
    def export(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponseBase:
        def act(form: ConfirmForm, confirmed: int) -> HttpResponseBase | None:
            ids = select_ids(contacts)
            if len(ids) != confirmed * ID_BYTES:
                return None
            return self.answer(request, contacts, ids, form.answer())

        return self.ask(request, contacts, QUESTION.translated(), act)

    def answer(
        self, request: HttpRequest, contacts: ContactQuerySet, ids: bytes, name: str
    ) -> HttpResponseBase:
        """The file, or the page of an export in the background. `ids`: of `contacts`. `name`: of
        the format."""
        form, number = FOR_PEOPLE[name], len(ids) // ID_BYTES
        is_now = form.is_streamed or number <= AT_ONCE
        try:
            if is_now:
                user = user_of(request)
                answer = file_of_now(ids, form, None if user.is_superuser else user.tenant)
            else:
                answer = self.plan(request, contacts, ids, name)
        except (NotExportable, background.TooManyExports) as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        log(request, f"Export as {form.label}: {number:,} contacts")
        return answer

    def plan(
        self, request: HttpRequest, contacts: ContactQuerySet, ids: bytes, name: str
    ) -> HttpResponseBase:
        if (tenant := self.tenant_of(request, contacts)) is None:
            return HttpResponseRedirect(request.get_full_path())
        job = background.plan_chosen(tenant, actor_of(request), name, ids)
        return HttpResponseRedirect(reverse("admin:contacts_export_change", args=[job.pk]))


def file_of_now(ids: bytes, form: Format, tenant: Tenant | None) -> HttpResponseBase:
    """A download that is made in this request. `tenant`: see `exporting.export.pages`. Raises
    `NotExportable`, which a streamed format never does: its download has begun when its last page
    is read."""
    pieces, name = export(ids, form, tenant), f"contacts-{timezone.localdate()}.{form.extension}"
    if form.is_streamed:
        return StreamingHttpResponse(
            pieces,
            content_type=form.content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
    file = TemporaryFile(dir=data_folder("exports"))  # noqa: SIM115 - the response closes it
    try:
        file.writelines(pieces)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return FileResponse(file, content_type=form.content_type, filename=name, as_attachment=True)


@admin.register(Export)
class ExportAdmin(ProgressAdmin):
    """Exports with their progress and their files. Nobody adds or edits one here."""

    list_display = ["__str__", "state", "total", "started_at", "expires_at"]
    list_filter = ["state"]
    ordering = ["-pk"]
    show_full_result_count = False
    change_form_template = "admin/contacts/export/progress.html"
    fields = ["tenant"]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        return [path("<str:pk>/file/", view, name="contacts_export_file"), *super().get_urls()]

    def file_view(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        if not self.may_download(request):
            raise PermissionDenied
        job = self.get_object(request, unquote(pk))
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        try:
            return download(job)
        except FileNotFoundError:
            raise Http404 from None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **options: Any
    ) -> HttpResponse:
        named = context | {"title": pgettext("noun", "Export %(name)s") % {"name": options["obj"]}}
        return super().render_change_form(request, named, **options)

    def may_download(self, request: HttpRequest) -> bool:
        """The file has contacts."""
        return user_of(request).has_perm("contacts.view_contact")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also for users who may start an export: they must see its progress."""
        return self.may_download(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while it runs. Django asks this also when somebody deletes a whole tenant."""
        is_running = isinstance(obj, Export) and obj.is_running
        return not is_running and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: Export) -> None:
        cleanup.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for job in queryset:
            cleanup.delete(job)
