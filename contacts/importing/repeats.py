"""Phones that a file has more than once: the contact becomes what it would be if the rows had come
in several files, one after the other, but it is written once.

The last row of such a phone takes over the values of the earlier rows, which are superseded. If
the last row fails, all rows of the phone fail: they are one write, and an error file without the
earlier rows would lose their values.
"""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from contacts.change_log.difference import CONSENT
from contacts.values import rules
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from .columns import FORMER
from .spool import SpoolLine, parse

# A name in `SpoolLine.given` that adds to a field, and the name that replaces the field.
REPLACING = {"metadata": "-metadata", "+tags": "tags"}
MISFIT = gettext_noop(
    "Left out, because it does not fit beside the earlier rows with this phone: %(problem)s"
)
Combined = Callable[[Iterator[SpoolLine], SpoolLine], SpoolLine]


def combine(spool: Path, *, keeps_first: bool, strict: bool = False) -> None:
    """Combines the rows of repeated phones in the spool. A spool without such phones stays as it
    is. Idempotent: a spool that is combined already does not change.

    `keeps_first`: later rows change nothing, because the import only creates contacts. `strict`:
    see `merged`.

    Memory: eight bytes for each row, and some hundred bytes for each repeated phone.
    """
    combined = first_in_place_of if keeps_first else partial(merged, strict=strict)
    if repeated := repeated_phones(spool):
        path = spool.with_name("combining")
        with spool.open("rb") as texts, spool.open("rb") as again, path.open("wb") as file:
            file.writelines(combined_lines(texts, again, repeated, combined))
        path.replace(spool)


def repeated_phones(spool: Path) -> Counter[bytes]:
    """How often the spool has each phone that it has more than once."""
    phones = array("Q")  # millions of strings would take much more memory
    with spool.open("rb") as texts:
        for text in texts:
            if phone := phone_of(text):
                phones.append(int(phone))
    groups = ((phone, sum(1 for _ in same)) for phone, same in groupby(sorted(phones)))
    return Counter({b"+%d" % phone: number for phone, number in groups if number > 1})


def phone_of(text: bytes) -> bytes:
    """The phone of a row that has values; empty if the row failed or is superseded."""
    _, _, phone, _, rest = text.split(b"\t", 4)
    return phone if rest[:1] == b"{" else b""


def combined_lines(
    texts: Iterable[bytes], again: IO[bytes], repeated: Counter[bytes], combined: Combined
) -> Iterator[bytes]:
    """The lines of the combined spool. `again`: the spool, for reading rows a second time.
    `combined`: the last row of a phone, by its earlier rows and itself."""
    earlier: dict[bytes, array[int]] = defaultdict(lambda: array("Q"))  # where the rows are
    position = 0
    for text in texts:
        phone = phone_of(text)
        if phone not in repeated:
            yield text
        elif len(earlier[phone]) + 1 < repeated[phone]:
            earlier[phone].append(position)
            yield superseded(parse(text.decode())).text().encode()
        else:
            rows = (row_at(again, place) for place in earlier.pop(phone))
            yield combined(rows, parse(text.decode())).text().encode()
        position += len(text)


def row_at(spool: IO[bytes], position: int) -> SpoolLine:
    spool.seek(position)
    return parse(spool.readline().decode())


def superseded(row: SpoolLine) -> SpoolLine:
    """`row` without its values. Its warning stays: the row was read."""
    return row._replace(values="")


def first_in_place_of(earlier: Iterator[SpoolLine], last: SpoolLine) -> SpoolLine:
    """The first row, at the place of the last one."""
    first = next(earlier)
    lines = (first.line, *(row.line for row in earlier))
    return first._replace(line=last.line, warning=last.warning, earlier=lines)


# Merging


def merged(earlier: Iterable[SpoolLine], last: SpoolLine, *, strict: bool) -> SpoolLine:
    """`last` with the values of the rows in `earlier` that it leaves alone.

    It has a warning if something of a row does not fit beside the values of the rows before it.
    `strict`: then it fails."""
    merging = Merging()
    for row in earlier:
        merging.add(row)
    last = last._replace(earlier=tuple(merging.lines))
    merging.add(last)
    if strict and merging.misfits:
        return last.failed(" ".join(merging.misfits))
    warning = " ".join(filter(None, [last.warning, *merging.misfits]))
    return last._replace(
        given=merging.ordered_names(), values=rules.spelled(merging.values), warning=warning
    )


class Merging:
    """The values of the rows of one phone so far, by the rules by which `statements.upsert_sql`
    changes a stored contact.

    `names`: as in `SpoolLine.given`. `lines`: of the rows. `misfits`: a sentence for each field of
    a row that was left out, each sentence once.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.names: set[str] = set()
        self.lines: list[int] = []
        self.misfits: dict[str, None] = {}

    def add(self, row: SpoolLine) -> None:
        self.lines.append(row.line)
        values = json.loads(row.values)
        names = {*row.given}
        self.leave_out_earlier_decisions(values, names)
        if "metadata" in names:
            self.join("metadata", "metadata", joined_metadata, values, names)
        if "+tags" in names:
            self.join("+tags", "tags", joined_tags, values, names)
        if FORMER in names:
            self.join(FORMER, FORMER, joined_phones, values, names)
        self.values |= values
        self.names |= names
        self.names -= {adds for adds, replaces in REPLACING.items() if replaces in self.names}

    def join(
        self, name: str, field: str, rule: Callable[[Any, Any], Any], values: Any, names: set[str]
    ) -> None:
        """Joins the value of `field` with the value so far; leaves it out if they do not fit."""
        try:
            values[field] = rule(self.values.get(field), values[field])
        except ValueError as error:
            self.misfits[_(MISFIT) % {"problem": error}] = None
            del values[field]
            names.remove(name)

    def leave_out_earlier_decisions(self, values: dict[str, Any], names: set[str]) -> None:
        """Removes the consent that is not in force after the rows so far; see
        `statements.IMPORT_CONFLICT_SQL`. Times are text here that sorts in their order."""
        opted_in, opted_out = map(self.values.get, CONSENT)
        at_in, at_out = map(values.get, CONSENT)
        if opted_out or (opted_in and at_in and at_in <= opted_in):
            leave_out("opted_in_at", values, names)
        if at_out is None or at_out < (opted_out or opted_in or at_out):
            leave_out("opted_out_at", values, names)

    def ordered_names(self) -> tuple[str, ...]:
        """As the spool orders them: rows with the same names are written together."""
        return tuple(sorted(self.names, key=lambda name: ("metadata" in name, name)))


def leave_out(field: str, values: dict[str, Any], names: set[str]) -> None:
    values.pop(field, None)
    names.discard(field)


def joined_metadata(stored: Any, given: Any) -> Any:
    return rules.metadata((stored or {}) | given)


def joined_tags(stored: Any, given: str) -> str:
    """Both are comma-separated, as a contact stores its tags."""
    return ",".join(rules.tags([*(stored or "").split(","), *given.split(",")]))


def joined_phones(stored: Any, given: str) -> str:
    return ",".join(dict.fromkeys([*filter(None, (stored or "").split(",")), *given.split(",")]))
