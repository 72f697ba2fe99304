"""Contacts as NDJSON: one JSON object a line, without empty fields."""

import json
from typing import Any

from .cells import moment
from .formats import Page, TextFormat


class Ndjson(TextFormat):
    label = "NDJSON"
    extension = "ndjson"
    content_type = "application/x-ndjson"

    def page(self, contacts: Page, fields: list[str]) -> str:
        return "".join(f"{line(contact, fields)}\n" for contact in contacts)


def line(contact: dict[str, Any], fields: list[str]) -> str:
    given = {name: moment(contact[name]) for name in fields if contact[name]}
    return json.dumps(given, ensure_ascii=False)
