"""Messages of the Model Context Protocol: both kinds of clients, and what no client sends."""

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.mcp.tools import TOOLS, Tool
from tests.support.api import ME, Api, assert_error, remaining
from tests.support.cases import in_one_test
from tests.support.examples import FEW
from tests.support.mcp import META, NEWEST, send, send_new, tools

pytestmark = pytest.mark.django_db


def fields_of(tool: Tool) -> dict[str, Any]:
    return {**tool.view.input_class().fields}


OLD = ["2025-11-25", "2025-06-18", "2025-03-26"]


def test_a_client_of_the_newest_revision_discovers_the_server(api: Api) -> None:
    result = send_new(api, "server/discover").json()["result"]
    assert result["supportedVersions"] == [NEWEST, *OLD]
    assert result["capabilities"] == {"tools": {}}
    assert result["instructions"]
    assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
    assert result["ttlMs"] > 0
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "qyvo-contacts"
    listed = send_new(api, "tools/list").json()["result"]
    assert {tool["name"]: tool for tool in listed["tools"]} == tools(api)
    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "private")


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [*zip(OLD, OLD, strict=True), *((asked, OLD[0]) for asked in ("2024-11-05", NEWEST, 5, None))],
)
def test_a_client_that_initializes_gets_its_revision_or_the_newest(
    api: Api, asked: Any, agreed: str
) -> None:
    answer = send(api, "initialize", {"protocolVersion": asked})
    assert answer.status_code == 200
    assert "Mcp-Session-Id" not in answer.headers
    result = answer.json()["result"]
    assert result["protocolVersion"] == agreed
    assert result["serverInfo"]["name"] == "qyvo-contacts"
    assert result["capabilities"] == {"tools": {}}
    version = {"Mcp-Protocol-Version": agreed}
    assert send(api, "ping", {}, **version).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert "resultType" not in send(api, "tools/list", {}, **version).json()["result"]


