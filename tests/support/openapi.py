"""The API's description, as tests compare answers with it."""

import json
from typing import Any

import jsonschema

VOLATILE = {
    "id", "created_at", "updated_at", "sequence", "contact_id", "actor", "request_id", "change_set",
    "at", "next_cursor", "started_at", "finished_at",
}  # fmt: skip


def operations(schema: Any) -> dict[str, Any]:
    """Name -> operation, with its shared responses, headers and parameters written out."""
    return {
        operation["operationId"]: written_out(operation, schema)
        for path in schema["paths"].values()
        for operation in path.values()
    }


def written_out(part: Any, schema: Any) -> Any:
    if isinstance(part, list):
        return [written_out(item, schema) for item in part]
    if not isinstance(part, dict):
        return part
    _, _, kind, name = part.get("$ref", "///").split("/")
    if kind in {"responses", "headers", "parameters"}:
        return written_out(schema["components"][kind][name], schema)
    return {key: written_out(value, schema) for key, value in part.items()}


def shape(schema: Any, content: Any) -> Any:
    """A validator for the schema of `content` (of a request body or a response)."""
    [json_schema] = [
        kind["schema"]
        for kind in content["content"].values()
        if kind.keys() & {"example", "examples"}
    ]
    return validator(schema, json_schema)


def validator(schema: Any, json_schema: Any) -> Any:
    return jsonschema.Draft202012Validator(
        json_schema | {"components": schema["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


class Ids:
    """The ids of examples, and those that the server has given instead."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}

    def learn(self, example: Any, answer: Any) -> None:
        """Pairs the ids of an example with those of the answer."""
        if isinstance(example, dict):
            for key in example.keys() & {"id", "change_set", "results"}:
                self.learn(example[key], answer[key])
        elif isinstance(example, list):
            for pair in zip(example, answer, strict=True):
                self.learn(*pair)
        elif example:
            self.given[example] = answer

    def in_place_of_examples(self, value: Any) -> Any:
        text = json.dumps(value)
        for example, given in self.given.items():
            text = text.replace(example, given)
        return json.loads(text)


def without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_volatile(v) for k, v in value.items() if k not in VOLATILE}
    return [without_volatile(item) for item in value] if isinstance(value, list) else value
