"""The difference between two states of a contact, as the change log stores it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from contacts import schema
from contacts.schema import Kind
from contacts.values import rules

# In the order in which histories have always listed them.
LOGGED = [
    field
    for field in schema.fields("phone", "name", "email", "tags", "metadata", "locale", "source")
    if field.is_logged
]
EMPTY: dict[str, Any] = {field.name: field.empty for field in LOGGED}
TOLD = tuple(EMPTY)
MOMENTS = tuple(field.name for field in LOGGED if field.kind is Kind.MOMENT)
CONSENT = {"opted_in_at": "opted_in", "opted_out_at": "opted_out"}

Fields = dict[str, Any]


def difference(names: Sequence[str], was: Sequence[Any], now: Sequence[Any]) -> Fields:
    """What differs: of each column its `old` and `new` value, tags and keys of metadata one by
    one. Columns are as JSON has them: tags comma-separated."""
    fields: Fields = {}
    for name, old, new in zip(names, was, now, strict=True):
        if name in TOLD and differ(old, new):
            fields[name] = DIFFERENCES[name](old, new)
    return fields


def differ(old: Any, new: Any) -> bool:
    """To Python itself, true equals 1."""
    if isinstance(old, str) and isinstance(new, str):
        return old != new
    return rules.spelled(old) != rules.spelled(new)


def of_values(old: Any, new: Any) -> Fields:
    return {"old": old or None, "new": new or None}


def of_tags(old: str, new: str) -> Fields:
    """Those added and removed; and the order, where that does not follow from them."""
    before, after = (text.split(",") if text else [] for text in (old, new))
    added = [tag for tag in after if tag not in before]
    removed = [tag for tag in before if tag not in after]
    fields = {"added": added, "removed": removed}
    if exchanged(after, added, removed) == before and exchanged(before, removed, added) == after:
        return fields
    return fields | {"order": {"old": before, "new": after}}


def exchanged(tags: list[str], old: list[str], new: list[str]) -> list[str]:
    """`tags` without `old` and with `new`: in the places of those where they are as many, else
    behind the others."""
    instead = dict(zip(old, new, strict=True)) if len(old) == len(new) else {}
    kept = [instead.get(tag, tag) for tag in tags if tag in instead or tag not in old]
    return list(dict.fromkeys([*kept, *new]))


def of_moments(old: str | None, new: str | None) -> Fields:
    """Databases spell them differently."""
    return of_values(*(text and moment(text) for text in (old, new)))


def moment(text: str) -> str:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def value_of(name: str, told: Any) -> Any:
    """What the column `name` held, from what the log tells of it."""
    if told is None:
        return EMPTY[name]
    return datetime.fromisoformat(told) if name in MOMENTS else told


def of_metadata(old: dict[str, Any], new: dict[str, Any]) -> Fields:
    """By key; one that was not there has no `old`, one that is gone no `new`."""
    return {
        name: {
            side: values[name] for side, values in (("old", old), ("new", new)) if name in values
        }
        for name in sorted({*old, *new})
        if name not in old or name not in new or differ(old[name], new[name])
    }


OF_KIND: dict[Kind, Callable[[Any, Any], Fields]] = {
    Kind.TEXT: of_values,
    Kind.NUMBER: of_values,
    Kind.MOMENT: of_moments,
    Kind.TAGS: of_tags,
    Kind.METADATA: of_metadata,
}
DIFFERENCES = {field.name: OF_KIND[field.kind] for field in LOGGED}
