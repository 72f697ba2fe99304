"""The parts of the OpenAPI document that belong to no operation: webhooks and shared components."""

import json
import re
from collections import Counter
from itertools import chain, count
from typing import Any

from contacts.api import fields
from contacts.finding import filters
from contacts.models import EVENTS, TEST_EVENT
from contacts.values import rules

Json = dict[str, Any]
MEANINGS = {
    "contact.created": "A contact was created.",
    "contact.updated": "Fields of a contact changed.",
    "contact.deleted": "A contact was deleted, or a person was erased.",
    "contact.merged": "A contact was merged into another contact.",
    "contact.opted_in": "A person opted in.",
    "contact.opted_out": "A person opted out.",
    "import.finished": "An import ended.",
    "webhook.test": "The webhook was created.",
}
SENT = [*EVENTS, TEST_EVENT]
TEXT = {"type": "string"}
ENVELOPE: Json = {
    "event": TEXT | {"enum": SENT},
    "id": TEXT | {"description": "The id of the delivery, the same on every retry."},
    "sequence": {
        "type": ["integer", "null"],
        "description": "The number of the change; null if no contact changed.",
    },
    "timestamp": TEXT | {"format": "date-time"},
    "tenant_id": TEXT,
}
SENT_HEADERS = {
    "X-Qyvo-Event": "The event.",
    "X-Qyvo-Webhook-Id": "The id of the webhook.",
    "X-Qyvo-Delivery-Id": "The id of the delivery, the same on every retry.",
    "X-Qyvo-Signature": "`t=` and the time of sending in Unix seconds, `,v1=` and the HMAC-SHA256 "
    "of the time, a dot and the raw body. Two `v1=` parts while the secret is being replaced.",
}

STANDARD_HEADERS = {
    "webhook-id": "As `X-Qyvo-Delivery-Id`.",
    "webhook-timestamp": "The time of sending in Unix seconds.",
    "webhook-signature": "The signature of Standard Webhooks, for its libraries.",
}
# Schema -> the schema that it begins with. Only what it adds is written out.
EXTENDS = {
    "FoundByKey": "ContactDetail",
    "ListedContact": "ContactDetail",
    "MergedContact": "ContactDetail",
    "NewWebhook": "ShownWebhook",
    "ContactEvent": "WebhookEvent",
    "ImportEvent": "WebhookEvent",
}
OBVIOUS = re.compile(r"The (body|answer) of [a-z-]+\.")  # a description of a schema
RECEIVED = {"2XX": "Received", "default": "NotReceived"}
# Status -> the name of its response in `components`. Short, because each operation has ten of them.
FAILURE_NAMES = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "411": "NoLength",
    "413": "TooLarge",
    "415": "WrongType",
    "422": "Invalid",
    "429": "RateLimited",
    "500": "ServerError",
}
PHONE_OR_NULL = fields.or_null(fields.PHONE) | {"minLength": 0}
AS_PHONE = {"description": "As `Phone`."}
# Fields that many bodies have: each is described once, under this name in `components`.
FIELDS: dict[str, Json] = {
    "ContactId": fields.CONTACT_ID,
    "Id": fields.ID,
    "Phone": fields.PHONE,
    "PhoneOrNull": PHONE_OR_NULL,
    "Tags": fields.TAGS,
    "Metadata": fields.METADATA,
    "EventName": TEXT | {"enum": EVENTS},
    "Email": fields.EMAIL,
    "Cursor": fields.CURSOR,
    "ShortText": fields.text(rules.MAX_NAME),
}


def finish(result: Json, **of_generator: Any) -> Json:
    """drf-spectacular's hook: adds the webhooks, and moves repeated parts into `components`."""
    components = result["components"]
    components["schemas"] = all_schemas(components["schemas"])
    components["responses"] = {
        "Received": {"description": "Received."},
        "NotReceived": {"description": "Not received: the delivery is tried again."},
    }
    result["webhooks"] = {event: webhook(event) for event in SENT}
    result["security"] = [{"token": []}]
    paths = [*result["paths"].values(), *result["webhooks"].values()]
    operations = [operation for path in paths for operation in path.values()]
    for operation in operations:
        share_parts(operation, components)
    share_answers(operations, components)
    return result


# Schemas


def all_schemas(found: Json) -> Json:
    """The schemas that drf-spectacular has found, and those of events, with what several of them
    have in common written out once."""
    for schema in found.values():
        shorten(schema)
    found |= event_bodies(found) | {"ContactFilter": filters.SCHEMA}
    schemas = {name: with_references(schema) for name, schema in found.items()}
    extended = {name: extension(schemas[name], base, schemas) for name, base in EXTENDS.items()}
    return schemas | extended | FIELDS | {"PhoneOrNull": PHONE_OR_NULL | AS_PHONE}


def shorten(schema: Json) -> None:
    if OBVIOUS.fullmatch(schema.get("description", "")):
        del schema["description"]
    properties = schema.get("properties", {})
    properties |= {name: with_said_default(field) for name, field in properties.items()}


