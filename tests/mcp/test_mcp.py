"""The endpoint of the Model Context Protocol, as clients of both kinds speak to it."""

import json
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.factories import ContactFactory

pytestmark = pytest.mark.django_db
NEW = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def send(api: Api, method: str, params: dict[str, Any] | None = None, **headers: str) -> Any:
    """The answer to a request of a client that has initialized."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return api.send(json.dumps(message), "/mcp", **headers)


def send_new(api: Api, method: str, params: dict[str, Any] | None = None) -> Any:
    """The answer to a request of a client of the newest revision."""
    headers = {"Mcp-Protocol-Version": NEW, "Mcp-Method": method}
    if name := (params or {}).get("name"):
        headers["Mcp-Name"] = name
    return send(api, method, {**(params or {}), "_meta": META}, **headers)


def call(api: Api, tool: str, **arguments: Any) -> Any:
    answer = send(api, "tools/call", {"name": tool, "arguments": arguments})
    assert answer.status_code == 200, answer.content
    result = answer.json()["result"]
    [content] = result["content"]
    if not result["isError"]:
        assert json.loads(content["text"]) == result["structuredContent"]
    return json.loads(content["text"])


@pytest.mark.parametrize("speak", [send, send_new])
def test_contacts_are_listed_in_pages(acme, globex, speak) -> None:
    ContactFactory.create_batch(3, tenant=acme.tenant)
    ContactFactory.create(tenant=globex.tenant)
    params = {"name": "list_contacts", "arguments": {"page": 2, "per_page": 2}}
    answer = speak(acme.api, "tools/call", params)
    assert answer.status_code == 200, answer.content
    page = answer.json()["result"]["structuredContent"]
    assert len(page["data"]) == 1
    assert page["meta"] == {"current_page": 2, "last_page": 2, "per_page": 2, "total": 3}
