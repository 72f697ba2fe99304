"""The API's description, as tests compare answers with it."""

from typing import Any

import jsonschema

VOLATILE = {
    "id", "created_at", "updated_at", "sequence", "contact_id", "actor", "request_id", "change_set",
    "at", "next_cursor",
}  # fmt: skip


def operations(schema: Any) -> dict[str, Any]:
    return {
        operation["operationId"]: operation
        for path in schema["paths"].values()
        for operation in path.values()
    }


def shape(schema: Any, content: Any) -> Any:
    """A validator for the schema of `content` (of a request body or a response)."""
    [json_schema] = [kind["schema"] for kind in content["content"].values() if "examples" in kind]
    return jsonschema.Draft202012Validator(
        json_schema | {"components": schema["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_volatile(v) for k, v in value.items() if k not in VOLATILE}
    return [without_volatile(item) for item in value] if isinstance(value, list) else value
