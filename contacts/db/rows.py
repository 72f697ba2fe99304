"""Turns ids and contacts into the parameters of SQL statements."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from contacts import schema
from contacts.values.rules import spelled


def inserting(values: dict[str, str]) -> str:
    """The beginning of an INSERT of contacts. `values`: the SQL expression for each column."""
    return f"INSERT INTO contacts_contact ({', '.join(values)}) SELECT {', '.join(values.values())}"


def json_value(value: Any, moment: Callable[[datetime], str]) -> Any:
    """`value` of a field as JSON. `moment`: how the database writes a timestamp."""
    if isinstance(value, datetime):
        return moment(value)
    return ",".join(value) if isinstance(value, list) else value


def row_in_json(row_id: str, fields: dict[str, Any], moment: Callable[[datetime], str]) -> str:
    """A contact as JSON, for the statement of an upsert.

    `row_id`: the id in hexadecimal digits. `fields`: values as `contacts.values.rules` return them;
    name and e-mail also get their folded copies. `moment` as in `json_value`.
    """
    row = {"id": row_id}
    for name, value in fields.items():
        row[name] = value if isinstance(value, str) else json_value(value, moment)
    for name, fold in schema.FOLDS.items():
        if name in row:
            row[f"{name}_folded"] = fold(row[name])
    return spelled(row)
