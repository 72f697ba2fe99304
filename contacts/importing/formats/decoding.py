"""Files as text: the encoding is detected, then the text is read block by block or line by line."""

import codecs
import encodings
import re
from collections.abc import Iterator
from contextlib import suppress
from encodings import aliases
from math import inf
from pathlib import Path
from pkgutil import iter_modules

from ..records import UnreadableFile
from .gzipped import unpacked

MAX_LINE = 2 * 1024 * 1024  # characters
HEAD = 8 * 1024 * 1024  # bytes that `TextHead` reads
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Encodings of host names. Their decoders take time that grows with the square of a block's length.
HOST_ENCODINGS = {"idna", "punycode"}
ENCODINGS = {
    *aliases.aliases, *(module.name for module in iter_modules(encodings.__path__)),
} - HOST_ENCODINGS  # fmt: skip


class TextFile:
    """The text of the file at `path`.

    `encoding`, `newline`: found out if they are empty. The encoding is UTF-8 or UTF-16 where a
    byte order mark or the zero bytes of UTF-16 say so, UTF-8 where the whole file can be read as
    UTF-8, and otherwise Windows-1252. `max_unpacked`: see `unpacked`.

    Raises `UnreadableFile`, also wherever the file is read.
    """

    is_cut = False  # the file has more bytes than were read

    def __init__(
        self, path: Path, encoding: str = "", newline: str = "", max_unpacked: float = inf
    ) -> None:
        self.path = path
        self.max_unpacked = max_unpacked
        self.encoding = text_encoding(encoding) if encoding else self.find_encoding()
        self.newline = newline or self.find_newline()

    def blocks(self) -> Iterator[bytes]:
        yield from unpacked(self.path, self.max_unpacked)

    def find_encoding(self) -> str:
        start = next(self.blocks(), b"")
        for bom, encoding in BOMS.items():
            if start.startswith(bom):
                return encoding
        if b"\x00" in start[:2]:
            return "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for block in self.blocks():
                decoder.decode(block)
            decoder.decode(b"", final=not self.is_cut)
        except UnicodeDecodeError:
            return "cp1252"
        return "utf-8"

    def find_newline(self) -> str:
        """The character that ends a line: old Macintosh computers wrote the carriage return."""
        start = next(self.decoded(), "")
        return "\r" if "\r" in start and "\n" not in start else "\n"

    def decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        try:
            for block in self.blocks():
                yield decoder.decode(block)
            yield decoder.decode(b"", final=not self.is_cut)
        except UnicodeError as error:
            raise UnreadableFile(
                f"Some bytes of the file are not {self.encoding}; give the file's encoding."
            ) from error

    def whole_lines(self) -> Iterator[str]:
        """The text in pieces, each of which ends with the end of a line; the last piece may lack
        its end."""
        rest: list[str] = []
        length = 0
        for text in self.decoded():
            whole, newline, begun = text.replace(self.newline, "\n").rpartition("\n")
            if newline:
                yield "".join([*rest, whole, newline])
                rest, length = [], 0
            rest.append(begun)
            length += len(begun)
            if length > MAX_LINE:
                raise UnreadableFile(f"A line is longer than {MAX_LINE:,} characters.")
        if length and not self.is_cut:
            yield "".join(rest)

    def lines(self, pattern: re.Pattern[str], skip: int = 0) -> Iterator[str]:
        r"""Lines with their ends. Only one kind of line end separates lines: a cell of a CSV may
        contain the other kinds.

        `pattern`: matches a line, or a run of blank lines. A run of blank lines comes as one text,
        because millions of texts would take minutes. `skip`: how many lines at the beginning of the
        file are left out.
        """
        for text in self.whole_lines():
            if skip and (number := text.count("\n")) <= skip:
                skip -= number
                continue
            yield from pattern.findall(text.split("\n", skip)[skip])
            skip = 0


class TextHead(TextFile):
    """The first `HEAD` bytes of a file: reading them takes the same time and memory for a file of
    any size."""

    def blocks(self) -> Iterator[bytes]:
        size = 0
        for block in super().blocks():
            if size >= HEAD:
                self.is_cut = True
                return
            yield block
            size += len(block)


def text_encoding(name: str) -> str:
    """`name`, if Python has a text encoding of this name. Raises `UnreadableFile`."""
    # Python keeps each name that `lookup` was asked for in memory forever. Without the first line,
    # callers could fill the memory with names that do not exist.
    if encodings.normalize_encoding(name).lower() in ENCODINGS:
        with suppress(LookupError):
            if codecs.lookup(name)._is_text_encoding:  # other codecs turn bytes into bytes
                return name
    raise UnreadableFile(f"There is no encoding “{name[:50]}”; try utf-8, cp1252 or utf-16.")