def extension(schema: Json, base: str, schemas: Json) -> Json:
    """`schema` as the schema `base` and what it adds."""
    known = schemas[base]
    required = [name for name in schema["required"] if name not in known["required"]]
    new = schema["properties"].keys() - known["properties"].keys() | {*required}
    properties = {name: field for name, field in schema["properties"].items() if name in new}
    added = {"type": "object", "properties": properties, "required": required}
    said = {key: schema[key] for key in schema.keys() & {"description"}}
    return {"allOf": [reference("schemas", base), added]} | said


def with_references(schema: Any) -> Any:
    """`schema` with references to `FIELDS`, at any depth. A field with a description of its own
    keeps it."""
    if isinstance(schema, list):
        return [with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    for name, field in FIELDS.items():
        if field == schema or field == {k: v for k, v in schema.items() if k != "description"}:
            own = {k: v for k, v in schema.items() if k not in field}
            return reference("schemas", name) | own
    # `x-spec-enum-id` is a note of drf-spectacular to itself.
    return {k: with_references(v) for k, v in schema.items() if k != "x-spec-enum-id"}


def with_said_default(field: Json) -> Json:
    """`field` with its default in words: in openapi-typescript, a field with `default` must be
    sent."""
    if "default" not in field:
        return field
    kept, said = (
        {key: field[key] for key in field if key != "default"},
        field.get("description", ""),
    )
    if "Default:" not in said:
        said = f"{said} Default: {json.dumps(field['default'])}.".lstrip()
    return kept | {"description": said}


# Webhooks


def webhook(event: str) -> Json:
    operation = {
        "operationId": event,
        "summary": MEANINGS[event].rstrip("."),
        "description": "Answer with any 2xx status within 10 seconds.",
        "tags": ["Events"],
        "security": [],
        "parameters": [
            {"in": "header", "name": name, "required": True, "schema": TEXT, "description": meaning}
            for name, meaning in (SENT_HEADERS | STANDARD_HEADERS).items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference("schemas", body_of(event))}},
        },
        "responses": {code: reference("responses", name) for code, name in RECEIVED.items()},
    }
    return {"post": operation}


def body_of(event: str) -> str:
    """The name of the schema of the body that `event` is sent with."""
    kind, _, _ = event.partition(".")
    return f"{kind.title()}Event"


def event_bodies(schemas: Json) -> Json:
    """The schemas of deliveries, as `contacts.webhooks.payload` writes them."""
    contact = schemas["ContactDetail"]["properties"] | {"merged_into": TEXT}
    return {
        "DeliveredContact": body(
            {**contact}, ["id"], "A contact; of an erased person only the id is sent."
        ),
        "ContactEvent": of_event(
            "A contact changed.",
            changed={"type": "array", "items": TEXT, "description": "The fields that changed."},
            contact=reference("schemas", "DeliveredContact"),
        ),
        "ImportEvent": of_event("An import.", **{"import": reference("schemas", "ImportJob")}),
        "WebhookEvent": of_event("What every event has. A test has nothing else."),
    }


def of_event(meaning: str, **content: Json) -> Json:
    return body(ENVELOPE | content, [*ENVELOPE, *content], meaning)


def body(properties: Json, required: list[str], meaning: str) -> Json:
    return {
        "type": "object",
        "description": meaning,
        "properties": properties,
        "required": required,
    }


# Components


def share_parts(operation: Json, components: Json) -> None:
    """Replaces what `operation` has in common with others by references."""
    if parameters := operation.get("parameters"):
        operation["parameters"] = [
            shared("parameters", parameter["name"], parameter, components)
            for parameter in parameters
        ]
    if operation["security"]:  # that of the whole document; events have none
        del operation["security"]
    responses = operation["responses"]
    for content in [operation.get("requestBody", {}), *responses.values()]:
        for kind in content.get("content", {}).values():
            shorten_examples(kind)
    operation["responses"] = {
        ("5XX" if code == "500" else code): shared_response(code, response, components)
        for code, response in responses.items()
    }


def shared_response(code: str, response: Json, components: Json) -> Json:
    """`response` with references to its headers; a reference if it is an error."""
    if "headers" in response:
        response["headers"] = {
            name: shared("headers", name, header, components)
            for name, header in response["headers"].items()
        }
    if name := FAILURE_NAMES.get(code):
        return shared("responses", name, response, components)
    return response


def shorten_examples(content: Json) -> None:
    """One example needs no name, and no example needs the summary of drf-spectacular, which repeats
    the name."""
    for example in content.get("examples", {}).values():
        example.pop("summary", None)
    if len(content.get("examples", {})) == 1:
        content["example"] = next(iter(content.pop("examples").values()))["value"]


def share_answers(operations: list[Json], components: Json) -> None:
    """Moves answers that several operations give into `components`, named by the first of them."""
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    uses = Counter(map(json.dumps, answers))
    names: dict[str, str] = {}
    for operation in operations:
        for code, answer in operation["responses"].items():
            text = json.dumps(answer)
            if "$ref" not in answer and uses[text] > 1:
                name = names.setdefault(text, f"{operation['operationId']}.{code}")
                operation["responses"][code] = shared("responses", name, answer, components)


def shared(kind: str, name: str, part: Json, components: Json) -> Json:
    """A reference to `part` in `components`: under `name`, or with a number after it if another
    part has the name."""
    parts = components.setdefault(kind, {})
    names = chain([name], (f"{name}{number}" for number in count(2)))
    return reference(kind, next(n for n in names if parts.setdefault(n, part) == part))


def reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}
