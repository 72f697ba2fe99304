"""A hosted account: an MCP server of the initialize era, as bad as a test wants it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .receiver import answering

TOKEN = "0123abcd"


def person(number: int, **fields: Any) -> dict[str, Any]:
    """A contact as the service shows it."""
    moment = "2026-04-15T10:32:00.000000Z"
    return {
        "id": f"0197c2a0-0000-7000-8000-{number:012}", "phone": f"+1415555{number:04}",
        "name": f"Ann {number}", "email": None, "tags": ["vip"], "source": "shopify",
        "locale": None, "metadata": [], "opted_in_at": None, "opted_out_at": None,
        "last_message_at": None, "total_messages": 0, "created_at": moment, "updated_at": moment,
    } | fields  # fmt: skip


class Hosted:
    """`contacts`: of the account, the first page first. `before`: called with the number of each
    page before it is shown. `answers`: what the next requests get instead of their answer: a status
    with headers. `streams`: answers as events. `structured`: results as structured content."""

    def __init__(self, contacts: list[dict[str, Any]]) -> None:
        self.contacts = contacts
        self.before: Callable[[int], Any] = lambda page: None
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.streams = self.structured = False
        self.most = 100
        self.session, self.token = "one", TOKEN
        self.called: list[dict[str, Any]] = []
        answering = type("Answering", (Handler,), {"hosted": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def pages(self) -> list[int]:
        return [
            call["arguments"]["page"] for call in self.called if call["name"] == "list_contacts"
        ]

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            return {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {}}
        if method == "tools/list":
            names = ("search", "tag", "opted_in_only", "page", "per_page")
            schema = {"type": "object", "properties": {name: {} for name in names}}
            return {"tools": [{"name": "list_contacts", "inputSchema": schema}]}
        self.called.append(params)
        found = getattr(self, params["name"])(**params["arguments"])
        text = {"content": [{"type": "text", "text": json.dumps(found)}]}
        return {"structuredContent": found, "content": []} if self.structured else text

    def list_contacts(
        self, page: int = 1, per_page: int = 25, *, opted_in_only: bool = True
    ) -> dict[str, Any]:
        self.before(page)
        shown = [c for c in self.contacts if not (opted_in_only and c["opted_out_at"])]
        size, total = min(per_page, self.most), len(shown)
        meta = {"current_page": page, "last_page": -(-total // size), "per_page": size}
        return {"data": shown[(page - 1) * size : page * size], "meta": meta | {"total": total}}

    def get_contact(self, id: str) -> dict[str, Any]:  # noqa: A002 - the service's name
        [found] = [contact for contact in self.contacts if contact["id"] == id]
        return found | {"metadata": {"of": id[-1]}, "messages": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosted: Hosted

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        begins = message["method"] == "initialize"
        if refusal := self.refusal(begins=begins):
            status, headers = refusal
            self.answer(status, b"", **headers)
        elif "id" not in message:
            self.answer(202, b"")
        else:
            self.say(message, **({"Mcp-Session-Id": self.hosted.session} if begins else {}))

    def refusal(self, *, begins: bool) -> tuple[int, dict[str, str]] | None:
        if self.path != "/mcp":
            return 404, {}
        if self.headers["Authorization"] != f"Bearer {self.hosted.token}":
            return 401, {}
        if self.hosted.answers:
            return self.hosted.answers.pop(0)
        is_known = begins or self.headers["Mcp-Session-Id"] == self.hosted.session
        return None if is_known else (404, {})

    def say(self, message: dict[str, Any], **headers: str) -> None:
        result = self.hosted.result(message["method"], message["params"])
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        kind = "application/json"
        if self.hosted.streams:
            kind = "text/event-stream"
            other = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress"})
            body = f": hello\r\n\r\ndata: {other}\r\n\r\nevent: message\r\ndata: {body}\r\n\r\n"
        self.answer(200, body.encode(), **{"Content-Type": kind}, **headers)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def hosting(contacts: list[dict[str, Any]]) -> Iterator[Hosted]:
    hosted = Hosted(contacts)
    with answering(hosted.server):
        yield hosted
