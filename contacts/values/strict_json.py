"""Reads JSON strictly by RFC 8259. Pure: no Django.

Python's own reader accepts more than the RFC: it reads `NaN` and `Infinity`, turns `1e400` into
infinity, reads integers of any length up to a limit of the interpreter, and recurses as deep as the
stack allows. PostgreSQL and most JSON readers of clients refuse such values.
"""

import json
import re
from decimal import Decimal
from itertools import accumulate
from math import isinf
from typing import Any

from .translation import gettext as _
from .translation import gettext_noop

MAX_DEPTH = 64

# Characters that JSON can spell and PostgreSQL cannot store: U+0000, and half a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

STRING = r'"(?:[^"\\]++|\\.)*+"?'
BRACKET = re.compile(rf"{STRING}|[\[{{]|[\]}}]", re.DOTALL)
# Numbers and constants, split in the same way as by Python's reader.
LITERAL = re.compile(
    rf"{STRING}|-?Infinity|NaN|-?(?:0|[1-9][0-9]*+)(?:[.][0-9]++)?(?:[eE][-+]?[0-9]++)?", re.DOTALL
)
ESCAPE = re.compile(r"\\.", re.DOTALL)
LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and -1 as signed bytes
NO_BRACKETS = bytes({*range(256)} - {*b"[]{}"})


# What Python's reader finds wrong. Some versions of Python have more of these, which stay English.
REASONS = (
    gettext_noop("Expecting value"),
    gettext_noop("Expecting property name enclosed in double quotes"),
    gettext_noop("Expecting ':' delimiter"),
    gettext_noop("Expecting ',' delimiter"),
    gettext_noop("Illegal trailing comma before end of object"),
    gettext_noop("Illegal trailing comma before end of array"),
    gettext_noop("Unterminated string starting"),
    gettext_noop("Invalid control character"),
    gettext_noop("Extra data"),
)


class MalformedJSON(ValueError):
    """The text is not valid JSON. The message says why and, if known, at which line and column."""


class BadValue(ValueError):
    """Python's reader accepts this value, and this module does not.

    `spelling`: the value as the text has it. `problem`: a sentence for the caller.
    """

    def __init__(self, spelling: str, problem: str) -> None:
        super().__init__(problem)
        self.spelling = spelling


def loads(text: str | bytes) -> Any:
    """The value of the JSON document `text`. If an object has a key twice, the last value counts.

    `text`: characters, or their UTF-8 bytes. A byte order mark in front is ignored: RFC 8259,
    section 8.1, allows that, and PowerShell and Excel write one.

    Raises `MalformedJSON` if `text` is not UTF-8 or not JSON, if a number is outside the range of
    IEEE 754 doubles (section 6; an integer inside this range stays exact, however long), and if
    brackets nest deeper than `MAX_DEPTH`.
    """
    try:
        text = (text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise MalformedJSON(
            _("Not UTF-8: byte %(place)s is wrong.") % {"place": error.start}
        ) from error
    refuse_deep_nesting(text)
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        # Some of Python's reasons end with "at", to be followed by the place.
        reason = _(error.msg.removesuffix(" at"))
        raise MalformedJSON(
            _("Not JSON: %(reason)s at %(place)s.")
            % {"reason": reason, "place": line_and_column(text, error.pos)}
        ) from error
    except BadValue as error:
        raise MalformedJSON(
            _("%(sentence)s It is at %(place)s.")
            % {"sentence": error, "place": line_and_column(text, start_of(text, error.spelling))}
        ) from error


def line_and_column(text: str, index: int) -> str:
    """Where a person finds the character at `index`: line and column, both counted from 1."""
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return _("line %(line)s, column %(column)s") % {"line": line, "column": column}


def start_of(text: str, spelling: str) -> int:
    """The index of the first number or constant with this `spelling`, outside strings.

    One pattern finds all numbers and constants. A pattern with the spelling inside would take `re`
    seconds to compile if the number has a million digits, and `re` caches the last 512 patterns.
    """
    return next(token.start() for token in LITERAL.finditer(text) if token[0] == spelling)


def refuse_deep_nesting(text: str) -> None:
    """Raises `MalformedJSON` if brackets nest deeper than `MAX_DEPTH`.

    Without this check, the depth at which Python's recursive reader fails would depend on the
    interpreter and on the stack of the thread.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH or depth(text) <= MAX_DEPTH:
        return
    level = 0
    for token in BRACKET.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if level > MAX_DEPTH:
            where = line_and_column(text, token.start())
            raise MalformedJSON(
                _("Nested deeper than %(most)s levels at %(place)s.")
                % {"most": MAX_DEPTH, "place": where}
            )


def depth(text: str) -> int:
    """The largest number of brackets that are open at one time.

    The function takes a tenth of the time of a loop over the tokens: it removes escapes, splits
    `text` at the quotes and keeps the parts outside strings. If the quotes do not match, `text` is
    not JSON, and the reader stops before it reaches any deeper bracket.
    """
    outside = (ESCAPE.sub("", text) if "\\" in text else text).split('"')[::2]
    steps = "".join(outside).encode(errors="replace").translate(LEVELS, NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b"), initial=0))


def parse_float(digits: str) -> float | int:
    """The value of a number with a fraction or an exponent.

    From 10^16 on, Python writes a float with an exponent, and PostgreSQL writes all digits. Such a
    number becomes an integer, so that both spell the number in the same way. For the same reason
    -0.0 becomes 0.0: PostgreSQL does not know -0.0.

    Raises `BadValue` for a number that a double cannot hold, or that a double rounds to zero.
    """
    number = float(digits)
    vanished = number == 0 and digits.lstrip("-0.")[:1].isdigit()
    if isinf(number) or vanished:
        raise out_of_range(digits)
    return int(Decimal(repr(number))) if abs(number) >= 1e16 else number + 0.0


def parse_int(digits: str) -> int:
    """The value of an integer. Raises `BadValue` if the integer is beyond the range of doubles."""
    if len(digits) > 308 and isinf(float(digits)):
        raise out_of_range(digits)
    return int(digits)


def out_of_range(digits: str) -> BadValue:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}…"
    sentence = _("The number %(number)s is out of range; send it as a string.")
    return BadValue(digits, sentence % {"number": shown})


def refuse_constant(name: str) -> None:
    sentence = _("%(name)s is not JSON; send null or a string.")
    raise BadValue(name, sentence % {"name": name})


DECODER = json.JSONDecoder(
    parse_float=parse_float, parse_int=parse_int, parse_constant=refuse_constant
)
