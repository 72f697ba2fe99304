"""Imports of files."""

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ValidationError as InvalidValue
from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse, HttpResponseBase, QueryDict
from django.urls import reverse
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.importing import columns, storage, uploads
from contacts.importing.columns import UnknownColumn
from contacts.importing.formats.csv import one_character
from contacts.importing.formats.decoding import text_encoding
from contacts.importing.records import UnreadableFile
from contacts.models import Import
from contacts.values import rules
from tenants.models import validate_region
from tenants.serializers import OrNull
from tenants.views import TenantAPIView

from .actions import Scope
from .fields import SWITCH, RuleField, Timestamp, choice, text
from .parsers import FILE_PARSERS

if TYPE_CHECKING:
    from tenants.models import ApiToken


def region(raw: Any) -> str:
    try:
        if raw:
            validate_region(raw)
    except InvalidValue as error:
        raise ValueError(error.messages[0]) from error
    return raw or ""


def word(name: str, raw: Any) -> str:
    return rules.storable(name, rules.string(name, raw))


def uploaded(raw: Any) -> UploadedFile:
    if not isinstance(raw, UploadedFile):
        raise ValueError("Send a CSV or NDJSON file.")  # noqa: TRY004 - a rule is broken
    if not raw.size:
        raise ValueError("The file is empty.")
    return raw


class ImportOptions(serializers.Serializer):
    """How a file is brought in."""

    mode = RuleField(
        lambda raw: choice(raw, Import.Mode.values, Import.Mode.UPSERT),
        {"type": "string", "enum": Import.Mode.values, "default": Import.Mode.UPSERT.value},
        help_text="What becomes of contacts that exist, or do not.",
    )
    dry_run = RuleField(rules.switch, SWITCH, help_text="Count, and write no contact.")
    map = RuleField(
        lambda raw: dict(columns.pair(word("map", text)) for text in raw or []),
        {"type": "array", "items": {"type": "string", "pattern": "="}},
        help_text="`COLUMN=FIELD`, such as `Cell=phone` or `Town=metadata.city`, for columns that "
        "are not known by their names; an empty field leaves the column out.",
    )
    rest_to_metadata = RuleField(
        rules.switch, SWITCH, help_text="Columns that are no field become metadata."
    )
    region = RuleField(
        region,
        {"type": "string", "pattern": "^([A-Z]{2})?$"},
        help_text="The country of phones without `+`, such as `FR`; default: your tenant's.",
    )
    clear_marker = RuleField(
        lambda raw: "--" if raw is None else rules.limited("marker", raw, rules.MAX_NAME),
        {"type": "string", "default": "--"},
        help_text="A cell that empties its field; a blank one leaves it alone.",
    )
    encoding = RuleField(
        lambda raw: text_encoding(given) if (given := word("encoding", raw)) else "",
        {"type": "string"},
        help_text="Where the guess is wrong.",
    )
    delimiter = RuleField(
        lambda raw: one_character(given) if (given := word("delimiter", raw)) else "",
        {"type": "string"},
        help_text="Likewise.",
    )
    file_name = RuleField(
        lambda raw: rules.limited("name", raw, rules.MAX_NAME),
        text(rules.MAX_NAME),
        help_text="To tell imports apart; a form names its file itself.",
    )


class ImportForm(ImportOptions):
    """The form of an import."""

    file = RuleField(
        uploaded,
        {"type": "string", "format": "binary"},
        required=True,
        error_messages={"required": "The file is required."},
    )


