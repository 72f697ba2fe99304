"""Values of contacts as every export format writes them."""

from datetime import UTC
from typing import Any


def plain(value: Any) -> Any:
    """A time as ISO 8601 text in UTC, with microseconds if it has any; other values unchanged."""
    return value.astimezone(UTC).isoformat() if hasattr(value, "isoformat") else value
