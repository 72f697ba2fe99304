"""PostgreSQL computes the same difference for the log as Python."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from hypothesis import example, given
from hypothesis import strategies as st

from contacts.change_log.difference import LOGGED, LOGGED_FIELDS, difference
from contacts.db.logged_difference import difference_sql
from contacts.schema import Kind
from contacts.values import rules

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQL of PostgreSQL"),
]

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
numbers = st.integers(-10, 10) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
tags = st.lists(st.sampled_from("abcde"), unique=True, max_size=5).map(",".join)
OF_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: words,
    Kind.NUMBER: st.integers(0, 3),
    Kind.MOMENT: st.none()
    | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        datetime.isoformat
    ),
    Kind.TAGS: tags,
    Kind.METADATA: st.dictionaries(st.sampled_from("abc") | words, values, max_size=3),
}
TYPES = {Kind.TEXT: "text", Kind.NUMBER: "int", Kind.MOMENT: "timestamptz", Kind.TAGS: "text",
         Kind.METADATA: "jsonb"}  # fmt: skip
states = st.fixed_dictionaries({field.name: OF_KIND[field.kind] for field in LOGGED})
EMPTY = {field.name: field.empty for field in LOGGED}
SELECT = f"""
SELECT ({difference_sql(LOGGED_FIELDS)})::text,
    json_build_array({", ".join(f"old_{name}" for name in LOGGED_FIELDS)})::text,
    json_build_array({", ".join(LOGGED_FIELDS)})::text
FROM json_to_record(%s) AS was ({", ".join(f"old_{f.name} {TYPES[f.kind]}" for f in LOGGED)}),
    json_to_record(%s) AS now ({", ".join(f"{f.name} {TYPES[f.kind]}" for f in LOGGED)})
"""  # noqa: S608 - no user input


@given(states, states)
@example(EMPTY | {"tags": "a,b"}, EMPTY | {"tags": "b,a"})
@example(EMPTY | {"tags": "a,b"}, EMPTY | {"tags": "b,c"})
@example(EMPTY | {"metadata": {"a": 1}}, EMPTY | {"metadata": {"a": 1.0, "b": None}})
@example(EMPTY | {"metadata": {"a": True}}, EMPTY | {"metadata": {"a": [1, {"b": None}]}})
@example(
    EMPTY | {"opted_in_at": "2026-07-01T02:00:00+02:00"},
    EMPTY | {"opted_in_at": "2026-07-01T00:00:00.000001+00:00"},
)
def test_both_ways_give_the_same_entry(was: dict[str, Any], now: dict[str, Any]) -> None:
    old = {f"old_{name}": value for name, value in was.items()}
    with connection.cursor() as cursor:
        cursor.execute(SELECT, [rules.spelled(old), rules.spelled(now)])
        found, *sides = map(json.loads, cursor.fetchone())
    assert in_order(found) == in_order(difference(LOGGED_FIELDS, *sides))


def in_order(fields: dict[str, Any]) -> str:
    """As JSON: in Python, 1 equals true."""
    return json.dumps(fields, sort_keys=True)
