"""Exports in the background: which contacts, the state of an export, and its file."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from django.http import HttpResponseBase
from django.urls import reverse
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request

from contacts.exporting import background
from contacts.exporting.export import FORMATS
from contacts.exporting.storage import file_of
from contacts.jobs import files
from contacts.models import Export
from contacts.values import rules
from tenants.answers import Answer
from tenants.serializers import OrNull
from tenants.views import TenantAPIView

from .actions import ActionView, Scope, found_or_404
from .fields import RuleField, Timestamp
from .finding import ContactFilters

if TYPE_CHECKING:
    from tenants.models import ApiToken

DEFAULT_FORMAT = "csv"


class ExportInput(ContactFilters):
    """The body of create-export: the filters of list-contacts, and the format."""

    format = RuleField(
        lambda raw: rules.choice(raw, [*FORMATS], DEFAULT_FORMAT),
        {"type": "string", "enum": [*FORMATS], "default": DEFAULT_FORMAT},
    )


class UsedFilters(serializers.Serializer):
    """The filters of an export."""

    updated_since = OrNull()
    tag = OrNull()
    filter = serializers.DictField(default=None, allow_null=True)


class ExportJob(serializers.Serializer):
    """An export, while it runs and afterwards."""

    id = serializers.CharField()
    state = serializers.ChoiceField(Export.State.values)
    format = serializers.ChoiceField([*FORMATS])
    filters = UsedFilters(
        allow_null=True, help_text="Null if the contacts were selected in the admin."
    )
    total = serializers.IntegerField(
        allow_null=True, help_text="How many contacts are exported, once this is known."
    )
    written = serializers.IntegerField(help_text="How many contacts were written so far.")
    file = serializers.SerializerMethodField(
        help_text="The address of the file, while it can be downloaded."
    )
    problem = OrNull(help_text="Why there is no file, or why the export has stopped.")
    started_at = Timestamp()
    finished_at = Timestamp(allow_null=True)
    expires_at = Timestamp(allow_null=True)

    def get_file(self, job: Export) -> str | None:
        return reverse("get-export-file", args=[job.pk]) if job.has_file else None


class TooManyExports(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = background.TooManyExports.sentence % {"count": background.MAX_RUNNING}


class ExportIsRunning(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The export is not finished; ask again when its state is done."


class ExportView(TenantAPIView):
    """What all views of exports share."""

    scopes = (Scope.READ, Scope.IMPORTS)
    output_class = ExportJob
    answer_headers: dict[str, str] = {}

    def find(self, pk: str) -> Export:
        return found_or_404(self.tenant.exports.all(), pk, "Export")


class CreateExport(ActionView):
    """Exports contacts into a file, in the background.

    The filters are those of list-contacts; without filters, all contacts are exported. The file can
    be downloaded for 24 hours after the export is done.
    """

    scopes = (Scope.READ, Scope.IMPORTS)
    input_class = ExportInput
    output_class = ExportJob
    success = HTTPStatus.ACCEPTED
    answer_headers = {"Location": "The address of the export, which shows its progress."}
    conflict = TooManyExports

    def post(self, request: Request) -> Answer:
        filters = self.clean(request)
        form, actor = filters.pop("format"), cast("ApiToken", request.auth).actor
        try:
            job = background.plan(self.tenant, actor, form, filters)
        except background.TooManyExports as error:
            raise TooManyExports from error
        return self.answer(job, Location=reverse("get-export", args=[job.pk]))


class GetExport(ExportView):
    """The progress of an export, and the address of its file when it is done."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> Answer:  # noqa: A002
        return Answer(self.output_class(self.find(id)).data)


class GetExportFile(ExportView):
    """The file of an export that is done, in the format of the export."""

    http_method_names = ["get", "head"]
    conflict = ExportIsRunning

    def get(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        job = self.find(id)
        if job.is_running:
            raise ExportIsRunning
        try:
            return download(job)
        except FileNotFoundError:
            raise NotFound("File not found") from None


def download(job: Export) -> HttpResponseBase:
    """The file of `job` as a download. Raises `FileNotFoundError` if there is none (any more)."""
    if not job.has_file:
        raise FileNotFoundError
    form: Any = FORMATS[job.format]
    name = f"contacts-{job.started_at:%Y-%m-%d}.{form.extension}"
    return files.download(file_of(job), content_type=form.content_type, filename=name)
