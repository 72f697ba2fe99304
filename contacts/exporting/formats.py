"""What a format of exports has, and the refusal of contacts that a format cannot hold."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

Page = list[dict[str, Any]]  # contacts, each with its values by the names of the fields


class NotExportable(ValueError):
    """The format cannot hold these contacts. The message says why, and what to do."""


class Format(Protocol):
    """`label`: the name for people, in English; pages translate it. `extension`: of file
    names, without a dot.

    `is_streamed`: the pieces of the file are there page by page, before all pages are read.

    `is_table`: a contact is a row of cells, so each field that a tenant defines gets a column.
    """

    label: str
    extension: str
    content_type: str
    is_streamed: bool
    is_table: bool

    def pieces(self, pages: Iterable[Page], fields: list[str]) -> Iterator[bytes]:
        """The file with the contacts of `pages`, in pieces. Raises `NotExportable`."""
        ...

    def parts(
        self, pages: Iterable[Page], fields: list[str], contacts: int | None
    ) -> Iterator[bytes]:
        """One part for each page, so that an export can stop after a page and be continued later.
        All parts, one after the other, are what `complete` takes.

        `contacts`: how many the pages before have; None if there are no pages before. Raises
        `NotExportable`.
        """
        ...

    def complete(self, parts: Path, fields: list[str], contacts: int) -> Path:
        """Makes the whole file of the file `parts`, which has all parts, and returns where it is.
        `contacts`: how many the whole file has. Raises `NotExportable`."""
        ...


class TextFormat:
    """A format that is streamed: a header, then the text of each page."""

    is_streamed = True
    is_table = False

    def header(self, fields: list[str]) -> str:
        return ""

    def page(self, contacts: Page, fields: list[str]) -> str:
        raise NotImplementedError

    def pieces(self, pages: Iterable[Page], fields: list[str]) -> Iterator[bytes]:
        return self.parts(pages, fields, None)

    def parts(
        self, pages: Iterable[Page], fields: list[str], contacts: int | None
    ) -> Iterator[bytes]:
        start = self.header(fields) if contacts is None else ""
        for page in pages:
            yield (start + self.page(page, fields)).encode()
            start = ""
        if start:  # there were no contacts
            yield start.encode()

    def complete(self, parts: Path, fields: list[str], contacts: int) -> Path:
        return parts
