"""The difference between two states of a contact, in the form that the change log stores.

The log must work on two databases that write the same value in different ways, and an undo must be
able to compute the old state from the new state and the difference.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from contacts import schema
from contacts.schema import Kind
from contacts.values import rules

# The logged fields, in the order in which histories list them.
LOGGED = [
    field
    for field in schema.fields("phone", "name", "email", "tags", "metadata", "locale", "source")
    if field.is_logged
]
EMPTY: dict[str, Any] = {field.name: field.empty for field in LOGGED}
LOGGED_FIELDS = tuple(EMPTY)
MOMENTS = tuple(field.name for field in LOGGED if field.kind is Kind.MOMENT)
FORMER_PHONES = "former_phones"  # in entries beside the fields: the phones `added` and `removed`
NOTES = "notes"  # in entries of merged contacts beside the fields: the ids of their notes
CONSENT = {"opted_in_at": "opted_in", "opted_out_at": "opted_out"}

Fields = dict[str, Any]


def difference(names: Sequence[str], was: Sequence[Any], now: Sequence[Any]) -> Fields:
    """The difference between two states of a contact, by column.

    `names`: the columns of the values in `was` and `now`, the old and the new state. Values are as
    in JSON, tags are comma-separated. Columns that are not logged are left out.

    Returns an entry for each column that differs: `old` and `new`; for tags what was added and
    removed, see `of_tags`; for metadata one entry per key, see `of_metadata`.
    """
    fields: Fields = {}
    for name, old, new in zip(names, was, now, strict=True):
        if name in LOGGED_FIELDS and differ(old, new):
            fields[name] = DIFFERENCES[name](old, new)
    return fields


def differ(old: Any, new: Any) -> bool:
    """Whether two JSON values differ. Python's own != would say that true equals 1."""
    if isinstance(old, str) and isinstance(new, str):
        return old != new
    return rules.spelled(old) != rules.spelled(new)


def of_values(old: Any, new: Any) -> Fields:
    """The difference of a plain value; an empty value is logged as null."""
    return {"old": old or None, "new": new or None}


def of_tags(old: str, new: str) -> Fields:
    """The difference of two comma-separated lists of tags: which were `added` and `removed`.

    `order` has both complete lists; it is there only if `exchanged` cannot compute one list from
    the other, for example if only the order of the tags has changed.
    """
    before, after = (text.split(",") if text else [] for text in (old, new))
    added = [tag for tag in after if tag not in before]
    removed = [tag for tag in before if tag not in after]
    fields = {"added": added, "removed": removed}
    if exchanged(after, added, removed) == before and exchanged(before, removed, added) == after:
        return fields
    return fields | {"order": {"old": before, "new": after}}


def exchanged(tags: list[str], old: list[str], new: list[str]) -> list[str]:
    """`tags` without the tags in `old` and with the tags in `new`.

    If `old` and `new` have the same length, each new tag takes the place of an old tag. Otherwise
    the new tags come at the end.
    """
    instead = dict(zip(old, new, strict=True)) if len(old) == len(new) else {}
    kept = [instead.get(tag, tag) for tag in tags if tag in instead or tag not in old]
    return list(dict.fromkeys([*kept, *new]))


def of_moments(old: str | None, new: str | None) -> Fields:
    """The difference of two timestamps, in one form for both databases."""
    return of_values(*(text and moment(text) for text in (old, new)))


def moment(text: str) -> str:
    """A timestamp of a database in ISO 8601, in UTC with the offset; SQLite stores no offset."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def value_of(name: str, logged: Any) -> Any:
    """The value of the column `name`, from the `logged` value."""
    if logged is None:
        return EMPTY[name]
    return datetime.fromisoformat(logged) if name in MOMENTS else logged


def of_metadata(old: dict[str, Any], new: dict[str, Any]) -> Fields:
    """The difference of metadata, by key. A new key has no `old`, a removed key has no `new`."""
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
