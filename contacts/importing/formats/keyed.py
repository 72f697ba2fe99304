"""Formats without a header, such as NDJSON: the keys of all records are the columns."""

from functools import cached_property
from itertools import islice
from typing import Any

from contacts.values.strict_json import UNSTORABLE

from ..records import TurnEnded, refuse_too_many
from .format import InputFile, TextFormat


class KeyedFormat(TextFormat):
    def __init__(self, file: InputFile) -> None:
        super().__init__(file)
        self.searched_records = file.searched_records
        self.turn_is_over = file.turn_is_over
        self.keys: list[str] = file.known.get("keys", [])  # of the records before line `since`
        self.since: int = file.known.get("since", 1)
        if "header" in file.known:
            self.header = file.known["header"]

    def found(self) -> dict[str, Any]:
        header = {"header": self.header} if "header" in vars(self) else {}
        return super().found() | {"keys": self.keys, "since": self.since} | header

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


def is_column(key: Any) -> bool:
    return isinstance(key, str) and not UNSTORABLE.search(key)
