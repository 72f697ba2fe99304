"""Contacts as NDJSON: one JSON object a line, without empty fields."""

import json
from typing import Any

from .plain_values import plain


def header(fields: list[str]) -> str:
    return ""


def page(contacts: list[dict[str, Any]], fields: list[str]) -> str:
    return "".join(f"{line(contact, fields)}\n" for contact in contacts)


def line(contact: dict[str, Any], fields: list[str]) -> str:
    given = {name: plain(contact[name]) for name in fields if contact[name]}
    return json.dumps(given, ensure_ascii=False)
