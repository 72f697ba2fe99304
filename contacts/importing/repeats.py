"""Phones that a file has more than once."""

from array import array
from itertools import pairwise
from pathlib import Path

from contacts.jobs.files import read_json, replace_json


def last_lines(spool: Path) -> dict[str, int]:
    """The last line of each phone that is repeated.

    Phones are kept as numbers of eight bytes: a million of them take little.
    """
    phones = array("Q")
    with spool.open(encoding="utf-8", newline="\n") as texts:
        for text in texts:
            if phone := text.split("\t", 3)[2]:
                phones.append(int(phone[1:]))
    repeated = {f"+{one}" for one, other in pairwise(sorted(phones)) if one == other}
    last: dict[str, int] = {}
    if repeated:
        with spool.open(encoding="utf-8", newline="\n") as texts:
            for text in texts:
                line, _, phone, _ = text.split("\t", 3)
                if phone in repeated:
                    last[phone] = int(line)
    return last


def kept_last_lines(spool: Path) -> dict[str, int]:
    """`last_lines`, kept for the next turn."""
    path = spool.with_name("last")
    last: dict[str, int] | None = read_json(path, None)
    if last is None:
        last = last_lines(spool)
        replace_json(path, last)
    return last
