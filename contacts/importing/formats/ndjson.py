"""NDJSON: one JSON object a line. The columns are the keys of all objects."""

import re
from collections.abc import Iterator
from typing import Any

from contacts.values import strict_json

from ..records import Record
from .decoding import line_ends
from .format import InputFile
from .keyed import KeyedFormat

# A line, or a run of lines that are blank or have spaces only.
LINES = re.compile(r"\s*[\r\n]|[^\r\n]+(?:\r\n?|\n)?")


class NDJSONFormat(KeyedFormat):
    name = "NDJSON"
    suffixes = (".ndjson", ".jsonl")
    media_types = ("application/x-ndjson",)
    errors = "ndjson"

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return file.start_text.startswith("{")

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""
        number = first_line
        for line in self.text.lines(first_line - 1, LINES):
            if not line.isspace():
                yield Record(number, cells_of(line), len(line))
            number += line_ends(line)


def cells_of(text: str) -> dict[Any, Any]:
    """The values of the JSON object `text` by key. Any other text has the key `None`."""
    try:
        cells = strict_json.loads(text)
    except strict_json.MalformedJSON:
        cells = None
    return cells if isinstance(cells, dict) else {None: text.rstrip()}
