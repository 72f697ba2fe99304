"""Rows as parameters of statements."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from contacts.values.rules import folded, spelled


def inserting(values: dict[str, str]) -> str:
    """`values`: what each column gets."""
    return f"INSERT INTO contacts_contact ({', '.join(values)}) SELECT {', '.join(values.values())}"


def json_value(value: Any, moment: Callable[[datetime], str]) -> Any:
    """`value` as the JSON of a row has it."""
    if isinstance(value, datetime):
        return moment(value)
    return ",".join(value) if isinstance(value, list) else value


def row_in_json(row_id: str, fields: dict[str, Any], moment: Callable[[datetime], str]) -> str:
    """A contact as an upsert takes it: its id as hexadecimal digits, and `fields` as rules give
    them, those that are looked up without case folded as well."""
    row = {name: json_value(value, moment) for name, value in fields.items()}
    row |= {f"{name}_folded": folded(row[name]) for name in ("name", "email") if name in row}
    return spelled(row | {"id": row_id})
