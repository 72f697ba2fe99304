"""REST plumbing: reads request bodies and writes error responses. Independent of contacts.

Every error is JSON with `error` (the sentence of the status), `message` (the same, and after it the
first reason of a validation error), `code` (a stable word for programs) and, for validation errors,
`errors` (field -> list of sentences).
"""

import errno
import logging
import re
import sys
import zlib
from gzip import GzipFile
from http import HTTPStatus
from io import BytesIO
from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.views import csrf, defaults
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from contacts.api.parsers import PayloadTooLarge
from contacts.db.outages import is_unavailable
from contacts.jobs.files import StoreUnavailable
from contacts.values import strict_json
from tenants.answers import Answer
from tenants.languages import PAGES

logger = logging.getLogger(__name__)

JSON_TYPE = re.compile(r"application/[^/]+\+json")  # RFC 6839, 3.1
MAX_BODY_BYTES = 128 * 1024
RETRY_AFTER = 1  # second
ACTION_PATH = re.compile("/(api/)?v1/actions/")
# The hosted service has many more actions: people take a client of it to this service.
NO_ACTION = (
    "There is no such action: this service keeps contacts only, and sends no messages. The page "
    "/docs lists its actions."
)
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

# Status -> (code, sentence). None means the sentence of the exception.
ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("malformed_json", None),
    401: ("unauthenticated", "Unauthenticated."),
    403: ("forbidden", None),
    404: ("not_found", None),
    405: ("method_not_allowed", None),
    409: ("not_finished", None),
    411: ("length_required", None),
    413: ("payload_too_large", None),
    415: ("unsupported_media_type", None),
    422: ("validation_failed", "The given data was invalid."),
    429: ("rate_limited", "Too many requests. Wait for the number of seconds in Retry-After."),
    500: ("server_error", "An error on the server. Its log has the details under the request id."),
    503: (
        "unavailable",
        "Temporarily unavailable. Try again after the number of seconds in Retry-After.",
    ),
}


def max_body_bytes(view: Any) -> int:
    """The largest body that `view` accepts, in bytes."""
    return getattr(view, "max_body_bytes", MAX_BODY_BYTES)


class AlwaysJSON(BaseContentNegotiation):
    """Content negotiation that always answers with JSON, whatever `Accept` says."""

    def select_parser(self, request: Request, parsers: list[BaseParser]) -> BaseParser | None:  # type: ignore[override]
        wanted = (request.content_type or "").partition(";")[0].strip().lower()
        if JSON_TYPE.fullmatch(wanted):
            wanted = "application/json"
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class UnknownEncoding(exceptions.APIException):
    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_detail = "Send the body without Content-Encoding, or with Content-Encoding: gzip."


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The first `most` bytes of what the request body `body` holds: a small body can unpack to more
    than the memory has. `encoding`: its Content-Encoding (RFC 9110, 8.4).

    Raises `UnknownEncoding`, and `ParseError` if the body is not gzipped or is cut off.
    """
    name = encoding.strip().lower()
    if name == "identity":
        return body
    if name not in ("gzip", "x-gzip"):
        raise UnknownEncoding
    try:
        return GzipFile(fileobj=BytesIO(body)).read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise exceptions.ParseError("The body is not gzip, or is cut off.") from error


class StrictJSONParser(BaseParser):
    """Parses a body that must be a JSON object, of at most `max_body_bytes` of the view.

    Raises `PayloadTooLarge` (413), `ParseError` (400) if the body is not JSON, and
    `ValidationError` (422) if it is JSON but not an object.
    """

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> dict[str, Any]:
        limit = max_body_bytes(parser_context["view"])
        body = stream.read(limit + 1)
        encoding = parser_context["request"].META.get("HTTP_CONTENT_ENCODING", "")
        if len(body) <= limit and encoding:
            body = unpacked(body, encoding, limit + 1)
        if len(body) > limit:
            raise PayloadTooLarge(limit)
        if not body:  # sent in chunks, all of them empty
            return {}
        try:
            data = strict_json.loads(body)
        except strict_json.MalformedJSON as error:
            raise exceptions.ParseError(str(error)) from error
        if data == []:  # as PHP writes an empty object
            return {}
        if not isinstance(data, dict):
            raise exceptions.ValidationError({"body": ["The body must be a JSON object."]})
        return data


def error_body(
    status: int, sentence: str = "", code: str = "", errors: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The body of every error response. `code` and `sentence` default to those of the status."""
    default_code, fixed_sentence = ERRORS[status]
    text = (not code and fixed_sentence) or sentence
    body: dict[str, Any] = {"error": text, "message": text, "code": code or default_code}
    if errors:
        body |= {"message": f"{text} {first_reason(errors)}", "errors": errors}
    return body


