"""The description of the API in OpenAPI 3.1, generated from the views and serializers.

A view names its request body and its response (`input_class`, `output_class`). This module adds
what all operations have in common: errors and headers. Half of it is one class, in which
drf-spectacular expects the description of an operation.
"""

import inspect
import re
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    Direction,
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
)
from rest_framework import serializers

from contacts.api import bulk, bulk_actions, consistency, contacts, finding
from contacts.api.actions import MERGED_INTO
from contacts.api.examples import EXAMPLES
from contacts.api.idempotency import KEY, REPLAYED, KeyInUse, takes_key
from contacts.api.parsers import FILE_PARSERS, LengthRequired
from contacts.importing.options import OPTIONS
from tenants.examples import ME
from tenants.models import ApiToken
from tenants.views import InsufficientScope

from .api import PayloadTooLarge, accepted_types, error_body, max_body_bytes

ALL_EXAMPLES: dict[str, tuple[Any, Any]] = EXAMPLES | {"me": (None, ME)}


class Error(serializers.Serializer):
    """Every error. `message` repeats `error`; `errors` has the validation errors per field."""

    error = serializers.CharField()
    message = serializers.CharField()
    code = serializers.CharField(help_text="A stable word for programs.")
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


# Every operation may answer 500 and 503, so the document has both as one, 5XX.
OUTAGE = (
    "500: an error on the server, whose log has the request id. 503: the database or the disk is "
    "not available at the moment."
)
# Status -> its meaning, and the example bodies.
FAILURES: dict[int, tuple[str, list[dict[str, Any]]]] = {
    400: (
        "The body is not strict JSON.",
        [error_body(400, "Not JSON: Expecting value at line 1, column 1.")],
    ),
    401: (
        "The token is missing, wrong, expired or revoked, or its user is disabled.",
        [error_body(401)],
    ),
    403: (
        "The token lacks a scope.",
        [error_body(403, str(InsufficientScope([ApiToken.Scope.WRITE]).detail))],
    ),
    404: ("Your tenant has no such record.", [error_body(404, "Contact not found")]),
    409: ("Not possible now.", []),
    411: (
        "The body has no Content-Length and is neither a form nor gzipped.",
        [error_body(411, str(LengthRequired.default_detail))],
    ),
    413: ("The body is too large.", []),
    415: ("The body has the wrong Content-Type.", []),
    422: (
        "A field breaks a rule, or the token's user belongs to no tenant.",
        [
            error_body(422, errors={"phone": ["The phone is too short for its country."]}),
            error_body(422, "No workspace configured for this account.", "no_workspace"),
        ],
    ),
    429: ("Too many requests with this token.", [error_body(429)]),
    500: (OUTAGE, [error_body(500), error_body(503)]),
}

# All answers have these headers. The document says so once, in `info`, and describes each header
# where it helps: written at every answer, they were a tenth of the document.
REQUEST_ID = {
    "X-Request-Id": "Your own id if it is 1 to 128 visible ASCII characters, otherwise a new id."
}
COUNTED = {
    "X-RateLimit-Limit": "Requests that the token may make per window.",
    "X-RateLimit-Remaining": "Requests that are left in the window.",
    "X-RateLimit-Reset": "Seconds until the oldest counted request leaves the window.",
}
OF_A_CONTACT = {
    MERGED_INTO: "The id of the answered contact, if the requested contact was merged into it."
}
REPEATABLE = OpenApiParameter(
    KEY,
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "header",
    description="A new value for each change, such as a UUID. If you send the request again within "
    "24 hours, the change is made once and you get the same answer, with the header "
    f"`{REPLAYED}: true`. A secret is then null.",
)
READING = [
    OpenApiParameter(
        consistency.CONSISTENCY,
        {"type": "string", "enum": [consistency.EVENTUAL, consistency.STRONG]},
        "header",
        description="`eventual`: a replica may answer, which is a little behind. `strong`: it may "
        "not. Default: `strong` in get-contact, otherwise `eventual`.",
    ),
    OpenApiParameter(
        consistency.POSITION,
        {"type": "string"},
        "header",
        description="This header of the answer to a change: then this answer shows the change.",
    ),
]
READ_FROM = {
    consistency.READ_FROM: "With a replica, and unless `strong` was asked: `replica` or `leader`."
}
RETRY = {"Retry-After": "Seconds to wait; with 429 and 503."}


JSON, FORM = "application/json", "multipart/form-data"


