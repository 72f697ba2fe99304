"""Phones that a file has more than once: only the last row of such a phone is written."""

from array import array
from itertools import pairwise
from pathlib import Path

from contacts.jobs.files import read_json, replace_json


def last_lines(spool: Path) -> dict[str, int]:
    """The last line of each phone that the spool has more than once."""
    phones = array("Q")  # eight bytes a phone: millions of strings would take much more memory
    with spool.open(encoding="utf-8", newline="\n") as texts:
        for text in texts:
            if phone := text.split("\t", 3)[2]:
                phones.append(int(phone[1:]))
    repeated = {f"+{phone}" for phone, following in pairwise(sorted(phones)) if phone == following}
    last: dict[str, int] = {}
    if repeated:
        with spool.open(encoding="utf-8", newline="\n") as texts:
            for text in texts:
                line, _, phone, _ = text.split("\t", 3)
                if phone in repeated:
                    last[phone] = int(line)
    return last


def stored_last_lines(spool: Path) -> dict[str, int]:
    """`last_lines`, stored beside the spool so that the next turn need not read all rows again."""
    path = spool.with_name("last")
    last: dict[str, int] | None = read_json(path, None)
    if last is None:
        last = last_lines(spool)
        replace_json(path, last)
    return last
