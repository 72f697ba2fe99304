"""Files as text: the encoding is detected, then the text is read block by block or line by line."""

import codecs
import encodings
import re
from collections.abc import Iterator
from contextlib import suppress
from encodings import aliases
from itertools import islice
from math import inf
from pathlib import Path
from pkgutil import iter_modules

from contacts.values.translation import gettext as _
from contacts.values.translation import grouped

from ..records import UncertainEncoding, UnreadableFile
from .code_pages import candidates, composed, words_of
from .gzipped import unpacked

MAX_LINE = 2 * 1024 * 1024  # characters
LINE_START = 1000  # characters that stay of a longer line of which only the beginning matters
# A line with its end, or a run of blank lines.
LINES = re.compile(r"[\r\n]+|[^\r\n]+(?:\r\n?|\n)?")
LINE_END = re.compile(r"\r\n?|\n")
HEAD = 8 * 1024 * 1024  # bytes that `TextHead` reads
SHOWN = 10  # words of a candidate for the encoding
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Encodings of host names. Their decoders take time that grows with the square of a block's length.
HOST_ENCODINGS = {"idna", "punycode"}
ENCODINGS = {
    *aliases.aliases, *(module.name for module in iter_modules(encodings.__path__)),
} - HOST_ENCODINGS  # fmt: skip


class TextFile:
    """The text of the file at `path`.

    `encoding`: found out if it is empty. The encoding is UTF-8 or UTF-16 where a byte order mark
    or the zero bytes of UTF-16 say so, UTF-8 where the whole file can be read as UTF-8, and
    otherwise the code page in which the words read best. `max_unpacked`: see `unpacked`.

    Raises `UnreadableFile`, also wherever the file is read.
    """

    is_cut = False  # the file has more bytes than were read
    # Matches the beginnings of lines that may be of any length, because the rest does not matter.
    # Set by formats that have such lines.
    endless: re.Pattern[str] | None = None

    def __init__(self, path: Path, encoding: str = "", max_unpacked: float = inf) -> None:
        self.path = path
        self.max_unpacked = max_unpacked
        self.encoding = text_encoding(encoding) if encoding else self.find_encoding()

    def blocks(self) -> Iterator[bytes]:
        yield from unpacked(self.path, self.max_unpacked)

    def find_encoding(self) -> str:
        start = next(self.blocks(), b"")
        for bom, encoding in BOMS.items():
            if start.startswith(bom):
                return encoding
        if encoding := utf_16_by_zeros(start):
            return encoding
        line = self.line_without_utf8()
        return self.find_code_page(line) if line else "utf-8"

    def line_without_utf8(self) -> int:
        """The first line that cannot be read as UTF-8; 0 if all lines can."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        line = 1
        try:
            for block in self.blocks():
                line += line_ends(decoder.decode(block))
            decoder.decode(b"", final=not self.is_cut)
        except UnicodeDecodeError as error:
            return line + error.object.count(b"\n", 0, error.start)
        return 0

    def find_code_page(self, line: int) -> str:
        """`line`: the first line that is not UTF-8. Raises `UnreadableFile`, and
        `UncertainEncoding` if the file may have several encodings."""
        words = words_of(self.blocks(), HEAD)
        if 2 * sum(map(is_utf8, words)) > len(words):
            raise UnreadableFile(
                _(
                    "Most of the file is UTF-8, but line %(line)s is not. Save the file as UTF-8"
                    " again, or give its encoding."
                )
                % {"line": grouped(line)}
            )
        found = candidates(words)
        if len(found) != 1:
            raise UncertainEncoding([(each.encoding, [*each.words[:SHOWN]]) for each in found])
        return found[0].encoding

    def decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        try:
            for block in self.blocks():
                yield decoder.decode(block)
            yield decoder.decode(b"", final=not self.is_cut)
        except UnicodeError as error:
            raise UnreadableFile(
                _("Some bytes of the file are not %(encoding)s; give the file's encoding.")
                % {"encoding": self.encoding}
            ) from error

    def whole_lines(self) -> Iterator[str]:
        """The text in pieces, each of which ends with the end of a line; the last piece may lack
        its end. Old programs write Ctrl-Z at the end of a file, which is left out."""
        rest: list[str] = []
        length = 0
        for text in filter(None, self.decoded()):
            # A carriage return at the end of a block may be the first half of a line end.
            end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
            if rest and rest[-1].endswith("\r") and not text.startswith("\n"):
                yield "".join(rest)
                rest, length = [], 0
            if end:
                yield "".join([*rest, text[:end]])
                rest, length = [], 0
            rest.append(text[end:])
            length += len(text) - end
            if length > MAX_LINE:
                rest = self.shortened("".join(rest))
                length = sum(map(len, rest))
        if length and not self.is_cut:
            yield "".join(rest).rstrip("\x1a")

    def shortened(self, line: str) -> list[str]:
        """The beginning and the last character of `line`, which is too long and goes on: the
        character may be half of a line end. Raises `UnreadableFile` if all of the line matters."""
        if not (self.endless and self.endless.match(line)):
            raise UnreadableFile(
                _("A line is longer than %(most)s characters.") % {"most": grouped(MAX_LINE)}
            )
        return [line[:LINE_START], line[-1]]

    def lines(self, skip: int = 0, pattern: re.Pattern[str] = LINES) -> Iterator[str]:
        r"""Lines with their ends: `\n`, `\r\n` or `\r`, also mixed.

        A run of blank lines comes as one text, because millions of texts would take minutes.
        `skip`: how many lines at the beginning of the file are left out. `pattern`: matches a line,
        or a run of blank lines.
        """
        for text in self.whole_lines():
            text = composed(text, self.encoding)
            if skip and (number := line_ends(text)) <= skip:
                skip -= number
                continue
            yield from pattern.findall(text, after(text, skip))
            skip = 0


def is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


def line_ends(text: str) -> int:
    """How many ends of lines `text` has."""
    if "\r" not in text:
        return text.count("\n")
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def after(text: str, number: int) -> int:
    """Where the line begins that has `number` lines before it."""
    return next(islice(LINE_END.finditer(text), number - 1, None)).end() if number else 0


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


def utf_16_by_zeros(start: bytes) -> str:
    """The form of UTF-16 that a text with these first bytes has; empty if it has none. The first
    character of a file is ASCII, and in UTF-16 one of its two bytes is zero."""
    if b"\0" not in start[:2]:
        return ""
    return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"


def text_encoding(name: str) -> str:
    """`name`, if Python has a text encoding of this name. Raises `UnreadableFile`."""
    # Python keeps each name that `lookup` was asked for in memory forever. Without the first line,
    # callers could fill the memory with names that do not exist.
    if encodings.normalize_encoding(name).lower() in ENCODINGS:
        with suppress(LookupError, ValueError):  # the latter for a name with a NUL
            if codecs.lookup(name)._is_text_encoding:  # other codecs turn bytes into bytes
                return name
    raise UnreadableFile(
        _("There is no encoding “%(name)s”; try utf-8, cp1252 or utf-16.") % {"name": name[:50]}
    )
