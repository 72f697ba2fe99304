"""Former phones in a file: an import gives them to the contact of their row, and takes none away.

A phone belongs to one contact of a tenant. So a former phone that another row of the file has, or
that another contact has or had, is left out with a warning: the two contacts may be one person, but
only people can decide to merge them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from contacts.values import rules
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from .repeats import phone_of
from .row import FORMER
from .spool import SpoolLine, parse

TAKEN = gettext_noop("A former phone was left out: another contact has it or had it.")
IN_FILE = gettext_noop("A former phone was left out: another row of the file has it, too.")


def former_of(line: SpoolLine) -> list[str]:
    """The former phones that the row gives to its contact."""
    if FORMER not in line.given or not line.values:
        return []
    phones: str = json.loads(line.values)[FORMER]
    return phones.split(",") if phones else []


def with_former(line: SpoolLine, phones: list[str], problem: str, *, strict: bool) -> SpoolLine:
    """`line` with these former phones only. `problem`: why others are left out, or empty; with
    `strict`, the row fails for it."""
    if problem and strict:
        return line.failed(problem)
    values = json.loads(line.values)
    del values[FORMER]
    given = [name for name in line.given if name != FORMER]
    if phones:
        values[FORMER], given = ",".join(phones), [*line.given]
    warning = " ".join(filter(None, [line.warning, problem]))
    return line._replace(given=tuple(given), values=rules.spelled(values), warning=warning)


# In the file


def settle(spool: Path, *, strict: bool) -> None:
    """Leaves out the former phones that are phones of other rows, or former phones of earlier rows.
    Batches are written at the same time: without this, chance would decide which row gets such a
    phone. Repeated phones of the spool are combined already.

    Memory: some hundred bytes for each former phone.
    """
    with spool.open("rb") as texts:
        claims = Counter(phone for line in claiming(texts) for phone in former_of(line))
    with spool.open("rb") as texts:
        taken = {phone for text in texts if (phone := phone_of(text).decode()) in claims}
    repeated = {phone for phone, number in claims.items() if number > 1}
    if taken or repeated:
        path = spool.with_name("settling")
        with spool.open("rb") as texts, path.open("wb") as file:
            file.writelines(settled_texts(texts, taken, repeated, strict=strict))
        path.replace(spool)


def claiming(texts: Iterable[bytes]) -> Iterator[SpoolLine]:
    """The rows that give former phones."""
    return (parse(text.decode()) for text in texts if claims_phones(text))


def claims_phones(text: bytes) -> bool:
    given = text.split(b"\t", 4)[3]
    return FORMER.encode() in given and bool(phone_of(text))


def settled_texts(
    texts: Iterable[bytes], taken: set[str], repeated: set[str], *, strict: bool
) -> Iterator[bytes]:
    """The lines of the spool, without former phones in `taken`. A former phone in `repeated` stays
    in the first row that has it."""
    for text in texts:
        if not claims_phones(text):
            yield text
            continue
        line = parse(text.decode())
        others = [phone for phone in former_of(line) if phone != line.phone]
        kept = [phone for phone in others if phone not in taken]
        taken |= repeated.intersection(kept)
        problem = _(IN_FILE) if kept != others else ""
        yield with_former(line, kept, problem, strict=strict).text().encode()


# In the database


def free(
    line: SpoolLine, current: Mapping[str, str], *, strict: bool, only_if_new: bool
) -> SpoolLine:
    """`line` with the former phones that nobody has. `current`: the current phone of the contact of
    each phone that somebody has or had. `only_if_new`: a contact that exists gets none."""
    if FORMER not in line.given:
        return line
    mine = current.get(line.phone, line.phone)
    others = [phone for phone in former_of(line) if current.get(phone) != mine != phone]
    kept = [phone for phone in others if phone not in current]
    if only_if_new and line.phone in current:
        return with_former(line, [], "", strict=strict)
    return with_former(line, kept, _(TAKEN) if kept != others else "", strict=strict)
