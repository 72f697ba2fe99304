"""A JSON array of objects, on one line or on many. The columns are the keys of all objects.

The array may be a value of an object, as in `{"contacts": [{…}, {…}]}`.
"""

import re
from collections.abc import Iterator
from typing import NoReturn

from contacts.values.translation import either, gettext_noop, grouped
from contacts.values.translation import gettext as _

from ..columns import known_field
from ..records import Record, UnreadableFile
from .decoding import line_ends
from .format import InputFile
from .keyed import KeyedFormat
from .ndjson import cells_of

MAX_RECORD = 2 * 1024 * 1024  # characters

# JSON allows no line end inside a string. So a string that is not closed is found on its line.
STRING = r'"(?:[^"\\\r\n]++|\\.)*+"'
OPEN_STRING = re.compile(r'"(?:[^"\\\r\n]++|\\.)*+\\?')
# An object or a list, up to two levels deep, as most records are.
INNER = rf'[\[{{](?:[^"{{}}\[\]]++|{STRING})*+[\]}}]'
SHALLOW = re.compile(rf'[\[{{](?:[^"{{}}\[\]]++|{STRING}|{INNER})*+[\]}}]')
TOKEN = re.compile(rf'{STRING}|"|[\[{{]|[\]}}]')
SCALAR = re.compile(rf'{STRING}|[^\s,\[\]{{}}"]++')
BLANK = re.compile("[ \t\r\n\ufeff]*+")
# A text in which strings match, even if it is not valid JSON: no word is outside a string.
WORD = r"(?:true|false|null|NaN|-?Infinity|[-+.]?\d[-+.\deE]*+)"
TOKENS = re.compile(rf"(?:\s++|[,:\[\]{{}}]|(?:{STRING}|{WORD})(?=[\s,:\]}}]|$))*+")
# A value that is no array, or the beginning of an array with the first character inside.
ARRAY = re.compile(r"[^\s\[]|\[\s*+(\S)")
CLOSING = {"[": "]", "{": "}"}
NO_END = gettext_noop("the array has no end, so the file is not complete")
LEVELS = {"[": 1, "{": 1, "]": -1, "}": -1}


class JSONArrayFormat(KeyedFormat):
    """Records are cut out of the text block by block: a file of any size takes the memory of its
    longest record.

    An element of the array that is not valid JSON fails alone if its strings and brackets match.
    Otherwise nobody can tell where the element ends, and the file is refused. So is an object with
    several arrays of objects, because nobody can tell which one has the contacts.
    """

    name = "JSON"
    suffixes = (".json",)
    media_types = ("application/json",)
    errors = "ndjson"

    @classmethod
    def recognises(cls, file: InputFile) -> bool:
        return bool(re.match(r'\[\s*[\[{\]"]', file.start_text)) or holds_array(file.start_text)

    def records(self, first_line: int = 1) -> Iterator[Record]:
        """The records, beginning with the record whose `line` is `first_line`; 1: all records.

        `line`: the line on which the record begins. Further records on the same line are counted
        on, so that each record has a `line` of its own: in an array on one line, `line` is the
        number of the record.
        """
        last = 0
        for begin, text in self.elements():
            last = max(begin, last + 1)
            if last >= first_line:
                yield record_of(begin, last, text)

    def elements(self) -> Iterator[tuple[int, str]]:
        try:
            yield from Elements(self.text.decoded())
        except UnreadableFile:
            if not self.text.is_cut:
                raise


