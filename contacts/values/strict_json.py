"""JSON as RFC 8259 has it, where Python's own reader is more generous. Pure: no Django.

Python reads `NaN` and `Infinity`, turns `1e400` into infinity, keeps integers of any length
up to a limit of the interpreter, and recurses as deep as the stack allows.
"""

import json
import re
from decimal import Decimal
from itertools import accumulate
from math import isinf
from typing import Any

MAX_DEPTH = 64

# What JSON can spell and PostgreSQL cannot store: U+0000, and half a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

STRING = r'"(?:[^"\\]++|\\.)*+"?'
BRACKET = re.compile(rf"{STRING}|[\[{{]|[\]}}]", re.DOTALL)
# Numbers and constants, parted as Python's reader parts them.
LITERAL = re.compile(
    rf"{STRING}|-?Infinity|NaN|-?(?:0|[1-9][0-9]*+)(?:[.][0-9]++)?(?:[eE][-+]?[0-9]++)?", re.DOTALL
)
ESCAPE = re.compile(r"\\.", re.DOTALL)
LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one more, or one less: signed bytes
NO_BRACKETS = bytes({*range(256)} - {*b"[]{}"})


class MalformedJSON(ValueError):
    """The message says what is wrong and, where it can, at which line and column."""


class BadValue(ValueError):
    """A value that Python's reader takes, with its `spelling`."""

    def __init__(self, spelling: str, problem: str) -> None:
        super().__init__(problem)
        self.spelling = spelling


def loads(text: str | bytes) -> Any:
    """The value that `text` stands for; of a key given twice, the last value.

    `text`: characters, or their UTF-8 bytes. A byte order mark in front is ignored (RFC 8259,
    section 8.1, leaves that to the reader; PowerShell and Excel write one).

    Raises `MalformedJSON` for what is not UTF-8 or not JSON, for numbers beyond the range of
    IEEE 754 doubles (section 6; integers within it stay exact, however long), and for
    nesting deeper than `MAX_DEPTH`.
    """
    try:
        text = (text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise MalformedJSON(f"Not UTF-8: byte {error.start} is wrong.") from error
    refuse_deep_nesting(text)
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJSON(f"Not JSON: {error.msg} at {place(text, error.pos)}.") from error
    except BadValue as error:
        raise MalformedJSON(
            f"{error} It is at {place(text, found(text, error.spelling))}."
        ) from error


def place(text: str, index: int) -> str:
    """Where people find a character."""
    line = text.count("\n", 0, index) + 1
    return f"line {line}, column {index - text.rfind(chr(10), 0, index)}"


def found(text: str, spelling: str) -> int:
    """Where the first number or constant with this `spelling` begins, strings left out.

    One pattern for all of them: `re` would compile a pattern with the spelling in it for seconds
    where a number has a million digits, and keep the last 512 such patterns in its cache.
    """
    return next(token.start() for token in LITERAL.finditer(text) if token[0] == spelling)


def refuse_deep_nesting(text: str) -> None:
    """Raises `MalformedJSON` before the recursive reader meets more than `MAX_DEPTH` levels.

    How deep that one could go depends on the interpreter and on the stack of the thread.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH or depth(text) <= MAX_DEPTH:
        return
    level = 0
    for token in BRACKET.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if level > MAX_DEPTH:
            where = place(text, token.start())
            raise MalformedJSON(f"Nested deeper than {MAX_DEPTH} levels at {where}.")


def depth(text: str) -> int:
    """How many brackets are open at most, in a tenth of the time of looking at each token.

    Quotes part strings from the rest, once escapes are out. Where they do not, `text` is not JSON,
    and the reader comes no further.
    """
    outside = (ESCAPE.sub("", text) if "\\" in text else text).split('"')[::2]
    steps = "".join(outside).encode(errors="replace").translate(LEVELS, NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b"), initial=0))


def parse_float(digits: str) -> float | int:
    """A number with a fraction or exponent.

    From 10^16 on, where Python writes floats with an exponent, it is read as the integer that
    it is, because PostgreSQL writes it out in full: so it has one spelling everywhere. So has
    -0.0, which PostgreSQL does not know: 0.0.
    """
    number = float(digits)
    vanished = number == 0 and digits.lstrip("-0.")[:1].isdigit()
    if isinf(number) or vanished:
        raise out_of_range(digits)
    return int(Decimal(repr(number))) if abs(number) >= 1e16 else number + 0.0


def parse_int(digits: str) -> int:
    if len(digits) > 308 and isinf(float(digits)):
        raise out_of_range(digits)
    return int(digits)


def out_of_range(digits: str) -> BadValue:
    shown = digits if len(digits) <= 20 else f"{digits[:20]}…"
    return BadValue(digits, f"The number {shown} is out of range; send it as a string.")


def refuse_constant(name: str) -> None:
    raise BadValue(name, f"{name} is not JSON; send null or a string.")


DECODER = json.JSONDecoder(
    parse_float=parse_float, parse_int=parse_int, parse_constant=refuse_constant
)
