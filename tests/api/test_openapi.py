"""The OpenAPI description: valid, complete and correct."""

import json
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from django.urls import get_resolver

from contacts.api.examples import EXAMPLES, ROMAIN
from contacts.api.urls import actions
from contacts.models import SavedView
from contacts.writing import former_phones
from tenants.examples import ME
from tests.support.api import CHANGE_SET, ON_A_CONTACT, PHONE, Api
from tests.support.openapi import Ids, operations, shape, without_volatile

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/openapi.json"


@pytest.fixture(scope="module")
def schema() -> Any:
    return Api().get(ADDRESS).json()


def examples(content: Any) -> list[Any]:
    kinds = content["content"].values()
    several = [e["value"] for kind in kinds for e in kind.get("examples", {}).values()]
    return several + [kind["example"] for kind in kinds if "example" in kind]


def test_the_schema_is_public_openapi_3_1_in_json_and_yaml(schema: Any) -> None:
    from drf_spectacular.validation import validate_schema

    assert schema["openapi"] == "3.1.0"
    validate_schema(schema)
    answer = Api("not a token").get("/api/v1/openapi.yaml")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/yaml")
    assert yaml.load(answer.content, yaml.CSafeLoader) == schema  # ten times as fast
    assert Api().get(ADDRESS).headers["Content-Type"] == "application/json"
    assert Api().send("{}", ADDRESS).status_code == 405


def test_the_schema_lists_exactly_the_served_addresses(schema: Any) -> None:
    served = {f"/api/v1/actions/{pattern.name}" for pattern in actions} | {"/api/v1/me"}
    served |= {"/api/v1/imports", "/api/v1/imports/{id}", "/api/v1/imports/{id}/errors"}
    served |= {"/api/v1/exports", "/api/v1/exports/{id}", "/api/v1/exports/{id}/file"}
    served |= {"/api/v1/bulk/{id}"}
    served |= {"/api/v1/webhooks", "/api/v1/webhooks/{id}"}
    verbs = ("rotate", "test", "deliveries", "replay")
    served |= {f"/api/v1/webhooks/{{id}}/{verb}" for verb in verbs}
    assert set(schema["paths"]) == served
    everything = {key for key in get_resolver().reverse_dict if isinstance(key, str)}
    of_itself = {"openapi.json", "openapi.yaml", "docs", "healthz", "readyz", "metrics", "landing"}
    of_itself |= {"mcp"}  # which describes its tools itself
    of_methods = {"create", "list", "get", "update", "delete"}  # of two addresses
    others = {name for name in WEBHOOKS if name.partition("-")[0] not in of_methods}
    assert others == {"rotate-webhook", "test-webhook", "replay-webhook"}
    others |= {"list-deliveries"}
    assert everything - of_itself - {"webhooks", "webhook"} == (
        {*operations(schema)} - WEBHOOKS | others
    )
    assert {*EXAMPLES, "me"} == {*operations(schema)}


FILES = {
    "create-import", "get-import", "get-import-errors", "create-export", "get-export",
    "get-export-file", "get-bulk",
}  # fmt: skip
OF_CONTACTS = {"list-changes", "merge-contacts", "undo", "remove-former-phone"}
OF_CONTACTS |= {"rename-tag", "merge-tags", "delete-tag"}
WEBHOOKS = {"create-webhook", "list-webhooks", "get-webhook", "update-webhook", "delete-webhook",
            "rotate-webhook", "test-webhook", "list-deliveries", "replay-webhook"}  # fmt: skip
OF_ID = FILES | WEBHOOKS
OF_ID -= {"create-import", "create-export", "create-webhook", "list-webhooks"}
READING = FILES | WEBHOOKS
READING -= {"create-import", "create-export", "create-webhook", "update-webhook", "rotate-webhook"}
READING -= {"test-webhook", "replay-webhook"}
CONFLICTING = {"get-import-errors", "get-export-file", "update-webhook", "undo"}
SUCCESS = {
    "create-contact": "201", "create-import": "202", "create-export": "202",
    "create-webhook": "201", "delete-webhook": "204", "test-webhook": "202",
} | dict.fromkeys(
    ["bulk-update", "bulk-delete", "rename-tag", "merge-tags", "delete-tag"], "202"
)  # fmt: skip


