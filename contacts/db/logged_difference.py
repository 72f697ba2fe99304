"""The difference between two states of a contact, computed by PostgreSQL: the same entries of the
log as `contacts.change_log.difference` computes in Python. A property test compares both.

Each function gets the SQL expressions of the old and of the new value of a column.
"""

from collections.abc import Callable, Iterable

from contacts import schema
from contacts.schema import Kind

SQL = Callable[[str, str], str]


def difference_sql(names: Iterable[str]) -> str:
    """The SQL expression (JSONB) of the difference in the columns `names`, all of which are logged.
    The row has the new value of each under its name, and the old one under `old_` and its name."""
    parts = [
        f"CASE WHEN {differ(kind, old, name)}"
        f" THEN jsonb_build_object('{name}', {OF_KIND[kind](old, name)}) ELSE '{{}}' END"
        for name in names
        for kind, old in [(KINDS[name], f"old_{name}")]
    ]
    return " || ".join(parts) or "'{}'::jsonb"


def differ(kind: Kind, old: str, new: str) -> str:
    """Metadata differs if its text does: as JSONB, 1 equals 1.0."""
    if kind is Kind.METADATA:
        return f"{old}::text IS DISTINCT FROM {new}::text"
    return f"{old} IS DISTINCT FROM {new}"


def of_values(empty: str) -> SQL:
    """The difference of plain values. `empty`: the value that is logged as null."""
    return lambda old, new: (
        f"jsonb_build_object('old', nullif({old}, {empty}), 'new', nullif({new}, {empty}))"
    )


def moment(value: str) -> str:
    """A timestamp as Python's `isoformat` writes it: microseconds only if there are any."""
    utc = f"{value} AT TIME ZONE 'UTC'"
    return (
        f"CASE WHEN date_trunc('second', {value}) = {value}"
        f""" THEN to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')"""
        f""" ELSE to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') END"""
    )


def of_moments(old: str, new: str) -> str:
    return f"jsonb_build_object('old', {moment(old)}, 'new', {moment(new)})"


def of_tags(old: str, new: str) -> str:
    """`contacts.change_log.difference.of_tags`, as SQL. `order` is left out if as many tags were
    added as removed and each new tag stands where an old one stood, or if the numbers differ and
    the new tags stand at the end."""
    return f"""(
    SELECT jsonb_build_object('added', added, 'removed', removed) || CASE
        WHEN CASE WHEN cardinality(added) = cardinality(removed)
            THEN ARRAY(
                SELECT coalesce(added[array_position(removed, tag)], tag)
                FROM unnest(before) WITH ORDINALITY AS each (tag, place) ORDER BY place
            ) = after
            ELSE stayed || added = after AND stayed || removed = before
        END THEN '{{}}'
        ELSE jsonb_build_object('order', jsonb_build_object('old', before, 'new', after))
    END
    FROM (
        SELECT string_to_array({old}, ',') AS before, string_to_array({new}, ',') AS after
    ) AS both_lists, LATERAL (
        SELECT {tags_of("after", "<> ALL (before)")} AS added,
            {tags_of("before", "<> ALL (after)")} AS removed,
            {tags_of("before", "= ANY (after)")} AS stayed
    ) AS parts
)"""  # noqa: S608 - no user input


def tags_of(tags: str, condition: str) -> str:
    return (
        f"ARRAY(SELECT tag FROM unnest({tags}) WITH ORDINALITY AS each (tag, place)"  # noqa: S608
        f" WHERE tag {condition} ORDER BY place)"
    )


def of_metadata(old: str, new: str) -> str:
    """By key. A new key has no `old`, a removed key has no `new`; null is a value, too."""
    return f"""(
    SELECT jsonb_object_agg(key,
        CASE WHEN was.value IS NULL THEN '{{}}' ELSE jsonb_build_object('old', was.value) END
        || CASE WHEN now.value IS NULL THEN '{{}}' ELSE jsonb_build_object('new', now.value) END)
    FROM jsonb_each({old}) AS was FULL JOIN jsonb_each({new}) AS now USING (key)
    WHERE was.value::text IS DISTINCT FROM now.value::text
)"""  # noqa: S608 - no user input


OF_KIND: dict[Kind, SQL] = {
    Kind.TEXT: of_values("''"),
    Kind.NUMBER: of_values("0"),
    Kind.MOMENT: of_moments,
    Kind.TAGS: of_tags,
    Kind.METADATA: of_metadata,
}
KINDS = {field.name: field.kind for field in schema.FIELDS}
