"""The endpoint of the Model Context Protocol."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponseBase
from limits import RateLimitItem, RateLimitItemPerMinute
from rest_framework.exceptions import ParseError, PermissionDenied, ValidationError
from rest_framework.request import Request

from contacts.api.bulk import CreateContacts
from contacts.api.consistency import STRONG
from tenants.answers import JSON, Answer
from tenants.models import ApiToken
from tenants.throttling import RateLimit, limit_of
from tenants.views import TenantAPIView

from . import protocol
from .protocol import Fault, Message
from .tools import TOOLS, Tool

Json = dict[str, Any]
INSTRUCTIONS = (
    "The contacts of one company: one contact per phone. Use the id of a contact where you have "
    "it. Try what loses something with dry_run first."
)
# Of the request to the endpoint; the request to the action has its own, or none.
NOT_PASSED_ON = {"HTTP_CONTENT_ENCODING", "HTTP_IDEMPOTENCY_KEY", "HTTP_QYVO_POSITION"}


class OwnLimit(RateLimit):
    """300 requests a minute for each token, counted apart from the other requests to the API. A
    limit of the token itself goes before it."""

    scope = "mcp"
    default = RateLimitItemPerMinute(300)

    def limit(self, token: ApiToken) -> RateLimitItem | None:
        own = limit_of(token)
        return self.default if own and token.rate_limit is None else own


class Endpoint(TenantAPIView):
    """Answers one message of the Model Context Protocol. Keeps nothing between two messages.

    `openapi`: returns the OpenAPI document, of which tools take their schemas.
    """

    http_method_names = ["post"]
    scopes = ()  # each tool needs those of its action
    throttle_classes = [OwnLimit]
    max_body_bytes = CreateContacts.max_body_bytes
    schema = None
    openapi: Callable[[], Mapping[str, Any]] = dict  # the address sets it

    message_id: str | int | None = None
    revision = protocol.NEWEST  # until it is known that the client speaks another one

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_origin(request)
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> Answer:
        message = self.read(request)
        if message.id is None:
            return Answer(status=HTTPStatus.ACCEPTED)
        return Answer(envelope(message.id, result=self.result(message)))

    def read(self, request: Request) -> Message:
        try:
            message = protocol.read(cast("Json", request.data))
        except ParseError as error:
            raise Fault(protocol.PARSE_ERROR, str(error.detail)) from error
        except ValidationError as error:  # a batch, which only the oldest revision knows
            raise Fault(protocol.INVALID_REQUEST, "Send one JSON object: one message.") from error
        self.message_id = message.id
        self.revision = protocol.revision_of(message, request.headers)
        return message

    def result(self, message: Message) -> Json:
        methods = NEW_METHODS if self.revision == protocol.NEWEST else OLD_METHODS
        if message.method not in methods:
            raise Fault(protocol.METHOD_NOT_FOUND, f"There is no method {message.method}.")
        result = methods[message.method](self, message.params)
        if self.revision == protocol.NEWEST:
            return {"resultType": "complete", **result}
        return result

    def handle_exception(self, error: Exception) -> Any:
        if not isinstance(error, Fault):
            return super().handle_exception(error)
        answer = envelope(self.message_id, error=error.error())
        return Answer(answer, status=error.status(self.revision))

    # The methods, by their names in the tables below

    def discover(self, params: Json) -> Json:
        return self.about() | self.caching() | {
            "supportedVersions": [*protocol.REVISIONS],
            "_meta": {protocol.SERVER_KEY: self.server()},
        }  # fmt: skip

    def initialize(self, params: Json) -> Json:
        """Agrees on the revision that the client names, or else on the newest with `initialize`."""
        asked, known = params.get("protocolVersion"), protocol.WITH_INITIALIZE
        version = asked if asked in known else known[0]
        return self.about() | {"protocolVersion": version, "serverInfo": self.server()}

    def ping(self, params: Json) -> Json:
        return {}

    def list_tools(self, params: Json) -> Json:
        if params.get("cursor") is not None:
            raise Fault(protocol.INVALID_PARAMS, "There is one page of tools: send no cursor.")
        token, document = cast("ApiToken", self.request.auth), self.openapi()
        allowed = (tool for tool in TOOLS.values() if not token.lacking(tool.view.scopes))
        return self.caching() | {"tools": [tool.shown(document) for tool in allowed]}

    def call_tool(self, params: Json) -> Json:
        name, arguments = params.get("name"), params.get("arguments")
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None:
            raise Fault(protocol.INVALID_PARAMS, f"There is no tool {name}.")
        cast("Any", self.request._request).tool = tool.name  # for the access line
        if arguments is not None and not isinstance(arguments, dict):
            raise Fault(protocol.INVALID_PARAMS, "The arguments must be a JSON object.")
        return tool_result(tool, self.act(tool, arguments or {}))

    def act(self, tool: Tool, arguments: Json) -> HttpResponseBase:
        """The answer of the action behind `tool`, to a request of the same caller. It is not
        counted again."""
        body = JSON().render(tool.body(arguments))
        passed_on = {k: v for k, v in self.request.META.items() if k not in NOT_PASSED_ON}
        environ = passed_on | {
            "QUERY_STRING": "",
            "CONTENT_TYPE": JSON.media_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            # An assistant cannot send a position back, and reads what it has just written.
            "HTTP_QYVO_CONSISTENCY": STRONG,
        }
        return tool.view.as_view(throttle_classes=[])(WSGIRequest(environ))

    def about(self) -> Json:
        return {"capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}

    def server(self) -> Json:
        info = self.openapi()["info"]
        return {"name": "qyvo-contacts", "title": info["title"], "version": info["version"]}

    def caching(self) -> Json:
        """How long a client may keep the answer: the tools depend on the scopes of the token."""
        is_known = self.revision == protocol.NEWEST
        return {"ttlMs": 60_000, "cacheScope": "private"} if is_known else {}


EVERY_METHOD = {"tools/list": Endpoint.list_tools, "tools/call": Endpoint.call_tool}
NEW_METHODS = EVERY_METHOD | {"server/discover": Endpoint.discover}
OLD_METHODS = EVERY_METHOD | {"initialize": Endpoint.initialize, "ping": Endpoint.ping}


def envelope(message_id: str | int | None, **content: Json) -> Json:
    return {"jsonrpc": "2.0", "id": message_id, **content}


def tool_result(tool: Tool, response: Any) -> Json:
    """What an assistant reads of the action's answer; of a refusal, the error of the API."""
    is_error = response.status_code >= HTTPStatus.BAD_REQUEST
    data = response.data if isinstance(response, Answer) else json.loads(response.content)
    if tool.view.is_list and not is_error:
        data = {"data": data, "next_cursor": response.headers.get("Qyvo-Next-Cursor")}
    content = [{"type": "text", "text": JSON().render(data).decode()}]
    if is_error:
        return {"content": content, "isError": True}
    return {"content": content, "structuredContent": data, "isError": False}


def check_origin(request: Request) -> None:
    """Refuses web pages of other servers, unless the settings name them. The protocol demands this
    against DNS rebinding: an attacker lets the host name of a web page lead to this server, and the
    browser then lets the page read the answers. Raises `PermissionDenied`."""
    origin = request.META.get("HTTP_ORIGIN")
    known = {*getattr(settings, "CORS_ALLOWED_ORIGINS", ()), *settings.CSRF_TRUSTED_ORIGINS}
    if origin is None or origin in known or origin.partition("://")[2] == request.get_host():
        return
    raise PermissionDenied("This address does not accept requests of pages of other servers.")
