"""Imports of files: their options, their state, and the file of records that failed."""

from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse, HttpResponseBase, QueryDict
from django.urls import reverse
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request

from contacts.importing import storage, uploads
from contacts.importing.columns import UnknownColumn
from contacts.importing.error_workbook import write_workbook
from contacts.importing.options import OPTIONS, SWITCHES
from contacts.importing.records import UnreadableFile
from contacts.jobs import files
from contacts.models import Import
from contacts.values import rules
from tenants.answers import Answer
from tenants.serializers import OrNull

from .actions import Scope, found_or_404
from .fields import RuleField, Timestamp, text
from .idempotency import RepeatableView
from .parsers import FILE_PARSERS

if TYPE_CHECKING:
    from tenants.models import ApiToken


def uploaded(raw: Any) -> UploadedFile:
    if not isinstance(raw, UploadedFile):
        raise ValueError("Send a file.")  # noqa: TRY004 - rules raise ValueError
    if not raw.size:
        raise ValueError("The file is empty.")
    return raw


class ImportOptions(serializers.Serializer):
    """How a file is imported."""

    file_name = RuleField(
        lambda raw: rules.limited("name", raw, rules.MAX_NAME),
        text(rules.MAX_NAME),
        help_text="A name by which you recognise the import. A form sends the name of its file.",
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = {
            name: RuleField(option.rule, option.schema, help_text=option.help)
            for name, option in OPTIONS.items()
        }
        return fields | super().get_fields()


class ImportForm(ImportOptions):
    """The form of an import."""

    file = RuleField(
        uploaded,
        {"type": "string", "format": "binary"},
        required=True,
        error_messages={"required": "The file is required."},
    )


class ImportColumn(serializers.Serializer):
    """A column of a file."""

    index = serializers.IntegerField(help_text="From 0.")
    header = serializers.CharField(help_text="The name of the column in the file.")
    field = serializers.CharField(
        allow_null=True, help_text="The field of a contact; null if the column is left out."
    )


class WarningOfImport(serializers.Serializer):
    """A record that was imported without one of its fields."""

    line = serializers.IntegerField()
    warning = serializers.CharField()


class ImportJob(serializers.Serializer):
    """An import, while it runs and afterwards."""

    id = serializers.CharField()
    state = serializers.ChoiceField(
        [state.value for state in Import.State if state != Import.State.DRAFT]
    )
    file_name = serializers.CharField()
    mode = serializers.CharField(source="options.mode")
    dry_run = serializers.BooleanField()
    encoding = serializers.CharField(
        source="options.read_as.encoding", default=None, allow_null=True,
        help_text="The encoding of the file, given or detected.",
    )  # fmt: skip
    delimiter = serializers.CharField(
        source="options.read_as.delimiter", default=None, allow_null=True,
        help_text="The character between the cells of a CSV.",
    )  # fmt: skip
    header_line = serializers.IntegerField(
        source="options.read_as.header_line", default=None, allow_null=True,
        help_text="The number of the line with the names of the columns, from 1; null if there is "
        "none.",
    )  # fmt: skip
    sheet = serializers.CharField(
        source="options.read_as.sheet", default=None, allow_null=True,
        help_text="The sheet of a workbook that is read.",
    )  # fmt: skip
    sheets = serializers.ListField(
        source="options.read_as.sheets", default=None, allow_null=True,
        child=serializers.CharField(),
        help_text="All sheets of a workbook that have rows. Only `sheet` is read.",
    )  # fmt: skip
    columns = serializers.DictField(
        allow_null=True, child=serializers.CharField(),
        help_text="The field of each column that has one, as soon as the columns are known. If the "
        "file has a name more than once, its first column.",
    )  # fmt: skip
    column_list = ImportColumn(
        source="options.column_list", default=None, allow_null=True, many=True,
        help_text="All columns of the file, in its order.",
    )  # fmt: skip
    rows = serializers.IntegerField(
        allow_null=True, help_text="How many records of the file were read so far."
    )
    created = serializers.IntegerField(source="created_so_far")
    updated = serializers.IntegerField(source="updated_so_far")
    unchanged = serializers.IntegerField(source="unchanged_so_far")
    superseded = serializers.IntegerField(
        source="superseded_so_far", help_text="A later row had the same phone, and took them over."
    )
    failed = serializers.IntegerField(source="failed_so_far")
    warnings = serializers.IntegerField(
        source="warnings_so_far",
        help_text="Records that were imported with a warning: without a field, because it was "
        "wrong, or with a value that does not fit a field that the tenant defines.",
    )
    warning_list = WarningOfImport(
        source="warned", many=True, help_text=f"The first {Import.SHOWN_WARNINGS} of them."
    )
    hint = OrNull(help_text="What a dry run doubts, such as how phones are read.")
    problem = OrNull(help_text="Why the file was refused, or why the import has stopped.")
    started_at = Timestamp()
    finished_at = Timestamp(allow_null=True)


class NotFinished(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The import is not finished; ask again when its state is done."


class ImportView(RepeatableView):
    """What all views of imports share."""

    scopes = (Scope.IMPORTS,)
    output_class = ImportJob
    answer_headers: dict[str, str] = {}

    def find(self, pk: str) -> Import:
        return found_or_404(self.tenant.imports.begun().with_counts(), pk, "Import")


class CreateImport(ImportView):
    """Imports contacts from a file, in the background.

    The file is CSV, NDJSON, a JSON array, a workbook (XLSX, XLS, ODS) or vCard, gzipped or not. Its
    format is found out from its content.

    Columns with common names are recognised. A blank cell does not change its field. A bad record
    fails, and the other records are imported.

    The file may also be the whole body, with its own Content-Type. The options are then in the
    address: `?mode=upsert&region=FR`.
    """

    http_method_names = ["post"]
    parser_classes = FILE_PARSERS
    input_class = ImportForm
    success = HTTPStatus.ACCEPTED
    answer_headers = {"Location": "The address of the import, which shows its progress."}

    def post(self, request: Request) -> Answer:
        try:
            job = self.receive(request, self.clean(request))
        except UnknownColumn as error:
            raise ValidationError({"map": [str(error)]}) from error
        except UnreadableFile as error:
            raise ValidationError({"file": [str(error)]}) from error
        finally:
            for file in request.FILES.values():
                file.close()  # deletes the file, unless the import has moved it
        location = reverse("get-import", args=[job.pk])
        data = self.output_class(self.find(job.pk)).data
        return Answer(data, status=self.success, headers={"Location": location})

    def receive(self, request: Request, options: dict[str, Any]) -> Import:
        file = options.pop("file")
        job = Import(
            tenant=self.tenant,
            actor=cast("ApiToken", request.auth).actor,
            file_name=options.pop("file_name") or file.name,
            dry_run=options.pop("dry_run"),
            options=options,
        )
        uploads.store_upload(job, file)
        uploads.queue(job)
        return job

    def clean(self, request: Request) -> dict[str, Any]:
        """The options in the address and in the form; the form overrides the address."""
        given = QueryDict(mutable=True)
        given.update(request.query_params)
        given.update(request.data)
        for name in SWITCHES & request.query_params.keys():
            # Without this, `?dry_run` would write contacts: an empty text is no choice.
            given[name] = str(given[name] or request.query_params[name] or "true")
        lists = {name: given.getlist(name) for name, option in OPTIONS.items() if option.is_list}
        body = self.input_class(data=given.dict() | lists)
        body.is_valid(raise_exception=True)
        return body.validated_data


class GetImport(ImportView):
    """The progress of an import, and how many records were created, updated or failed."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> Answer:  # noqa: A002
        return Answer(self.output_class(self.find(id)).data)


class GetImportErrors(ImportView):
    """The records that failed, as a CSV: as they were in the file, with `line` and `error`.

    The corrected file can be imported as it is.
    """

    http_method_names = ["get", "head"]
    conflict = NotFinished

    def get(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        job = self.find(id)
        if not job.is_over:
            raise NotFinished
        try:
            return error_file(job)
        except FileNotFoundError:
            raise NotFound("Errors not found") from None


def error_file(job: Import) -> HttpResponseBase:
    """The error file of `job` as a download. Raises `FileNotFoundError` if there is none (yet)."""
    if job.is_running:
        raise FileNotFoundError
    name = f"{Path(job.file_name).stem}.errors.csv"
    kind = "text/csv; charset=utf-8"
    return files.download(storage.errors_of(job), content_type=kind, filename=name)


def error_workbook(job: Import) -> HttpResponseBase:
    """`error_file` as XLSX, for people."""
    if job.is_running:
        raise FileNotFoundError
    file = TemporaryFile()  # noqa: SIM115 - the response closes it
    with files.store().local_file(storage.errors_of(job)) as errors:
        write_workbook(errors, file, job.options["parted_by"])
    file.seek(0)
    name = f"{Path(job.file_name).stem}.errors.xlsx"
    return FileResponse(file, filename=name, as_attachment=True)
