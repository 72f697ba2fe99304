"""Shapes in and out. Whatever comes from outside passes one of these."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from tenants.serializers import OrNull

from . import rules


class RuleField(serializers.Field):
    """An input that one of `rules` cleans. Left out, it is as empty as `null` or `""`."""

    def __init__(self, rule: Callable[[Any], Any], **options: Any) -> None:
        self.rule = rule
        if not options.get("required"):
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


class PhoneField(RuleField):
    """A phone in any spelling; `region` in the serializer's context completes national ones."""

    def __init__(self) -> None:
        super().__init__(
            lambda raw: rules.phone(raw, self.context.get("region")),
            required=True,
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


class ContactSummary(serializers.Serializer):
    """What create-contact answers: exactly these six keys."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    tags = serializers.ListField(child=serializers.CharField())
    created_at = Timestamp()
