"""Guesses the fields of columns from their values, where the names of the columns say nothing.

Only for a preview, in which a person sees the guesses: a file that a program imports must not be
read in another way because its values change.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from contacts.values import header_names, rules

from . import row
from .cells import is_last_first
from .columns import OF_ERROR_FILE, PARTS_OF_NAME, known_field
from .formats.quoting import looks_like_phone
from .records import Record
from .row import BLANK

MOST = 0.5  # a guess needs a larger share of the filled cells
LAST_FIRST = 2  # cells such as `Müller, Jürgen`: a single one may be a firm or a couple
NAMES = {"name", *PARTS_OF_NAME}
SEARCHED_COLUMNS = 100  # parsing the phones of a thousand columns would take a second


class Evidence(NamedTuple):
    """How much speaks for a guess: `share`, the different good values among the filled cells, from
    0 to 1, and `marked`, those of them that begin as phones do that people have typed."""

    share: float
    marked: float


def guesses(
    titles: Mapping[str, str],
    fields: Collection[str],
    records: Sequence[Record],
    *,
    region: str,
    has_country_code: bool,
) -> dict[str, str]:
    """The columns that hold phones or e-mail addresses: `{"Line": "phone"}`.

    `titles`: the name in the file of each column that has no field yet. `fields`: those that other
    columns have already; no column is guessed to be one of them. `region`, `has_country_code`: as
    `rules.phone` has them.
    """

    def phone(text: str) -> Any:
        if not looks_like_phone(text):
            return BLANK
        return rules.phone(text, region, has_country_code=has_country_code)

    silent = [column for column, title in titles.items() if says_nothing(title)][:SEARCHED_COLUMNS]
    found = {}
    for field, rule in {"phone": phone, "email": row.email}.items():
        if field in fields:
            continue
        judged = {column: evidence(values_of(column, records), rule) for column in silent}
        best = max(judged, key=lambda column: judged[column], default="")
        if best and judged[best].share > MOST:
            found[best] = field
    return found


def last_first(
    titles: Mapping[str, str], fields: Mapping[str, str], records: Sequence[Record]
) -> str:
    """The title of the column that mostly has cells such as `Müller, Jürgen`, at least two of them;
    empty if none has.

    `titles`: of all columns. `fields`: of the columns that have one. If none of them is a name, a
    person may still choose a column that has no field.
    """
    named = [column for column, field in fields.items() if field in NAMES]
    silent = [column for column, title in titles.items() if title and column not in fields]
    for column in named or silent[:SEARCHED_COLUMNS]:
        cells = values_of(column, records)
        turned = sum(map(is_last_first, cells))
        if turned >= LAST_FIRST and turned > MOST * len(cells):
            return titles[column]
    return ""


def says_nothing(title: str) -> bool:
    """Whether the name of a column leaves open what the column holds. `Fax` does not."""
    words = header_names.words(title)
    return (
        title not in OF_ERROR_FILE
        and not known_field(title)
        and header_names.NEVER.isdisjoint(words)
    )


def values_of(column: str, records: Sequence[Record]) -> list[str]:
    cells = (record.cells.get(column) for record in records if None not in record.cells)
    return [text for cell in cells if isinstance(cell, str | int) and (text := str(cell).strip())]


def evidence(values: list[str], rule: Callable[[str], Any]) -> Evidence:
    """One phone in all cells is the shop's own phone, so equal values count once."""
    good = {found: text for text in values if (found := value_or_blank(rule, text)) is not BLANK}
    marked = sum(text.startswith(("+", "0", "(")) for text in good.values())
    return Evidence(len(good) / len(values), marked / len(values)) if values else Evidence(0, 0)


def value_or_blank(rule: Callable[[str], Any], text: str) -> Any:
    try:
        return rule(text)
    except ValueError:
        return BLANK
