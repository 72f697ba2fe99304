"""The parts of the OpenAPI document that belong to no operation: webhooks and shared components."""

import json
import re
from http import HTTPStatus
from typing import Any

from contacts.finding import filters
from contacts.models import EVENTS, TEST_EVENT

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

# Status -> the name of its response in `components`: NotFound for 404.
FAILURE_NAMES = {
    str(int(status)): re.sub(r"\W", "", status.phrase.title())
    for status in HTTPStatus
    if status >= 400
}


def finish(result: Json, **of_generator: Any) -> Json:
    """drf-spectacular's hook: adds the webhooks, and moves repeated parts into `components`."""
    components = result["components"]
    for schema in components["schemas"].values():
        fields = schema.get("properties", {})
        fields |= {name: with_said_default(field) for name, field in fields.items()}
    components["schemas"] |= event_bodies(components["schemas"])
    components["schemas"]["ContactFilter"] = filters.SCHEMA
    result["webhooks"] = {event: webhook(event) for event in SENT}
    for path in [*result["paths"].values(), *result["webhooks"].values()]:
        for operation in path.values():
            share_parts(operation, components)
    return result


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
        "description": f"{MEANINGS[event]} Answer with any 2xx status within 10 seconds.",
        "tags": ["Events"],
        "security": [],
        "parameters": [
            {"in": "header", "name": name, "required": True, "schema": TEXT, "description": meaning}
            for name, meaning in SENT_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference("schemas", body_of(event))}},
        },
        "responses": {
            "2XX": {"description": "Received."},
            "default": {"description": "Not received: the delivery is tried again."},
        },
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
        "WebhookEvent": of_event("A test."),
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
    operation["parameters"] = [
        shared("parameters", parameter["name"], parameter, components)
        for parameter in operation.get("parameters", [])
    ]
    if not operation["parameters"]:
        del operation["parameters"]
    for code, response in operation["responses"].items():
        if "headers" in response:
            response["headers"] = {
                name: shared("headers", name, header, components)
                for name, header in response["headers"].items()
            }
        if code in FAILURE_NAMES:
            operation["responses"][code] = shared(
                "responses", FAILURE_NAMES[code], response, components
            )


def shared(kind: str, name: str, part: Json, components: Json) -> Json:
    """A reference to `part` in `components`; `part` itself if another part has this name."""
    is_same = components.setdefault(kind, {}).setdefault(name, part) == part
    return reference(kind, name) if is_same else part


def reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}
