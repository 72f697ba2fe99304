"""The header of a table: which row it is, and the names of its columns."""

import re
from collections.abc import Sequence
from itertools import count

from contacts.values.formulas import original
from contacts.values.strict_json import UNSTORABLE
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from ..columns import is_known
from ..records import UnreadableFile, refuse_too_many
from .quoting import has_phone

MAX_HEADER_ROW = 10  # the header is one of so many rows at the beginning
EMAIL = re.compile(r"\S+@\S+\.\S+")
NO_HEADER = gettext_noop(
    "No row names the columns. Write names such as “phone” and “name” into the first row of the"
    " file, or say with header_line: 0 that no row does."
)
NO_SUCH_HEADER = gettext_noop(
    "The header line must be the line of one of the first ten rows, or 0 if no row names the"
    " columns."
)


def header_row(rows: Sequence[Sequence[str]]) -> int | None:
    """The index of the header: the first of the `rows` that names a known column, within the first
    ten; None if there is none. A row with a phone or an e-mail is no header, but somebody's data.
    A single cell, such as `Phone numbers`, is the title of the table if the header follows."""
    first = rows[:MAX_HEADER_ROW]
    named = [index for index, row in enumerate(first) if names_columns(row)]
    for index in named:
        if has_several(first[index]) and not any(map(is_data, first[named[0] : index])):
            return index
    return named[0] if named else None


def names_columns(row: Sequence[str]) -> bool:
    return not is_data(row) and any(map(is_known, titles_of(row)))


def has_several(row: Sequence[str]) -> bool:
    return sum(bool(cell.strip()) for cell in row) > 1


def titles_of(row: Sequence[str]) -> list[str]:
    return [original(cell.strip()) for cell in row]


def numbered(rows: Sequence[Sequence[str]]) -> list[str]:
    """The names of the columns of a table without a header: a name for each column in which the
    `rows` have a value."""
    widths = (n for row in rows for n, cell in enumerate(row, 1) if cell.strip())
    return [f"Column {n}" for n in range(1, max(widths, default=0) + 1)]


def is_data(cells: Sequence[str]) -> bool:
    """Whether a cell is a phone or an e-mail, also with a label in front: `Home: +33145678901`."""
    values = [*cells, *(cell.rpartition(":")[2] for cell in cells if ":" in cell)]
    return has_phone(values) or any(
        EMAIL.fullmatch(value.strip()) for value in values if "@" in value
    )


def checked(titles: list[str]) -> list[str]:
    """`titles`. Raises `UnreadableFile` if they cannot be the names of columns. The message of a
    name with the wrong encoding does not show it: the name may be somebody's data."""
    refuse_too_many(titles)
    for number, title in enumerate(titles, 1):
        if UNSTORABLE.search(title):
            raise UnreadableFile(
                _("The name of column %(number)s cannot be stored. Is the encoding right?")
                % {"number": number}
            )
    return titles


def unique(titles: list[str]) -> list[str]:
    """A key for each column. The key is the title, but the second column “Phone” has the key
    “Phone (2)”. Columns without a title have no key."""
    taken, seen = {*titles}, set()
    keys = []
    for title in titles:
        key = title
        if title and title in seen:
            key = next(name for n in count(2) if (name := f"{title} ({n})") not in taken)
            taken.add(key)
        seen.add(title)
        keys.append(key)
    return keys
