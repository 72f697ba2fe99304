"""A check of schemathesis: bad bodies are refused, unless the server reads them leniently.

The schema tells what to send, for generators of clients. The server reads more: "" and null as no
value. In a form every value is sent as a text, so that types do not count.
"""

from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.support.openapi import validator


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
    if not content or not isinstance(case.body, dict):
        return False
    given = without_empty(case.body)
    if case.media_type == "multipart/form-data":
        given = only_texts(given, schema["components"]["schemas"]["ImportForm"]["properties"])
    return bool(validator(schema, content["schema"]).is_valid(given))


def without_empty(body: Any) -> Any:
    if isinstance(body, list):
        return [without_empty(item) for item in body]
    if isinstance(body, dict):
        return {key: without_empty(value) for key, value in body.items() if value not in ("", None)}
    return body


def only_texts(form: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """The fields of `form` that are texts; every value of the others is sent as a text, too."""
    return {
        name: value
        for name, value in form.items()
        if isinstance(value, str | bytes) and properties.get(name, {}).get("type") == "string"
    }
