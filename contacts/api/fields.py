"""The fields of bodies and answers, each with the JSON Schema that the OpenAPI document shows."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from rest_framework import serializers
from rest_framework.fields import Field

from contacts import schema
from contacts.finding import filters
from contacts.models import Change
from contacts.schema import Kind, Shape
from contacts.values import rules
from tenants.serializers import OrNull

Schema = dict[str, Any]  # a JSON Schema, in the dialect of OpenAPI 3.1


def or_null(schema: Schema) -> Schema:
    """A schema that also allows null, which means an empty value.

    "" means the same, but no schema says so: generators of clients cannot write the type "a date,
    or an empty text".
    """
    return schema | {"type": [schema["type"], "null"]}


def trimmed(most: int, of: str = r"[\s\S]") -> Schema:
    """A string of at most `most` characters; whitespace at both ends does not count.

    `of`: the allowed characters, as a character class of a regular expression.
    """
    return {"type": "string", "pattern": rf"^\s*{of}{{0,{most}}}\s*$"}


def text(most: int) -> Schema:
    """A string of at most `most` characters, or null."""
    description = f"At most {most} characters after trimming."
    return trimmed(most) | {"type": ["string", "null"], "description": description}


@cache
def shared(kind: type[serializers.Serializer], region: str = "") -> serializers.Serializer:
    """The serializer of the class `kind`, made once for all callers with the same default region.

    Making a serializer costs as much as reading a body. Sharing is safe, because serializers that
    read with `run_validation` and show with `to_representation` keep no values.
    """
    return kind(context={"region": region})


ULID_OR_UUID = (
    "^([0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
    "|[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}|)$"
)
CONTACT_ID = {
    "type": ["string", "null"],
    "pattern": ULID_OR_UUID,
    "description": "A ULID, in upper or lower case, or the same id as a UUID. Preferred to "
    "the phone if both are sent.",
}
ID = {"type": "string", "minLength": 1, "pattern": ULID_OR_UUID}
PHONE = {
    "type": "string",
    "minLength": 1,
    "maxLength": rules.MAX_PHONE,
    "description": "In any spelling, also as a WhatsApp id or link. The country code, after `+` or "
    "`00`, may only be missing if your tenant has a default region. At most 64 characters once a "
    "link or a prefix is taken off.",
}
EMAIL = or_null({"type": "string", "format": "email", "maxLength": rules.MAX_EMAIL})
TAG = trimmed(rules.MAX_TAG, of="[^,]")
TAGS = {
    "type": ["array", "string", "null"],
    "items": TAG,
    "description": f"A comma-separated string or a list; at most {rules.MAX_TAGS} tags. The order "
    "is kept, repeated tags are dropped, and unknown tags are created.",
}
METADATA = or_null({"type": "object", "additionalProperties": True}) | {
    "description": f"At most {rules.MAX_METADATA_BYTES:,} bytes as compact JSON and "
    f"{rules.MAX_METADATA_DEPTH} levels deep."
}
MOMENT = or_null({"type": "string", "format": "date-time"})
CONSENT_STATUS = [Change.Kind.OPTED_IN.value, Change.Kind.OPTED_OUT.value]
FLAG = or_null({"type": "boolean"}) | {"default": False}
CURSOR = {
    "type": ["string", "null"],
    "description": "Where the page begins: the cursor of the answer before. Send the same filters "
    "as before with it.",
}


class RuleField(serializers.Field):
    """An input field. `rule` checks the value; `schema` describes the allowed values to callers.

    If the caller leaves the field out: without the option `required`, the value is empty, as for
    null and ""; with `required=True` the answer is an error; with `required=False` the checked
    values do not contain the field.
    """

    def __init__(self, rule: Callable[[Any], Any], schema: Schema, **options: Any) -> None:
        self.rule = rule
        self.schema = schema
        if "required" not in options:
            options["default"] = lambda: rule(None)
        super().__init__(**options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is serializers.empty:
            return super().run_validation(data)
        return self.to_internal_value(data)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.rule(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error


class Sought(RuleField):
    """A text to search for; an empty text matches everything.

    `what`: the name of the field, for the sentence of an error.
    """

    def __init__(self, what: str) -> None:
        super().__init__(lambda raw: rules.limited(what, raw, rules.MAX_NAME), text(rules.MAX_NAME))


class FilterField(RuleField):
    """Which contacts, see `contacts.finding.filters`; the OpenAPI document has the schema once."""

    def __init__(self, rule: Callable[[Any], Any] = filters.check, **options: Any) -> None:
        super().__init__(rule, {"$ref": "#/components/schemas/ContactFilter"}, **options)


class LimitField(RuleField):
    """The number of entries on a page, at most `most`. Without a `default`, it may be left out."""

    def __init__(self, most: int, default: int | None = None) -> None:
        schema = or_null({"type": "integer", "minimum": 1, "maximum": most})
        if default:
            schema |= {"default": default}
        super().__init__(lambda raw: rules.limit(raw, most, default), schema)


class PhoneField(RuleField):
    """A phone in any spelling. `region` in the serializer's context completes national numbers."""

    def __init__(self, *, required: bool = True) -> None:
        super().__init__(
            lambda raw: rules.phone(raw, self.context.get("region")),
            PHONE if required else PHONE | {"type": ["string", "null"], "minLength": 0},
            required=required,
            error_messages={"required": "The phone is required."},
        )


class TagNames(serializers.ListField):
    """The names of a contact's tags in an answer, in the order in which they were given."""

    child = serializers.CharField()


class Timestamp(serializers.Field):
    """A time in an answer: ISO 8601, UTC, whole seconds, with offset: 2026-05-07T08:14:23+00:00."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="seconds")


# The fields of a contact, as `contacts.schema` declares them

# In JSON Schema; the others are plain texts.
SCHEMAS = {"email": EMAIL, "tags": TAGS, "metadata": METADATA}
ORDER = ("phone", "name", "email", "source", "locale", "metadata")  # of answers, then the others


def inputs(shape: Shape, **options: Any) -> dict[str, Field]:
    """The fields of a body of this shape. `options`: see `RuleField`."""
    return {
        field.name: input_field(field, **options)
        for field in schema.FIELDS
        if shape in field.shapes
    }


def input_field(field: schema.Field, **options: Any) -> Field:
    if field.name == "phone":
        return PhoneField(**options)
    of_field = SCHEMAS.get(field.name) or text(field.max_length or 0)
    return RuleField(cast("schema.Rule", field.rule), of_field, **options)


def outputs(shape: Shape) -> dict[str, Field]:
    """The fields of an answer of this shape, in the order of the public API."""
    return {
        field.name: output_field(field) for field in schema.fields(*ORDER) if shape in field.shapes
    }


def output_field(field: schema.Field) -> Field:
    match field.kind:
        case Kind.NUMBER:
            return serializers.IntegerField()
        case Kind.MOMENT:
            return Timestamp(allow_null=not field.is_required)
        case Kind.TAGS:
            return serializers.ListField(child=serializers.CharField())
        case Kind.METADATA:
            return serializers.DictField()
        case _:
            return serializers.CharField() if field.is_required else OrNull()
