"""What every file format gives the import, a record, and why a file cannot be read."""

from collections.abc import Collection
from typing import Any, NamedTuple

from contacts.values.translation import either, grouped
from contacts.values.translation import gettext as _

MAX_COLUMNS = 1000
MAX_COLUMN_NAME = 1000  # characters


class UnreadableFile(ValueError):
    """The file as a whole cannot be read. The message says what the user can do."""


class UncertainEncoding(UnreadableFile):
    """`candidates`: the encodings that the file may have, each with some words as they read in it.
    The message does not show the words, because they are from records."""

    def __init__(self, candidates: list[tuple[str, list[str]]]) -> None:
        self.candidates = candidates
        names = either(encoding for encoding, words in candidates)
        super().__init__(
            _("The encoding of the file is not certain; give it: %(names)s.") % {"names": names}
        )


class TurnEnded(Exception):
    """The import has stopped because its tenant's turn at the worker is over. The next turn
    continues with the same record."""


class Mistake(str):
    """Why a record cannot be read, as a sentence."""


class Record(NamedTuple):
    """One record of a file.

    `line`: the number of the line on which the record begins; the first line of the file is 1.
    `cells`: the values by column; a CSV has text only. What does not fit the columns has the key
    `None`: a list of cells in a CSV, the text of the line in NDJSON. The key `None` with a
    `Mistake` means that the record cannot be read, and that its other cells are a guess.
    `size`: how many characters of the file the record takes.
    """

    line: int
    cells: dict[str, Any]
    size: int


def refuse_too_many(columns: Collection[str]) -> None:
    """Raises `UnreadableFile` if there are too many columns, or if a column's name is too long."""
    if len(columns) > MAX_COLUMNS:
        raise UnreadableFile(
            _("There are more than %(most)s columns.") % {"most": grouped(MAX_COLUMNS)}
        )
    # Without the name: a row that is no header may have a long note about somebody.
    for number, name in enumerate(columns, 1):
        if len(name) > MAX_COLUMN_NAME:
            raise UnreadableFile(
                _("The name of column %(number)s has more than %(most)s characters.")
                % {"number": number, "most": grouped(MAX_COLUMN_NAME)}
            )