def test_every_operation_needs_a_token_and_lists_every_error(schema: Any) -> None:
    assert schema["security"] == [{"token": []}]
    for name, operation in operations(schema).items():
        assert "security" not in operation, "that of the document counts"
        assert operation["summary"]
        success = {SUCCESS.get(name, "200")} | ({"202"} if name == "undo" else set())
        assert set(operation["responses"]) == success | failures(name, operation), name


def failures(name: str, operation: Any) -> set[str]:
    """The errors that the operation may answer."""
    if name == "me":
        return {"401", "429", "5XX"}
    found = {"401", "403", "422", "429", "5XX"}
    if name not in READING:
        found |= {"400", "413", "415"}
    if name in (ON_A_CONTACT.keys() | OF_CONTACTS | OF_ID):
        found |= {"404"}
    if name == "create-import":
        found |= {"411"}
    if name in CONFLICTING or takes_key(operation):
        found |= {"409"}
    return found


def takes_key(operation: Any) -> bool:
    return any(given["name"] == "Idempotency-Key" for given in operation.get("parameters", []))


def test_what_changes_something_takes_a_key(schema: Any) -> None:
    read_only = {"me", "get-contact", "search-contacts", "list-contacts", "list-changes"}
    read_only |= {"get-contacts", "list-fields", "list-tags", "list-views"}
    read_only |= {"list-webhooks", "get-webhook", "list-deliveries"}
    read_only |= {"update-webhook", "delete-webhook"}  # repeating them changes nothing more
    read_only |= {"get-import", "get-import-errors", "get-export", "get-export-file", "get-bulk"}
    found = {name for name, operation in operations(schema).items() if not takes_key(operation)}
    assert found == read_only


def test_every_example_matches_its_schema(schema: Any) -> None:
    for operation in operations(schema).values():
        for content in [operation.get("requestBody"), *operation["responses"].values()]:
            if content and "content" in content:  # the response to a deletion has no content
                assert examples(content)
                for example in examples(content):
                    shape(schema, content).validate(example)


def test_the_server_answers_like_every_example(acme: SimpleNamespace, schema: Any) -> None:
    ids = Ids()
    [view] = EXAMPLES["list-views"][1]
    SavedView.objects.create(
        tenant=acme.tenant, actor="", name=view["name"], filter=view["filter"], is_shared=True
    )
    for name, (body, expected) in EXAMPLES.items():
        if name in FILES | WEBHOOKS:
            continue
        assert isinstance(body, dict)
        answer = acme.api.act(name, **ids.in_place_of_examples(body))
        if name == "create-contact":
            former_phones.insert(acme.tenant.contacts.get(), ["+14155550199"])
        ids.learn(expected, answer.json())
        assert without_volatile(answer.json()) == without_volatile(
            ids.in_place_of_examples(expected)
        ), name
        described = operations(schema)[name]["responses"][str(answer.status_code)]
        shape(schema, described).validate(answer.json())
    me = acme.api.get("/api/v1/me").json()
    assert list(me) == list(ME)
    body, expected = EXAMPLES["create-webhook"]
    made = acme.api.send(json.dumps(body), "/api/v1/webhooks").json()
    assert list(made) == list(expected)
    assert without_volatile(made | {"secret": ""}) == without_volatile(expected | {"secret": ""})
    described = operations(schema)["create-webhook"]["responses"]["201"]
    shape(schema, described).validate(made)
    shape(schema, operations(schema)["me"]["responses"]["200"]).validate(me)


def test_the_body_is_required_if_the_operation_needs_it(schema: Any, api: Api) -> None:
    for name, operation in operations(schema).items():
        if name in EXAMPLES.keys() - FILES - WEBHOOKS:
            is_required = operation["requestBody"].get("required", False)
            assert is_required is (api.act(name).status_code == 422), name


