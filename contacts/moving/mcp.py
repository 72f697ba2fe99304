"""A client of an MCP server over streamable HTTP, as far as calling tools needs one.

Source: modelcontextprotocol.io, specification 2025-06-18, "Transports" and "Tools". Servers of the
revisions 2024-11-05 to 2025-11-25 answer the same calls.
"""

import json
from collections.abc import Callable, Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from time import sleep, time
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

REVISION = "2025-06-18"
TIMEOUT = 60  # seconds without a byte of the answer
ATTEMPTS = 8  # for one request, if the server is busy or the network fails
MAX_WAIT = 600  # seconds between two attempts
MAX_ANSWER = 64 * 1024 * 1024  # bytes; a hundred contacts with 64 KiB of metadata come twice
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
SESSION = "Mcp-Session-Id"


class Refused(RuntimeError):
    """The server does not answer as an MCP server, or refuses a call. The message is for people."""


class TryLater(RuntimeError):
    """The same request may succeed later. `seconds`: when, if the server has said so."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class NoRedirect(HTTPRedirectHandler):
    """urllib would send the token to the address to which the server redirects."""

    def redirect_request(self, *args: Any) -> None:
        return None


class Client:
    """Calls tools of the MCP server at `url` with a bearer token.

    Waits as long as the rate limit of the server asks, and tries again after a fault of the network
    or the server. `on_wait`: called before each wait with the seconds and the reason.
    """

    def __init__(
        self, url: str, token: str, on_wait: Callable[[float, str], Any] = lambda *_: None
    ) -> None:
        self.url = url
        self.on_wait = on_wait
        self.opener = build_opener(NoRedirect)
        self.own_headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "User-Agent": "Qyvo-Contacts",
        }
        self.headers: dict[str, str] = {}  # those that `initialize` has agreed on
        self.number = 0
        self.has_answered = False

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that the tool answers. Raises `Refused`."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        return content_of(tool, result)

    def arguments_of(self, tool: str) -> dict[str, Any]:
        """The JSON Schema of each argument of the tool. Raises `Refused` if there is no such
        tool."""
        given: dict[str, Any] = {}
        while True:
            listed = self.request("tools/list", given)
            for each in listed.get("tools", []):
                if each.get("name") == tool:
                    return dict(each.get("inputSchema", {}).get("properties", {}))
            if not listed.get("nextCursor"):
                raise Refused(f"The server has no tool {tool}.")
            given = {"cursor": listed["nextCursor"]}

    # Requests

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of the call. Raises `Refused`."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not self.headers and method != "initialize":
                    self.initialize()
                self.number += 1
                called = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
                return result_of(method, self.post(called))
            except TryLater as problem:
                if attempt == ATTEMPTS:
                    raise Refused(f"{problem} It was tried {ATTEMPTS} times.") from problem
                self.wait(problem, attempt)
        raise AssertionError

    def wait(self, problem: TryLater, attempt: int) -> None:
        seconds = min(2.0**attempt if problem.seconds is None else problem.seconds, MAX_WAIT)
        self.on_wait(seconds, str(problem))
        sleep(seconds)

    def initialize(self) -> None:
        client = {"name": "qyvo-contacts", "version": "1"}
        params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client}
        agreed = self.request("initialize", params)
        self.headers["MCP-Protocol-Version"] = str(agreed.get("protocolVersion", REVISION))
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def post(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to `message`; empty for a notification."""
        request = Request(  # noqa: S310 - the command has checked the scheme
            self.url, json.dumps(message).encode(), self.own_headers | self.headers
        )
        try:
            with self.opener.open(request, timeout=TIMEOUT) as response:
                self.has_answered = True
                if session := response.headers.get(SESSION):
                    self.headers[SESSION] = session
                return answer_to(message, response) if "id" in message else {}
        except HTTPError as error:
            with error:
                self.has_answered = True
                self.refuse(error)
        except (OSError, HTTPException) as error:
            reason = f"{self.url} does not answer: {getattr(error, 'reason', None) or error!r}."
            # A wrong address does not become right while the command waits.
            raise TryLater(reason) if self.has_answered else Refused(reason) from error

    def refuse(self, error: HTTPError) -> NoReturn:
        """Raises the error for an answer that is no success."""
        status = error.code
        if status == 404 and SESSION in self.headers:
            self.headers = {}
            raise TryLater("The session is over.", 0)
        if status in TEMPORARY:
            raise TryLater(f"{self.url} answers {status}.", seconds_of(error.headers))
        if status in (301, 302, 303, 307, 308):
            raise Refused(f"{self.url} has moved to {error.headers.get('Location')}; name that.")
        if status in (401, 403):
            raise Refused(f"{self.url} refuses the token ({status}).")
        raise Refused(f"{self.url} answers {status}; is there an MCP server?")


def seconds_of(headers: Message) -> float | None:
    """The seconds of `Retry-After`, which is a number or a date (RFC 9110); None without one."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None


# Answers


def answer_to(message: dict[str, Any], response: Any) -> dict[str, Any]:
    """The JSON-RPC answer to `message` in the body, JSON or a stream of events. The server may send
    other messages before it, and leave a stream open after it."""
    is_stream = response.headers.get_content_type() == "text/event-stream"
    bodies = events(response) if is_stream else iter([response.read(MAX_ANSWER)])
    for body in bodies:
        try:
            found = json.loads(body)
        except ValueError as error:
            raise Refused("The server answers with something that is not JSON.") from error
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, dict) and each.get("id") == message["id"]:
                return each
    raise TryLater("The answer has ended before its end.")


def events(response: Any) -> Iterator[bytes]:
    """The data of each event (WHATWG, HTML, "Server-sent events")."""
    data: list[bytes] = []
    left = MAX_ANSWER
    while line := response.readline(left):
        left -= len(line)
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line.strip() and data:
            yield b"\n".join(data)
            data = []
    if data:
        yield b"\n".join(data)


def result_of(method: str, answer: dict[str, Any]) -> dict[str, Any]:
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        raise Refused(f"The server refuses {method}: {shortened(error.get('message'))}")
    if not isinstance(result, dict):
        raise Refused(f"The server answers {method} without a result.")
    return result


def content_of(tool: str, result: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in the result of a tool: as structured content, or else as text."""
    parts = [part for part in result.get("content") or [] if isinstance(part, dict)]
    texts = [str(part.get("text", "")) for part in parts if part.get("type") == "text"]
    if result.get("isError"):
        raise Refused(f"The tool {tool} refuses: {shortened(' '.join(texts))}")
    if isinstance(result.get("structuredContent"), dict):
        return dict(result["structuredContent"])
    for text in texts:
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    raise Refused(f"The tool {tool} answers without a JSON object.")


def shortened(text: Any) -> str:
    return str(text)[:500]