@pytest.mark.parametrize("headers", [{}, {"Mcp-Protocol-Version": NEWEST}])
def test_a_notification_has_no_answer(api: Api, headers: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = api.send(json.dumps(message), "/mcp/", **headers)
    assert (answer.status_code, answer.content) == (202, b"")


REQUEST = {"jsonrpc": "2.0", "id": 7, "method": "ping"}


@in_one_test(
    ("body", "status", "code"),
    [
        ("{", 400, -32700),
        (b"\xff", 400, -32700),
        ("[" * 5000, 400, -32700),
        ("", 400, -32600),
        ("7", 400, -32600),
        (json.dumps([REQUEST]), 400, -32600),
        (json.dumps(REQUEST | {"jsonrpc": "1.0"}), 400, -32600),
        (json.dumps(REQUEST | {"method": 7}), 400, -32600),
        (json.dumps(REQUEST | {"params": []}), 400, -32600),
        (json.dumps(REQUEST | {"id": None}), 400, -32600),
        (json.dumps(REQUEST | {"id": True}), 400, -32600),
        (json.dumps(REQUEST | {"id": 1.5}), 400, -32600),
        (json.dumps({"jsonrpc": "2.0", "id": 7, "result": {}}), 400, -32600),
        (json.dumps(REQUEST | {"method": "resources/list"}), 200, -32601),
        (json.dumps(REQUEST | {"method": "server/discover"}), 200, -32601),
        (json.dumps(REQUEST | {"method": "tools/list", "params": {"cursor": "x"}}), 200, -32602),
        (json.dumps(REQUEST | {"method": "\ud800"}), 200, -32601),
        (json.dumps(REQUEST | {"method": "tools/call"}), 200, -32602),
        (json.dumps(REQUEST | {"method": "tools/call", "params": {"name": ["x"]}}), 200, -32602),
        (
            json.dumps(
                REQUEST | {"method": "tools/call", "params": {"name": "list_tags", "arguments": []}}
            ),
            200,
            -32602,
        ),
    ],
)
def test_a_message_that_is_none_gets_an_error(
    api: Api, body: str | bytes, status: int, code: int
) -> None:
    answer = api.send(body, "/mcp")
    error = answer.json()
    assert (answer.status_code, error["error"]["code"]) == (status, code)
    assert error["jsonrpc"] == "2.0"
    assert error["error"]["message"]
    assert error["id"] == (7 if status == 200 else None)


@in_one_test(
    ("method", "params", "headers", "status", "code"),
    [
        ("initialize", {}, {}, 404, -32601),
        ("ping", {}, {}, 404, -32601),
        ("tools/call", {"name": "send_message"}, {}, 400, -32602),
        ("tools/list", {"cursor": "x"}, {}, 400, -32602),
        ("tools/list", {}, {"Mcp-Method": "tools/call"}, 400, -32020),
        ("tools/list", {}, {"Mcp-Method": ""}, 400, -32020),
        ("tools/call", {"name": "list_tags"}, {"Mcp-Name": "delete_contact"}, 400, -32020),
        ("tools/call", {"name": "list_tags"}, {"Mcp-Name": "=?base64?x?="}, 400, -32020),
        ("tools/list", {}, {"Mcp-Protocol-Version": ""}, 400, -32020),
        ("tools/list", {}, {"Mcp-Protocol-Version": "2027-01-01"}, 400, -32020),
    ],
)
def test_headers_must_say_what_the_message_says(
    api: Api, method: str, params: dict[str, Any], headers: dict[str, str], status: int, code: int
) -> None:
    answer = send_new(api, method, params, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.json()


def test_a_revision_that_is_not_known_is_told_the_known_ones(api: Api) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    headers = {"Mcp-Protocol-Version": "2027-01-01", "Mcp-Method": "tools/list"}
    answer = send(api, "tools/list", {"_meta": meta}, **headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": [NEWEST, *OLD], "requested": "2027-01-01"}
    incomplete = send(api, "tools/list", {"_meta": {}}, **headers)
    assert (incomplete.status_code, incomplete.json()["error"]["code"]) == (400, -32602)


def test_a_header_may_be_written_in_base64(api: Api) -> None:
    name = f"=?base64?{base64.b64encode(b'list_tags').decode()}?="
    answer = send_new(api, "tools/call", {"name": "list_tags"}, **{"Mcp-Name": name})
    assert answer.json()["result"]["structuredContent"] == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("method", ["get", "delete", "put", "options"])
def test_only_messages_are_accepted(api: Api, method: str) -> None:
    answer = getattr(api.client, method)("/mcp", headers=api.headers)
    assert_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_a_caller_without_a_good_token_or_a_tenant_gets_the_error_of_the_api(
    db: None, outsider: SimpleNamespace
) -> None:
    for caller in (Api(), Api("qyvo_" + "a" * 43)):
        answer = send(caller, "tools/list")
        assert_error(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert_error(send(outsider.api, "tools/list"), 422, "no_workspace")


def test_a_page_of_another_server_is_refused(api: Api, settings: Any) -> None:
    for origin in ("https://evil.example", "null", "http://[", "testserver"):
        assert_error(send(api, "ping", Origin=origin), 403, "forbidden")
    assert send(api, "ping", Origin="http://testserver").status_code == 200
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    assert send(api, "ping", Origin="https://app.example").status_code == 200
    settings.ALLOWED_HOSTS = ["contacts.example"]
    rebound = send(api, "ping", Host="evil.example", Origin="http://evil.example")
    assert_error(rebound, 400, "bad_request")


def test_messages_have_a_limit_of_their_own(acme: SimpleNamespace, settings: Any) -> None:
    settings.RATELIMIT_DEFAULT = "120/minute"
    assert remaining(acme.api.get(ME)) == 119
    assert remaining(send(acme.api, "tools/call", {"name": "list_tags"})) == 299
    assert remaining(send(acme.api, "ping")) == 298
    assert remaining(acme.api.get(ME)) == 118
    acme.token.rate_limit = 1
    acme.token.save()
    refused = send(acme.api, "ping")
    assert_error(refused, 429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 0


texts = st.text(st.characters(exclude_categories=[]), max_size=9)  # half a surrogate pair, too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner),
    max_leaves=9,
)
INPUTS = sorted({name for tool in TOOLS.values() for name in {*tool.inputs, *fields_of(tool)}})


@FEW
@given(
    speak=st.sampled_from([send, send_new]),
    tool=st.sampled_from(sorted(TOOLS)),
    arguments=st.dictionaries(st.sampled_from(INPUTS), json_values) | json_values,
    others=st.dictionaries(st.sampled_from(["name", "_meta", "cursor"]), json_values, max_size=1),
)
def test_no_message_gets_a_5xx(
    api: Api, speak: Any, tool: str, arguments: Any, others: dict[str, Any]
) -> None:
    params = {"name": tool, "arguments": arguments} | others
    answer = speak(api, "tools/call", params)
    assert answer.status_code in {200, 400}
    assert answer.json()["jsonrpc"] == "2.0"
