"""NDJSON: one JSON object a line. The columns are the keys of all objects."""

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

from contacts.values import strict_json
from contacts.values.strict_json import UNSTORABLE

from ..records import Record, TurnEnded, refuse_too_many
from .decoding import TextFile, line_ends


class NDJSONFormat:
    """`text` as NDJSON.

    `searched_records`: how many records are searched for keys; `None` means all records.
    `turn_is_over`: asked after each record while keys are collected. `header`, `keys`, `since`: as
    `found` returned them: `keys` are the keys of the records before line `since`.
    """

    def __init__(
        self,
        text: TextFile,
        *,
        searched_records: int | None,
        turn_is_over: Callable[[], bool],
        header: list[str] | None = None,
        keys: list[str] | None = None,
        since: int = 1,
    ) -> None:
        self.text = text
        self.searched_records = searched_records
        self.turn_is_over = turn_is_over
        self.keys = keys or []
        self.since = since
        if header is not None:
            self.header = header

    header_line = 0
    names_columns = True

    @property
    def titles(self) -> list[str]:
        return self.header

    def found(self) -> dict[str, Any]:
        header = {"header": self.header} if "header" in vars(self) else {}
        return {"keys": self.keys, "since": self.since} | header

    @cached_property
    def header(self) -> list[str]:
        """Raises `UnreadableFile`, and `TurnEnded`: then `found` has the keys so far."""
        keys = dict.fromkeys(self.keys)
        for number, record in enumerate(islice(self.records(self.since), self.searched_records)):
            if number and self.turn_is_over():
                self.keys, self.since = list(keys), record.line
                raise TurnEnded
            keys |= dict.fromkeys(key for key in record.cells if is_column(key))
            refuse_too_many(keys)
        return list(keys)

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, from the record on that begins in `first_line`; 1 means all records."""
        number = first_line
        for line in self.text.lines(first_line - 1):
            if not line.isspace():
                try:
                    cells = strict_json.loads(line)
                except strict_json.MalformedJSON:
                    cells = None
                found: dict[Any, Any] = cells if isinstance(cells, dict) else {None: line.rstrip()}
                yield Record(number, found, len(line))
            number += line_ends(line)


def is_column(key: Any) -> bool:
    return isinstance(key, str) and not UNSTORABLE.search(key)
