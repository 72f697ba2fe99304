"""A check of schemathesis: bad bodies are refused, unless the server reads them leniently.

The schema tells what to send, for generators of clients. The server reads more: "" and null as no
value, numbers where text is asked, numbers and booleans as text, [] as an empty object, and in a
filter a text with commas as a list. In a form every value is sent as a text, so that types do not
count.
"""

import re
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.support.openapi import validator

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Gives each request a key of its own: one that was used before would get its first answer
    again, which may name a webhook that has been deleted since. Only where requests follow each
    other: after a change of its headers, schemathesis no longer knows which header a request to
    one address has left out."""
    follows = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
    if follows and re.fullmatch("[!-~]{1,255}", (case.headers or {}).get(KEY, "")):
        case.headers[KEY] = uuid4().hex


@schemathesis.check
def bad_bodies_are_refused(ctx: Any, response: Any, case: Any) -> bool | None:
    try:
        return negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        if fails_alone(response) or fits(case):
            return None
        raise


def fails_alone(response: Any) -> bool:
    """Whether a bad row of a batch was refused, beside the good ones."""
    body = response.json()
    return isinstance(body, dict) and bool(body.get("results")) and body["failed"] > 0


def fits(case: Any) -> bool:
    """Whether the body fits the schema, read as the server reads it."""
    schema = case.operation.schema.raw_schema
    body = case.operation.definition.raw.get("requestBody", {"content": {}})
    content = body["content"].get(case.media_type)
    sent = {} if case.body == [] else case.body
    if not content or not isinstance(sent, dict):
        return False
    given = without_empty(sent)
    if case.media_type == "multipart/form-data":
        given = only_texts(given, schema["components"]["schemas"]["ImportForm"]["properties"])
    else:
        given = as_read(given, content["schema"], schema["components"]["schemas"])
    return bool(validator(schema, content["schema"]).is_valid(given))


def without_empty(body: Any) -> Any:
    if isinstance(body, list):
        return [without_empty(item) for item in body]
    if isinstance(body, dict):
        return {key: without_empty(value) for key, value in body.items() if value not in ("", None)}
    return body


def as_read(
    value: Any, schema: dict[str, Any], named: dict[str, Any], in_filter: bool = False
) -> Any:
    """The value in the type that its `schema` asks for. `named`: the schemas that others refer
    to."""
    if "$ref" in schema:
        schema = named[schema["$ref"].rpartition("/")[2]]
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else {*types}
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return {
            key: as_read(item, fields.get(key, {}), named, in_filter or key == "filter")
            for key, item in value.items()
        }
    if in_filter and isinstance(value, str) and types == {"array"}:
        value = value.split(",")
    if isinstance(value, list) and (value or "object" not in types):
        return [as_read(item, schema.get("items", {}), named) for item in value]
    return {} if isinstance(value, list) else one_as_read(value, types)


def one_as_read(value: Any, types: set[str]) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not {"number", "integer"} & types:
        return str(value) if "string" in types else value
    if isinstance(value, str) and "string" not in types:
        if "integer" in types and value.strip().isdecimal():
            return int(value)
        if "boolean" in types:
            return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def only_texts(form: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """The fields of `form` that are texts; every value of the others is sent as a text, too."""
    return {
        name: value
        for name, value in form.items()
        if isinstance(value, str | bytes) and properties.get(name, {}).get("type") == "string"
    }
