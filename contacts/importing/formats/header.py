"""The header of a table: which row it is, and the names of its columns."""

from collections import Counter
from collections.abc import Sequence

from contacts.values.formulas import original
from contacts.values.strict_json import UNSTORABLE

from .. import columns
from ..records import UnreadableFile, refuse_too_many

SEARCHED_ROWS = 10  # title lines may stand above the header


def header_row(rows: Sequence[Sequence[str]]) -> int | None:
    """The index of the first of the `rows` whose cells name columns that are known; None if there
    is none within the first ten rows."""
    for index, row in enumerate(rows[:SEARCHED_ROWS]):
        if any(columns.is_known(cell) for cell in row):
            return index
    return None


def column_names(row: Sequence[str]) -> list[str]:
    """The names of the columns whose header is `row`. Raises `UnreadableFile`."""
    names = [original(name.strip()) for name in row]
    refuse_too_many(names)
    numbers = Counter(filter(None, names))
    if repeated := next((name for name, number in numbers.items() if number > 1), ""):
        raise UnreadableFile(f"Two columns are named “{repeated}”; rename one.")
    if unstorable := next((name for name in names if UNSTORABLE.search(name)), None):
        raise UnreadableFile(f"The column {unstorable!a} cannot be stored. Is the encoding right?")
    return names