def only_documented(endpoints: list[Any], **kwargs: Any) -> list[Any]:
    """Leaves out the second addresses of the same views, below `/v1`."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


class Operation(AutoSchema):
    """Describes one operation: an action or another endpoint of the API."""

    view: Any  # an ActionView, an ImportView, Me, or a view with `operations`

    @property
    def source(self) -> Any:
        """The class that describes this operation: the view's class, or its entry in `operations`
        for the HTTP method."""
        return getattr(self.view, "operations", {}).get(self.method, type(self.view))

    @property
    def changes(self) -> bool:
        return self.method in {"POST", "PATCH"}

    @property
    def has_body(self) -> bool:
        return self.changes and hasattr(self.source, "input_class")

    @property
    def is_repeatable(self) -> bool:
        return takes_key(self.method, self.source)

    @property
    def may_read_replica(self) -> bool:
        return bool(getattr(self.source, "consistency", ""))

    @property
    def success(self) -> HTTPStatus:
        return getattr(self.source, "success", HTTPStatus.OK)

    @property
    def successes(self) -> list[int]:
        """All statuses of answers that are no errors."""
        return [*map(int, (self.success, *getattr(self.source, "also", ())))]

    def get_operation_id(self) -> str:
        """The name of the class in kebab case: CreateContact is create-contact."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.source.__name__).lower()

    def get_tags(self) -> list[str]:
        for kind in ("imports", "exports", "bulk", "webhooks"):
            if f"/{kind}" in self.path:
                return [kind.title()]
        if not self.changes:
            return ["Account"]
        return ["Tags" if "tag" in self.get_operation_id() else "Contacts"]

    @property
    def sentences(self) -> tuple[str, str]:
        """The first sentence of the docstring, which is the summary, and the others."""
        first, *others = re.split(r"(?<=\.)\s+", inspect.cleandoc(self.source.__doc__), maxsplit=1)
        return " ".join(first.split()).rstrip("."), "".join(others)

    def get_summary(self) -> str:
        return self.sentences[0]

    def get_description(self) -> str:  # type: ignore[override]
        """What the summary does not say, and the scopes."""
        _, details = self.sentences
        scopes = " and ".join(f"`{scope}`" for scope in self.scopes)
        needs = f"Needs the scope {scopes}." if scopes else "Needs no scope."
        return f"{details}\n\n{needs}".lstrip()

    @property
    def scopes(self) -> list[str]:
        return [*map(str, getattr(self.source, "scopes", ()))]

    def get_extensions(self) -> dict[str, Any]:
        """The scopes for programs. Linters know scopes in `security` for OAuth only."""
        return {"x-required-scopes": self.scopes}

    def get_request_serializer(self) -> Any:
        if not self.has_body:
            return None
        # A file as the whole body is left out: generated clients can send only one kind of body.
        given = self.source.input_class
        if not self.takes_file:
            return {JSON: given}
        # One part for each value of a list: otherwise generated clients join them by commas.
        lists = [name for name, option in OPTIONS.items() if option.is_list]
        parts = {name: {"style": "form", "explode": True} for name in lists}
        return {FORM: OpenApiRequest(given, encoding=parts)}

    @property
    def takes_file(self) -> bool:
        return self.view.parser_classes is FILE_PARSERS

    def _get_request_body(self, direction: Direction = "request") -> Any:
        """Marks the body as required if it must have a key, a file or a URL. drf-spectacular looks
        only for required fields, and a contact's keys are alternatives."""
        body = super()._get_request_body(direction)
        if body is None:
            return None
        given = self.source.input_class
        is_needed = issubclass(given, contacts.ContactKey) or {"file", "url", "contact_ids"} & {
            *given().fields
        }
        return body | {"required": True} if is_needed else body

    @property
    def has_key(self) -> bool:
        return self.has_body and "contact_id" in self.source.input_class().fields

    def get_response_serializers(self) -> Any:
        output = getattr(self.source, "output_class", None)
        # All requests for a bulk action have the same answer; their examples differ in the kind.
        is_bulk = output is bulk_actions.BulkJob and self.changes
        _, example = ALL_EXAMPLES["bulk-update" if is_bulk else self.get_operation_id()]
        is_list = isinstance(example, list)
        is_file = isinstance(example, str)
        # For a list, one item: drf-spectacular makes a list of it.
        examples = [OpenApiExample("answer", example[0] if is_list else example)] if example else []
        kind: Any = OpenApiTypes.STR
        if not is_file:
            kind = output and output(many=is_list)
        media_type = "text/csv" if is_file else "application/json"
        return {
            (code, media_type): OpenApiResponse(kind, HTTPStatus(code).phrase, examples)
            for code in self.successes
        } | {
            (code, "application/json"): failure(code, self.view, self.source)
            for code in self.failures()
        }

    def failures(self) -> list[int]:
        if self.path == "/api/v1/me":
            return [401, 429, 500]
        return [code for code in FAILURES if self.can_fail(code)]

    def can_fail(self, code: int) -> bool:
        if code == 404:
            return self.has_key or "{" in self.path or hasattr(self.source, "missing")
        if code == 409:
            return hasattr(self.source, "conflict") or self.is_repeatable
        if code == 411:
            return bool(self.takes_file)
        return self.changes or code not in {400, 413, 415}

    def get_examples(self) -> list[OpenApiExample]:
        body, _ = ALL_EXAMPLES[self.get_operation_id()]
        if not body:
            return []
        kind, body = (FORM, {"file": body}) if self.takes_file else (JSON, body)
        return [OpenApiExample("body", body, request_only=True, media_type=kind)]

    def get_override_parameters(self) -> list[Any]:
        return [
            *headers(REQUEST_ID, [500]),
            *headers(COUNTED, [429], OpenApiTypes.INT),
            *headers(RETRY, [429, 500], OpenApiTypes.INT),
            *headers(getattr(self.view, "answer_headers", {}), self.successes),
            *([REPEATABLE] if self.is_repeatable else []),
            *(READING if self.may_read_replica else []),
            *headers(READ_FROM if self.may_read_replica else {}, self.successes),
            *headers(OF_A_CONTACT if self.has_key else {}, [int(self.success)]),
            *[
                OpenApiParameter(name, schema, description=meaning)
                for name, (schema, meaning) in getattr(self.view, "query_parameters", {}).items()
            ],
        ]


