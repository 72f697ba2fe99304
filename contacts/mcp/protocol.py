"""Messages of the Model Context Protocol over HTTP: their shape, revisions and faults.

A message is JSON-RPC 2.0. Clients of the revision 2026-07-28 send everything about themselves with
each request: in headers, which proxies read, and again in `_meta`. Older clients first call
`initialize`; this server keeps nothing of it, because it has no sessions.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
"""

import base64
import binascii
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

NEWEST = "2026-07-28"
# The revisions in which a client first calls `initialize`, the newest first. Clients of 2025-03-26
# do not send the header `Mcp-Protocol-Version`.
WITH_INITIALIZE = ("2025-11-25", "2025-06-18", "2025-03-26")
REVISIONS = (NEWEST, *WITH_INITIALIZE)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
STATUSES = {METHOD_NOT_FOUND: HTTPStatus.NOT_FOUND}  # others are 400

META = "io.modelcontextprotocol/"
VERSION_KEY = META + "protocolVersion"
CAPABILITIES_KEY = META + "clientCapabilities"
SERVER_KEY = META + "serverInfo"
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ENCODED = re.compile(r"=\?base64\?(.*)\?=")


class Fault(Exception):
    """A message that cannot be answered. `code`: of JSON-RPC, or of this protocol."""

    def __init__(self, code: int, sentence: str, data: Any = None) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.data = code, sentence, data

    def error(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.sentence}
        return error if self.data is None else error | {"data": self.data}

    def status(self, revision: str) -> int:
        """The HTTP status of the answer. Clients of older revisions read the error of a message
        that is well-formed with the status 200 only."""
        if revision != NEWEST:
            return HTTPStatus.OK
        return STATUSES.get(self.code, HTTPStatus.BAD_REQUEST)


class Message(NamedTuple):
    """A request, or a notification, which has no `id` and gets no answer."""

    method: str
    params: dict[str, Any]
    id: str | int | None = None

    @property
    def meta(self) -> dict[str, Any]:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}


def read(body: Mapping[str, Any]) -> Message:
    """The message of a JSON object. Raises `Fault`."""
    method, params = body.get("method"), body.get("params")
    if body.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise Fault(INVALID_REQUEST, 'Send "jsonrpc": "2.0" and the name of a method.')
    if params is not None and not isinstance(params, dict):
        raise Fault(INVALID_REQUEST, "The params must be a JSON object.")
    if "id" in body and (not isinstance(body["id"], str | int) or isinstance(body["id"], bool)):
        raise Fault(INVALID_REQUEST, "The id must be a text or a whole number.")
    return Message(method, params or {}, body.get("id"))


def revision_of(message: Message, headers: Mapping[str, str]) -> str:
    """The revision that the client speaks: its header says so. Raises `Fault` for a revision that
    is not known, and where headers and message disagree: a proxy may have judged by the headers."""
    named = message.meta.get(VERSION_KEY)
    revision = headers.get("Mcp-Protocol-Version") or ("" if named else WITH_INITIALIZE[-1])
    if revision in WITH_INITIALIZE:
        return revision
    if message.id is not None:
        check_envelope(message, headers)
    if revision != NEWEST:
        data = {"supported": [*REVISIONS], "requested": revision}
        raise Fault(UNSUPPORTED_VERSION, "This revision of MCP is not known here.", data)
    return revision


def check_envelope(message: Message, headers: Mapping[str, str]) -> None:
    """Checks what the newest revision adds to each request. Raises `Fault`."""
    if missing := [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in message.meta]:
        raise Fault(INVALID_PARAMS, f"The params need a _meta with {' and '.join(missing)}.")
    key = NAMED_BY.get(message.method)
    said = {
        "Mcp-Protocol-Version": message.meta[VERSION_KEY],
        "Mcp-Method": message.method,
        **({"Mcp-Name": message.params[key]} if key and key in message.params else {}),
    }
    for name, value in said.items():
        if decoded(headers.get(name, "")) != value:
            raise Fault(HEADER_MISMATCH, f"The header {name} does not say what the message says.")


def decoded(header: str) -> str | None:
    """The text of a header that may be written in base64, as texts beyond ASCII are; None if it is
    not base64."""
    if not (found := ENCODED.fullmatch(header)):
        return header
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
