"""NDJSON."""

import re
from typing import Any

from contacts.values.strict_json import UNSTORABLE

JSON_LINES = re.compile(r"\s*\n|[^\n]+\n?")


def is_column(key: Any) -> bool:
    return isinstance(key, str) and not UNSTORABLE.search(key)