class Elements:
    """The elements of the array in `blocks`, as texts, each with the line on which it begins.
    Iterating raises `UnreadableFile` if the array or an element has no end."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self.blocks = filter(None, blocks)
        self.buffer = ""
        self.at = 0  # what is before this index of the buffer was read
        self.line = 1  # the line of this index

        self.is_at_end = False  # `blocks` has no more text

    def __iter__(self) -> Iterator[tuple[int, str]]:
        yield from self.of_object() if self.next_character() == "{" else self.of_array()
        if self.next_character():
            refuse(self.line, _("there is more text after the end of the array"))

    def of_array(self) -> Iterator[tuple[int, str]]:
        self.take("[")
        separator = self.take("]") if self.next_character() == "]" else ","
        while separator == ",":
            if not self.next_character():
                refuse(self.line, _(NO_END))
            line = self.line
            yield line, self.cut(self.end_of_element())
            separator = self.take(",]")

    def of_object(self) -> Iterator[tuple[int, str]]:
        """The elements of the one array of objects that is a value of the object."""
        arrays: list[str] = []
        for key in self.members():
            if not self.is_at_array():
                self.next_value()
                continue
            arrays.append(key)
            if len(arrays) > 1:
                refuse_several(arrays)
            yield from self.of_array()

    def members(self) -> Iterator[str]:
        """The keys of an object. After each key, the caller reads its value."""
        self.take("{")
        separator = self.take("}") if self.next_character() == "}" else ","
        while separator == ",":
            if self.next_character() != '"':
                refuse(self.line, _("there should be a name in quotes"))
            key = self.next_value()[1:-1]
            self.take(":")
            yield key
            separator = self.take(",}")

    def next_value(self) -> str:
        if not self.next_character():
            refuse(self.line, _(NO_END))
        return self.cut(self.end_of_element())

    def is_at_array(self) -> bool:
        """Whether the next value is an array that begins with an object."""
        self.next_character()
        while not (found := ARRAY.match(self.buffer, self.at)) and self.more():
            pass
        return found is not None and found[1] == "{"

    def next_character(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            blank = BLANK.match(self.buffer, self.at)
            self.cut(blank.end() if blank else self.at)
            if self.at < len(self.buffer) or not self.more():
                return self.buffer[self.at : self.at + 1]

    def take(self, characters: str) -> str:
        """Reads one of these `characters`."""
        found = self.next_character()
        if not found:
            refuse(self.line, _(NO_END))
        if found not in characters:
            problem = _("there should be %(characters)s here")
            refuse(self.line, problem % {"characters": either(characters)})
        return self.cut(self.at + 1)

    def cut(self, end: int) -> str:
        """Reads the text up to the index `end`."""
        text = self.buffer[self.at : end]
        self.line += line_ends(text)
        self.at = end
        return text

    def more(self) -> bool:
        """Adds a block to the buffer. Returns False at the end of the file."""
        block = next(self.blocks, "")
        if block.endswith("\r"):  # it may be the first half of a line end
            block += next(self.blocks, "")
        self.buffer = self.buffer[self.at :] + block
        self.at = 0
        if len(self.buffer) > MAX_RECORD + len(block):
            problem = _("the record is longer than %(most)s characters")
            refuse(self.line, problem % {"most": grouped(MAX_RECORD)})
        self.is_at_end = not block
        return bool(block)

    def end_of_element(self) -> int:
        """The index after the element."""
        if self.buffer[self.at] in CLOSING:
            shallow = SHALLOW.match(self.buffer, self.at)
            return shallow.end() if shallow else self.end_of_deep_element()
        while not (end := self.end_of_scalar()):
            self.go_on()
        return end

    def end_of_deep_element(self) -> int:
        depth = 0
        read = 0  # characters of the element; reading them again for each block would take minutes
        while True:
            for token in TOKEN.finditer(self.buffer, self.at + read):
                read = token.start() - self.at
                if token[0] == '"':
                    self.refuse_line_end_in_string(token.start())
                    break
                depth += LEVELS.get(token[0], 0)
                if not depth:
                    return token.end()
                read = token.end() - self.at
            self.go_on()

    def go_on(self) -> None:
        if not self.more():
            refuse(self.line, _("the record has no end, so the file is not complete"))

    def end_of_scalar(self) -> int:
        """The index in the buffer where an element ends that is neither an object nor a list. 0 if
        the buffer does not have all of it. Raises `UnreadableFile`."""
        if scalar := SCALAR.match(self.buffer, self.at):
            return scalar.end() if scalar.end() < len(self.buffer) else 0
        if self.buffer[self.at] != '"':
            refuse(self.line, _("there should be a record"))
        self.refuse_line_end_in_string(self.at)
        return 0

    def refuse_line_end_in_string(self, begin: int) -> None:
        """`begin`: the index of a string that has no end in the buffer."""
        found = OPEN_STRING.match(self.buffer, begin)
        if found and found.end() < len(self.buffer):
            line = self.line + line_ends(self.buffer[self.at : begin])
            refuse(line, _("a string is not closed"))


def record_of(begin: int, line: int, text: str) -> Record:
    """The record with this `line` for the element `text`, which begins in the line `begin`."""
    cells = cells_of(text)
    if None in cells and not is_closed(text):
        refuse(begin, _("a string or a bracket of this record is not closed"))
    return Record(line, cells, len(text))


def is_closed(text: str) -> bool:
    """Whether strings and brackets match in `text`, which is not valid JSON."""
    if not TOKENS.fullmatch(text):
        return False
    open_brackets: list[str] = []
    end = 0
    for token in TOKEN.finditer(text):
        bracket = token[0]
        if bracket in CLOSING:
            # Where a key should be, an object begins: the object before is not closed.
            if open_brackets[-1:] == ["{"] and text[end : token.start()].strip() in {"", ","}:
                return False
            open_brackets.append(bracket)
        elif bracket in "]}" and CLOSING[open_brackets.pop()] != bracket:
            return False
        end = token.end()
    return True


def holds_array(text: str) -> bool:
    """Whether `text`, the beginning of a file, is an object with an array of objects, and no record
    with such an array: no key of the object is a phone, and no other object follows."""
    if not text.startswith("{"):
        return False
    elements = Elements(iter([text]))
    found = False
    try:
        for key in elements.members():
            if known_field(key) == "phone":
                return False
            found = found or elements.is_at_array()
            elements.next_value()
        return found and not elements.next_character()
    except UnreadableFile:
        return found and elements.is_at_end  # the object goes on after `text`


def refuse_several(arrays: list[str]) -> NoReturn:
    first, second = arrays
    raise UnreadableFile(
        _(
            "The object has several arrays, “%(first)s” and “%(second)s”. Leave only the array of"
            " contacts in the file."
        )
        % {"first": first[:50], "second": second[:50]}
    )


def refuse(line: int, problem: str) -> NoReturn:
    raise UnreadableFile(
        _("Line %(line)s: %(problem)s. Correct the file, or export it again.")
        % {"line": line, "problem": problem}
    )
