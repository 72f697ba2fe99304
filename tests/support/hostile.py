"""Bodies made to cost much: each shape makes one of about `size` bytes, for any size.

`tests/system/test_work.py` holds the work for them to their length;
`tests/benchmarks/hostile_bodies.py` prints the seconds.
"""

import json
from collections.abc import Callable

Shape = Callable[[int], str]


def many(item: str, size: int) -> str:
    """As many of `item` as fit into `size` bytes, in a JSON list."""
    return f"[{','.join([item] * (size // (len(item) + 1)))}]"


def numbered(item: str, size: int) -> str:
    """As `many`; each `#` in `item` is the number of the item, so no two are alike."""
    number = size // (len(item) + 6)
    return ",".join(item.replace("#", f"{n:06}") for n in range(number))


# Values of JSON, for a field of a contact.
VALUES: dict[str, Shape] = {
    "long integer": lambda size: "9" * size,
    "long negative": lambda size: "-" + "9" * size,
    "long fraction": lambda size: "0." + "3" * size,
    "long zero": lambda size: "0." + "0" * size,
    "number that vanishes": lambda size: "0." + "0" * size + "1",
    "long exponent": lambda size: "1e" + "9" * size,
    "long mantissa": lambda size: "1" * size + "e-" + str(size),
    "integers": lambda size: many("9" * 308, size),
    "floats written out": lambda size: many("1e300", size),
    "NaN at the end": lambda size: many("1", size)[:-1] + ",NaN]",
    "NaN in strings": lambda size: many('"NaN"', size)[:-1] + ",NaN]",
    "deep": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "deep without end": lambda size: '[{"a":' * (size // 6),
    "nests": lambda size: many("[" * 25 + "]" * 25, size),
    "empty lists": lambda size: many("[]", size),
    "brackets in strings": lambda size: many('"[{"', size),
    "brackets behind a quote": lambda size: '"' * size + "[" * 70,
    "escapes": lambda size: '"' + "\\u0041" * (size // 6) + '"',
    "backslashes": lambda size: '"' + "\\" * size,
    "escaped quotes": lambda size: '"' + '\\"' * (size // 2) + "[" * 70,
    "half a surrogate": lambda size: '"' + "x" * size + '\\ud800"',
    "keys": lambda size: "{" + numbered('"#":1', size) + "}",
    "one key": lambda size: "{" + ",".join(['"a":1'] * (size // 6)) + "}",
    "long key": lambda size: '{"' + "k" * size + '":1}',
    "strings": lambda size: "[" + numbered('"tag#"', size) + "]",
    "commas in a string": lambda size: '"' + "," * size + '"',
    "blanks in a string": lambda size: '"' + " " * size + 'a"',
    "accents": lambda size: '"a' + "\\u0301" * (size // 12) + "\\u0316" * (size // 12) + '"',
    "digits in a string": lambda size: '"+' + "1" * size + '"',
    "labels": lambda size: '"a@' + "b." * (size // 2) + '"',
    "white space": lambda size: " " * size + "1",
    "lines": lambda size: "\n" * size + "1",
    "commas": lambda size: "," * size,
    "minus signs": lambda size: "-" * size,
}  # fmt: skip
FIELDS = ["phone", "name", "email", "tags", "metadata"]
ROW = 8_000  # bytes of a contact of a batch


def one_contact(value: Shape, size: int) -> str:
    """A body of create-contact of at most `size` bytes, each of whose fields has such a value."""
    each = size // len(FIELDS) - 100
    phone = json.dumps("+14155550123")
    fields = [f'"{name}":{value(each)}' for name in FIELDS[1:]]
    return f'{{"phone":{phone},{",".join(fields)},"x":{value(each)}}}'


def many_contacts(value: Shape, size: int) -> str:
    """A body of create-contacts: as many rows as are allowed, or one of the whole size."""
    half = size // 2
    rows = [one_contact(value, ROW)] * min(1000, half // ROW)
    return f'{{"contacts":[{",".join([*rows, one_contact(value, half - 100)])}]}}'


BODIES: dict[str, Callable[[Shape, int], str]] = {
    "create-contact": one_contact,
    "create-contacts": many_contacts,
}
