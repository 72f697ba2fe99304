"""How tests speak to the endpoint of the Model Context Protocol."""

import json
from typing import Any

from .api import Api

NEWEST = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def send(api: Api, method: str, params: dict[str, Any] | None = None, **headers: str) -> Any:
    """The response to a request of a client that has initialized."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return api.send(json.dumps(message), "/mcp", **headers)


def send_new(api: Api, method: str, params: dict[str, Any] | None = None, **headers: str) -> Any:
    """The response to a request of a client of the newest revision."""
    said = {"Mcp-Protocol-Version": NEWEST, "Mcp-Method": method}
    if name := (params or {}).get("name"):
        said["Mcp-Name"] = name
    return send(api, method, {**(params or {}), "_meta": META}, **said | headers)


def result(api: Api, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a call of `tool`."""
    response = send(api, "tools/call", {"name": tool, "arguments": arguments})
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()["result"]
    return found


def call(api: Api, tool: str, **arguments: Any) -> Any:
    """What `tool` answers, which is no refusal."""
    found = result(api, tool, **arguments)
    [content] = found["content"]
    assert not found["isError"], content
    assert json.loads(content["text"]) == found["structuredContent"]
    return found["structuredContent"]


def refusal(api: Api, tool: str, **arguments: Any) -> Any:
    """The error of the API that `tool` answers."""
    found = result(api, tool, **arguments)
    [content] = found["content"]
    assert found["isError"]
    assert "structuredContent" not in found
    return json.loads(content["text"])


def tools(api: Api) -> dict[str, Any]:
    """The tools that the token may call, by name."""
    listed = send(api, "tools/list").json()["result"]["tools"]
    return {tool["name"]: tool for tool in listed}