def test_the_server_gives_every_error_in_the_schema(
    schema: Any, acme: SimpleNamespace, outsider: SimpleNamespace, settings: Any
) -> None:
    limits = {"create-contacts": 8 * 1024 * 1024, "get-contacts": 2 * 1024 * 1024}
    elsewhere: dict[str, Any] = {"contact_id": ROMAIN["id"], "tag": "beta", "status": "opted_in"}
    elsewhere |= {"new_tag": "x", "into": "x"}
    elsewhere |= {"merge_ids": [CHANGE_SET], "change_set": CHANGE_SET, "phone": "+14155550199"}
    only: dict[str, Any] = {"merge-tags": {"tags": ["beta"]}}
    for name, operation in operations(schema).items():
        if name == "me" or name in FILES | WEBHOOKS:
            continue
        settings.RATELIMIT_DEFAULT = ""
        path = f"/api/v1/actions/{name}"
        answers = {
            "400": [acme.api.send("x", path)],
            "401": [Api().send("{}", path)],
            "404": [acme.api.act(name, **elsewhere | only.get(name, {}))],
            "413": [acme.api.send(" " * (limits.get(name, 128 * 1024) + 1), path)],
            "415": [acme.api.send("x", path, content_type="text/plain")],
            "422": [acme.api.create("+1 415"), outsider.api.send("{}", path)],
        }
        settings.RATELIMIT_DEFAULT = "1/hour"
        acme.api.send("{}", path)
        answers["429"] = [acme.api.send("{}", path)]
        for status, given in answers.items():
            if status in operation["responses"]:
                expected = [answer.json() for answer in given]
                assert examples(operation["responses"][status]) == expected, (name, status)


def test_our_own_headers_are_described(schema: Any) -> None:
    def described(name: str, status: str) -> set[str]:
        return {*operations(schema)[name]["responses"][status].get("headers", {})}

    limits = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    assert described("create-contact", "201") == {"Qyvo-Result", "Qyvo-Former-Phone"}
    assert described("create-contact", "401") == set()
    assert described("create-contact", "429") == {"Retry-After"} | limits
    assert described("create-contact", "5XX") == {"X-Request-Id", "Retry-After"}
    assert {"Link", "Qyvo-Next-Cursor"} <= described("search-contacts", "200")
    for header in {"X-Request-Id"} | limits:
        assert f"`{header}`" in schema["info"]["description"], "each answer has it"


def test_the_document_is_small_and_says_nothing_twice(schema: Any) -> None:
    """Language models and generators read all of it."""
    assert len(Api().get(ADDRESS).content) < 121_500
    uses = Counter(re.findall(r'"#/(components/[^"]+)"', json.dumps(schema)))
    for kind, parts in schema["components"].items():
        texts = [json.dumps(part, sort_keys=True) for part in parts.values()]
        assert len({*texts}) == len(texts), kind
        if kind != "securitySchemes":
            assert {name for name in parts if not uses[f"components/{kind}/{name}"]} == set()


@pytest.mark.parametrize(
    ("value", "fits"),
    [("+1", True), ("x" * 2048, True), ("x" * 2049, False), ("", False), (None, False), (1, False)],
)
def test_the_schema_of_a_body_refuses_the_same_values_as_the_server(
    schema: Any, value: Any, fits: bool
) -> None:
    body = shape(schema, operations(schema)["create-contact"]["requestBody"])
    assert body.is_valid({"phone": value}) is fits


def test_the_schema_ignores_surrounding_spaces_like_the_server(api: Api, schema: Any) -> None:
    body = shape(schema, operations(schema)["create-contact"]["requestBody"])
    for length, fits in [(255, True), (256, False)]:
        fields = {"phone": "+14155550123", "name": f"  {'x' * length}\n", "tags": [" a "]}
        assert body.is_valid(fields) is fits
        assert (api.create(**fields).status_code == 201) is fits


def test_generators_of_clients_understand_every_body(schema: Any) -> None:
    """From `anyOf` beside `properties` they make classes that lose fields; an alternative that is
    an empty text does not compile."""
    for name, operation in operations(schema).items():
        for kind in operation.get("requestBody", {"content": {}})["content"].values():
            part = schema["components"]["schemas"][kind["schema"]["$ref"].rpartition("/")[2]]
            assert not {"anyOf", "oneOf", "allOf", "if"} & {*part}, name
            assert "anyOf" not in str(part), name
    assert [server["url"] for server in schema["servers"]] == ["/"]


@pytest.mark.parametrize(
    "key", [{}, {"phone": None}, {"phone": "", "contact_id": ""}, {"name": "x"}]
)
def test_a_body_without_a_key_does_not_fit(schema: Any, key: Any) -> None:
    body = shape(schema, operations(schema)["update-contact"]["requestBody"])
    assert not body.is_valid(key)
    assert body.is_valid(key | {"phone": PHONE})


def test_the_schema_contains_no_internal_names(schema: Any) -> None:
    assert not re.search(r"validated_data|Serializer|`rules|contacts\.[a-z]", str(schema))