def first_reason(errors: dict[str, Any]) -> str:
    """The first reason in `errors` (field -> list of sentences), and how many more there are.

    Programs such as n8n show only `message`: without the reason, people do not learn what to do.
    """
    field, sentences = next(iter(errors.items()))
    more = sum(map(len, errors.values())) - 1
    return f"{field}: {sentences[0]}" + (f" (and {more} more)" if more else "")


def accepted_types(view: Any) -> str:
    """The sentence of a 415: which content types `view` accepts."""
    *others, last = [parser.media_type for parser in view.parser_classes]
    wanted = f"{', '.join(others)} or {last}" if others else last
    return f"Send the body as Content-Type: {wanted}."


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """DRF's `EXCEPTION_HANDLER`: gives DRF's response to `error` the error shape of this API.

    DRF does not handle outages and faults of the code. An outage gets 503. For a fault returns
    None: Django logs the traceback, and `server_error` answers.
    """
    # Imported here: rest_framework.views imports this module, because its settings name it.
    from rest_framework.views import exception_handler as standard_answer

    found = standard_answer(error, context)
    if found is None:
        return unavailable(context["request"], error) if is_outage(error) else None
    status = found.status_code
    if isinstance(error, exceptions.UnsupportedMediaType):
        body = error_body(status, accepted_types(context["view"]))
    elif isinstance(error, exceptions.ValidationError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        body = error_body(status, errors=found.data)
    else:
        code = getattr(error, "contract_code", "")
        body = error_body(status, str(found.data["detail"]), code)
    headers = {name: text for name, text in found.headers.items() if name != "Content-Type"}
    return Answer(body, status, headers)


def is_page(request: HttpRequest) -> bool:
    """Whether a person reads the response: only the admin consists of pages."""
    return request.path.startswith(PAGES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's `handler400`: requests that Django refuses before any view, such as a wrong Host."""
    if is_page(request):
        return defaults.bad_request(request, exception)
    is_host = isinstance(exception, DisallowedHost)
    part = "check the Host header" if is_host else "it has too many fields or files"
    body = error_body(400, f"The request was refused: {part}.", "bad_request")
    return JsonResponse(body, status=400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's `CSRF_FAILURE_VIEW`: an admin form that is too old, or a POST that is no form."""
    if is_page(request):
        return csrf.csrf_failure(request, reason)
    body = error_body(403, "This address does not accept requests that change data.")
    return JsonResponse(body, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's `handler404`: unknown URLs."""
    if is_page(request):
        return defaults.page_not_found(request, exception)
    sentence = NO_ACTION if ACTION_PATH.match(request.path_info) else "Not found."
    return JsonResponse(error_body(404, sentence), status=404)


def is_outage(error: BaseException | None) -> bool:
    """Whether `error` means that the database, the disk or the store of the files is not available
    at the moment. That is not a fault of the code."""
    if isinstance(error, OSError):
        return isinstance(error, StoreUnavailable) or error.errno in NO_SPACE
    return error is not None and is_unavailable(error)


def unavailable(request: Any, error: BaseException) -> HttpResponse:
    """The 503 response to a request that an outage has stopped. Logs the reason in one line.

    The line has the name of SQLite's error code (https://www.sqlite.org/rescode.html), because
    SQLite's message alone may mislead: on a full disk it can be "disk I/O error".
    """
    code = getattr(error.__cause__, "sqlite_errorname", None)
    reason = f"{error} ({code})" if code else str(error)
    logger.error("Answered 503: %s", " ".join(reason.split()))
    response = (
        HttpResponse(render_to_string("503.html"), status=503)
        if is_page(request)
        else JsonResponse(error_body(503), status=503)
    )
    response["Retry-After"] = str(RETRY_AFTER)
    response._has_been_logged = True  # type: ignore[attr-defined] # otherwise Django logs a second line
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`, for faults and for outages outside the API's views, such as in the
    admin. The response contains no detail; the request id leads to the log line."""
    error = sys.exception()
    if error and is_outage(error):
        return unavailable(request, error)
    if is_page(request):
        return defaults.server_error(request)
    return JsonResponse(error_body(500), status=500)