def failure(code: int, view: Any, source: Any) -> OpenApiResponse:
    """The description of the error `code` of an operation, with examples."""
    meaning, bodies = FAILURES[code]
    if code == 404 and hasattr(source, "missing"):
        bodies = [error_body(404, source.missing)]
    if code == 409:
        kinds = [source.conflict] if hasattr(source, "conflict") else []
        kinds += [KeyInUse] if takes_key(view.request.method, source) else []
        bodies = [
            error_body(409, str(kind.default_detail), getattr(kind, "contract_code", ""))
            for kind in kinds
        ]
    if code == 413:
        bodies = [error_body(413, str(PayloadTooLarge(max_body_bytes(view)).detail))]
    if code == 415:
        bodies = [error_body(415, accepted_types(view))]
    examples = [OpenApiExample(body["code"], body) for body in bodies]
    return OpenApiResponse(Error, meaning, examples)


def headers(
    meanings: dict[str, str], codes: list[int], kind: OpenApiTypes = OpenApiTypes.STR
) -> list[OpenApiParameter]:
    """Response headers. `meanings`: name -> description. `codes`: the status codes of the responses
    that have them."""
    return [
        OpenApiParameter(name, kind, "header", description=meaning, response=codes)
        for name, meaning in meanings.items()
    ]


# What drf-spectacular does not find out by itself


class Token(OpenApiAuthenticationExtension):
    target_class = "tenants.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "qyvo_…"}


class RuleField(OpenApiSerializerFieldExtension):
    target_class = "contacts.api.fields.RuleField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        return self.target.schema


class Timestamp(OpenApiSerializerFieldExtension):
    target_class = "contacts.api.fields.Timestamp"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class OrNull(OpenApiSerializerFieldExtension):
    target_class = "tenants.serializers.OrNull"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        return {"type": ["string", "null"]}


class BatchInput(OpenApiSerializerExtension):
    """Describes a row of a batch. In fact, any value is accepted: a bad row fails alone."""

    target_class = "contacts.api.bulk.BatchInput"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        row = auto_schema.resolve_serializer(bulk.BatchRow, direction).ref
        schema["properties"]["contacts"]["items"] = row
        return schema


class ListEntry(OpenApiSerializerExtension):
    """An entry of list-contacts: a contact or a deleted contact."""

    target_class = "contacts.api.finding.ListEntry"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        kinds = (finding.ListedContact, finding.GoneContact)
        return {"oneOf": [auto_schema.resolve_serializer(kind, direction).ref for kind in kinds]}


class ContactKey(OpenApiSerializerExtension):
    """An input with the keys of a contact: at least one of them is required."""

    target_class = "contacts.api.contacts.ContactKey"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | any_of(self.target.keys)


def any_of(keys: list[str]) -> dict[str, Any]:
    """In JSON Schema: at least one of `keys` has a value.

    Written with `not`, which generators of clients ignore. From `anyOf` they would make classes
    that lose all other fields. With `if` and `else`, redocly would refuse the examples.
    """
    return {"not": {"properties": {key: {"enum": ["", None]} for key in keys}}}
