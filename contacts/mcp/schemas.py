"""The JSON Schemas of tools, from the OpenAPI document of the actions behind them.

Many clients know only a part of JSON Schema: the schema of an input is a plain object without
references, and the schema of an output is an object, too.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from rest_framework.serializers import Serializer

Schema = dict[str, Any]
TEXT_OR_NULL = {"type": ["string", "null"]}


def of_input(kind: type[Serializer], document: Mapping[str, Any]) -> Schema:
    """The schema of a body of the class `kind`; of its fields, if no action has this body."""
    schemas = document["components"]["schemas"]
    if kind.__name__ not in schemas:
        return {"type": "object", "properties": {n: of(f) for n, f in kind().fields.items()}}
    schema = resolved(schemas[kind.__name__], schemas)
    return {key: schema[key] for key in ("type", "properties", "required") if key in schema}


def of(field: Any) -> Schema:
    """The schema of an input field."""
    schema: Schema = field.schema
    return schema | ({"description": field.help_text} if field.help_text else {})


def of_output(kind: type[Serializer], document: Mapping[str, Any], *, is_list: bool) -> Schema:
    """The schema of an answer of the class `kind`, or of a page of them."""
    schemas = document["components"]["schemas"]
    schema = resolved(schemas[kind.__name__], schemas)
    return page_of(schema) if is_list else schema


def page_of(schema: Schema, **others: Schema) -> Schema:
    properties = {"data": {"type": "array", "items": schema}, "next_cursor": TEXT_OR_NULL} | others
    return {"type": "object", "properties": properties, "required": [*properties]}


def resolved(part: Any, schemas: Mapping[str, Schema]) -> Any:
    """`part` of the document with schemas in the place of references to them, and with one schema
    in the place of `allOf`."""
    if isinstance(part, list):
        return [resolved(item, schemas) for item in part]
    if not isinstance(part, dict):
        return part
    own = {key: resolved(value, schemas) for key, value in part.items()}
    bases = own.pop("allOf", [])
    if "$ref" in own:
        bases = [*bases, resolved(schemas[own.pop("$ref").rpartition("/")[2]], schemas)]
    return reduce(extended, bases, own)


def extended(schema: Schema, base: Schema) -> Schema:
    """`schema` with what it takes from `base`: an object has the properties of both."""
    both = {
        "properties": base.get("properties", {}) | schema.get("properties", {}),
        "required": [*dict.fromkeys([*base.get("required", []), *schema.get("required", [])])],
    }
    return base | schema | {key: value for key, value in both.items() if value}