class ImportJob(serializers.Serializer):
    """An import, while it runs and after."""

    id = serializers.CharField()
    state = serializers.ChoiceField(
        [state.value for state in Import.State if state != Import.State.DRAFT]
    )
    file_name = serializers.CharField()
    mode = serializers.CharField(source="options.mode")
    dry_run = serializers.BooleanField()
    columns = serializers.DictField(
        source="options.fields", default=None, allow_null=True, child=serializers.CharField(),
        help_text="The field of each column that has one, as soon as they are known.",
    )  # fmt: skip
    rows = serializers.IntegerField(
        allow_null=True, help_text="Records of the file, as far as it has been read."
    )
    created = serializers.IntegerField(source="created_so_far")
    updated = serializers.IntegerField(source="updated_so_far")
    unchanged = serializers.IntegerField(source="unchanged_so_far")
    superseded = serializers.IntegerField(
        source="superseded_so_far", help_text="A later row had the same phone."
    )
    failed = serializers.IntegerField(source="failed_so_far")
    problem = OrNull(help_text="Why the file was refused, or does not go on.")
    started_at = Timestamp()
    finished_at = Timestamp(allow_null=True)


# Imports


class NotFinished(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The import is not finished; ask again when its state is done."


class ImportView(TenantAPIView):
    """What the addresses of imports have in common."""

    scopes = (Scope.IMPORTS,)
    output_class = ImportJob
    answer_headers: dict[str, str] = {}

    def find(self, pk: str) -> Import:
        try:
            return self.tenant.imports.begun().with_counts().get(pk=pk)
        except (Import.DoesNotExist, ValueError):  # no such id, or no id at all
            raise NotFound("Import not found") from None


class CreateImport(ImportView):
    """Brings contacts from a CSV or NDJSON file, either of them gzipped, in the background.

    The file is the body, or the field `file` of a form; what is said of it stands in the address or
    in the form. Columns are known by common names. A blank cell leaves its field alone, a bad
    record fails alone.
    """

    http_method_names = ["post"]
    parser_classes = FILE_PARSERS
    input_class = ImportForm
    query_class = ImportOptions
    success = HTTPStatus.ACCEPTED
    answer_headers = {"Location": "Where the import tells how far it is."}

    def post(self, request: Request) -> Response:
        try:
            job = self.receive(request, self.clean(request))
        except UnknownColumn as error:
            raise ValidationError({"map": [str(error)]}) from error
        except UnreadableFile as error:
            raise ValidationError({"file": [str(error)]}) from error
        finally:
            for file in request.FILES.values():
                file.close()  # which deletes it, unless it was moved
        where = reverse("get-import", args=[job.pk])
        data = self.output_class(self.find(job.pk)).data
        return Response(data, status=self.success, headers={"Location": where})

    def receive(self, request: Request, options: dict[str, Any]) -> Import:
        file = options.pop("file")
        job = Import(
            tenant=self.tenant,
            actor=cast("ApiToken", request.auth).actor,
            file_name=options.pop("file_name") or file.name,
            dry_run=options.pop("dry_run"),
            options=options,
        )
        uploads.store(job, file)
        uploads.queue(job)
        return job

    def clean(self, request: Request) -> dict[str, Any]:
        """What the address and the form say, the form last."""
        given = QueryDict(mutable=True)
        given.update(request.query_params)
        given.update(request.data)
        body = self.input_class(data=given.dict() | {"map": given.getlist("map")})
        body.is_valid(raise_exception=True)
        return body.validated_data


class GetImport(ImportView):
    """How far an import is, and what became of the records."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        return Response(self.output_class(self.find(id)).data)


class GetImportErrors(ImportView):
    """The records that failed, as a CSV: as they came, with `line` and `error`.

    Mended, it can be imported as it is.
    """

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        job = self.find(id)
        if not job.is_over:
            raise NotFinished
        try:
            return error_file(job)
        except FileNotFoundError:
            raise NotFound("Errors not found") from None


def error_file(job: Import) -> HttpResponseBase:
    """Raises `FileNotFoundError`."""
    if job.is_running:
        raise FileNotFoundError
    name = f"{Path(job.file_name).stem}.errors.csv"
    return FileResponse(
        storage.errors_of(job).open("rb"),
        content_type="text/csv; charset=utf-8",
        filename=name,
        as_attachment=True,
    )
