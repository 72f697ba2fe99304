"""Shapes in and out. Whatever comes from outside passes one of these."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from tenants.serializers import OrNull

from . import rules


class RuleField(serializers.Field):
    """An input that one of `rules` cleans.

    Left out, it is as empty as `null` or `""`; an error with `required=True`, and not there at
    all with `required=False`.
    """

    def __init__(self, rule: Callable[[Any], Any], **options: Any) -> None:
        self.rule = rule
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
    """A text to look for; empty: everything."""

    def __init__(self, what: str) -> None:
        super().__init__(lambda raw: rules.limited(what, raw, rules.MAX_NAME))


class PhoneField(RuleField):
    """A phone in any spelling; `region` in the serializer's context completes national ones."""

    def __init__(self, *, required: bool = True) -> None:
        super().__init__(
            lambda raw: rules.phone(raw, self.context.get("region")),
            required=required,
            error_messages={"required": "The phone is required."},
        )


class Timestamp(serializers.Field):
    """ISO 8601 in UTC, whole seconds, with the offset: 2026-05-07T08:14:23+00:00."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="seconds")


class ContactInput(serializers.Serializer):
    """The body of create-contact. Every field but the phone is emptied when left out."""

    phone = PhoneField()
    name = RuleField(rules.name)
    email = RuleField(rules.email)
    tags = RuleField(rules.tags)
    metadata = RuleField(rules.metadata)


class BatchInput(serializers.Serializer):
    """The body of create-contacts; its rows are cleaned one by one, a bad one fails alone."""

    contacts = RuleField(rules.batch, required=True)


class BatchRow(ContactInput):
    """One contact of a batch: the body of create-contact, and a `ref` for the caller's own use."""

    ref = RuleField(rules.ref)


class ContactKey(serializers.Serializer):
    """Which contact is meant: the first of `keys` that has a value says it.

    `validated_data["key"]` is that field with its value; the other keys are not looked at.
    """

    keys = ["contact_id", "phone"]

    contact_id = RuleField(rules.contact_id, required=False)
    phone = PhoneField(required=False)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        deciding = next((name for name in self.keys if data.get(name) not in (None, "")), None)
        if deciding is None:
            sentence = f"Send {' or '.join(self.keys)}: it says which contact is meant."
            raise serializers.ValidationError({self.keys[0]: [sentence]})
        others = {*self.keys} - {deciding}
        values = super().to_internal_value({k: v for k, v in data.items() if k not in others})
        if not values[deciding]:  # blanks only
            raise serializers.ValidationError({deciding: [f"The {deciding} is empty."]})
        return values | {"key": {deciding: values.pop(deciding)}}


class ContactLookup(ContactKey):
    """The body of get-contact."""

    keys = ["contact_id", "phone", "email"]

    email = RuleField(rules.email, required=False)


class ContactChanges(ContactKey):
    """The body of update-contact: what is left out stays as it is."""

    name = RuleField(rules.name, required=False)
    email = RuleField(rules.email, required=False)
    tags = RuleField(rules.tags, required=False)
    metadata = RuleField(rules.metadata_changes, required=False)


class TagOfContact(ContactKey):
    """The body of add-tag and remove-tag."""

    tag = RuleField(
        rules.required_tag, required=True, error_messages={"required": "The tag is required."}
    )


class TagSearch(serializers.Serializer):
    """The body of list-tags."""

    name = Sought("name")


class SearchInput(serializers.Serializer):
    """The body of search-contacts."""

    query = Sought("query")
    tag = Sought("tag")
    email = Sought("email")
    limit = RuleField(lambda raw: rules.limit(raw, most=50, default=50))
    cursor = RuleField(rules.cursor)


class ListInput(serializers.Serializer):
    """The body of list-contacts."""

    limit = RuleField(lambda raw: rules.limit(raw, most=500, default=100))
    cursor = RuleField(rules.cursor)
    updated_since = RuleField(rules.timestamp)
    tag = Sought("tag")


class ContactHead(serializers.Serializer):
    """What every answer about one contact begins with."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    tags = serializers.ListField(child=serializers.CharField())


class ContactSummary(ContactHead):
    """What create-contact answers: exactly these six keys."""

    created_at = Timestamp()


class UpdatedContact(ContactHead):
    """What update-contact answers."""

    updated_at = Timestamp()


class ContactDetail(serializers.Serializer):
    """What get-contact answers: all there is of a contact."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    source = serializers.CharField()  # type: ignore[assignment]
    locale = OrNull()
    metadata = serializers.JSONField()
    tags = serializers.ListField(child=serializers.CharField())
    opted_in_at = Timestamp(allow_null=True)
    opted_out_at = Timestamp(allow_null=True)
    last_message_at = Timestamp(allow_null=True)
    total_messages = serializers.IntegerField()
    created_at = Timestamp()


class FoundContact(serializers.Serializer):
    """One contact of search-contacts."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    source = serializers.CharField()  # type: ignore[assignment]
    tags = serializers.ListField(child=serializers.CharField())
    last_message_at = Timestamp(allow_null=True)
    created_at = Timestamp()


class ListedContact(ContactDetail):
    """One contact of list-contacts."""

    updated_at = Timestamp()


class TagSummary(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    contacts_count = serializers.IntegerField()
