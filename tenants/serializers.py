from rest_framework import serializers


class OrNull(serializers.CharField):
    """A string for output; an empty string is shown as `null`."""

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        return value or None


class TenantSummary(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()


class MeSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    email = serializers.CharField()
    name = OrNull()
    tenant = TenantSummary(allow_null=True)
