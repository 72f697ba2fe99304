"""All contacts of an account → one NDJSON file, also if the download is killed in between.

Pages have numbers, and contacts move between pages while the account is in use: one that is deleted
moves all later ones, and one of them is then on no page that is still to come. So a download whose
pages do not add up goes through all pages again, up to `PASSES` times. If no pass adds up, the file
has all contacts that any pass has shown, each as it was shown last.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

from contacts.jobs.files import read_json, replace_json

from .account import Account, Page

PASSES = 3
PAGES, POSITION = "download", "downloaded"  # files of the folder


class Position(NamedTuple):
    """How far the download is. `account`: a digest of the account. `page`: the next page. `size`:
    the bytes of the file so far. `passes`: how many passes have ended. `begins`: the byte at which
    this pass begins. `totals`: the numbers of contacts that the pages of this pass have said, each
    once."""

    account: str
    page: int = 1
    size: int = 0
    passes: int = 0
    begins: int = 0
    totals: Sequence[int] = ()

    @classmethod
    def of(cls, folder: Path, account: str) -> "Position":
        """The position that was stored last; the beginning for another account, or if the file is
        shorter than the position says."""
        pages = folder / PAGES
        found = cls(*read_json(folder / POSITION, (account,)))
        is_there = pages.exists() and pages.stat().st_size >= found.size
        return found if is_there and found.account == account else cls(account)

    def after(self, page: Page, size: int) -> "Position":
        """The position after the next page of the same pass."""
        totals = [*dict.fromkeys([*self.totals, page.total])]
        return self._replace(page=self.page + 1, size=size, totals=totals)

    def next_pass(self) -> "Position":
        return Position(self.account, 1, self.size, self.passes + 1, self.size)


class Downloaded(NamedTuple):
    """`read`: the contacts in the file. `total`: those of the account, as it said last."""

    read: int
    total: int


def digest_of(url: str, token: str) -> str:
    """Says whether two downloads are of the same account. With another token, the account may be
    another one, and the pages of two accounts must not come into one file."""
    return sha256(f"{url} {token}".encode()).hexdigest()


def download(
    account: Account, folder: Path, digest: str, target: Path, progress: Callable[[int], Any]
) -> Downloaded:
    """Writes the contacts to `target`, one JSON object a line, and goes on with a download that was
    killed. `folder`: where the pages are kept meanwhile. `progress`: called with the number of
    contacts of each page. Raises `Refused`; the next call goes on."""
    position = Position.of(folder, digest)
    with (folder / PAGES).open("ab+") as file:
        file.truncate(position.size)
        while True:
            page = account.page(position.page)
            file.writelines(map(line_of, page.contacts))
            file.flush()
            position = position.after(page, file.seek(0, 2))
            progress(len(page.contacts))
            if page.is_last and (is_steady(file, position) or position.passes + 1 == PASSES):
                break
            position = position.next_pass() if page.is_last else position
            replace_json(folder / POSITION, position)
        return Downloaded(finish(file, position, target), page.total)


def line_of(contact: dict[str, Any]) -> bytes:
    return json.dumps(contact).encode() + b"\n"


def is_steady(file: IO[bytes], position: Position) -> bool:
    """Whether the pages of this pass add up: all have said the same number, and they have shown so
    many different contacts."""
    return [*position.totals] == [len(last_lines(file, position.begins))]


def finish(file: IO[bytes], position: Position, target: Path) -> int:
    """Writes `target`, whole or not at all. Returns the number of contacts."""
    begins = position.begins if is_steady(file, position) else 0
    last = last_lines(file, begins)
    unfinished = target.with_name(f"{target.name}.unfinished")
    kept = {*last.values()}
    with unfinished.open("wb") as whole:
        whole.writelines(
            line for number, line in enumerate(lines_of(file, begins)) if number in kept
        )
    unfinished.replace(target)
    return len(last)


def lines_of(file: IO[bytes], begins: int) -> Iterator[bytes]:
    file.seek(begins)
    yield from file


def last_lines(file: IO[bytes], begins: int) -> dict[str, int]:
    """For each contact, the number of the last line that shows it."""
    lines = enumerate(lines_of(file, begins))
    return {str(json.loads(line)["id"]): number for number, line in lines}
