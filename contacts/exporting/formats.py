"""What a format of exports has, and the refusal of contacts that a format cannot hold."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

Page = list[dict[str, Any]]  # contacts, each with its values by the names of the fields


class NotExportable(ValueError):
    """The format cannot hold these contacts. The message says why, and what to do."""


class Format(Protocol):
    """`label`: the name for people, in English; pages translate it. `extension`: of file
    names, without a dot.

    `is_streamed`: the file is made page by page: each piece is the text of one page in UTF-8, so
    that an export can stop after a page and be continued later.

    `is_table`: a contact is a row of cells, so each field that a tenant defines gets a column.
    """

    label: str
    extension: str
    content_type: str
    is_streamed: bool
    is_table: bool

    def pieces(
        self, pages: Iterable[Page], fields: list[str], *, is_continued: bool = False
    ) -> Iterator[bytes]:
        """The file with the contacts of `pages`, in pieces.

        `is_continued`: the file exists already and has the pages before; only for formats that are
        streamed. Raises `NotExportable`.
        """
        ...


class TextFormat:
    """A format that is streamed: a header, then the text of each page."""

    is_streamed = True
    is_table = False

    def header(self, fields: list[str]) -> str:
        return ""

    def page(self, contacts: Page, fields: list[str]) -> str:
        raise NotImplementedError

    def pieces(
        self, pages: Iterable[Page], fields: list[str], *, is_continued: bool = False
    ) -> Iterator[bytes]:
        start = "" if is_continued else self.header(fields)
        for contacts in pages:
            yield (start + self.page(contacts, fields)).encode()
            start = ""
        if start:  # there were no contacts
            yield start.encode()
