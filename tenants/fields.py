"""The key of every public record: a ULID, in the form that the API shows. And how the numbers that
are the keys of other rows are read."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from threading import Lock
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy

# The digits of Crockford's base 32 and of Python's. Our own code: libraries convert digit by
# digit, 8 µs per id. A request makes five ids, and a page of contacts shows hundreds.
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TO_PYTHON = str.maketrans(DIGITS, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
PAIRS = [first + second for first in DIGITS for second in DIGITS]
SHIFTS = range(120, -1, -10)
SHAPE = re.compile(rf"[0-7][{DIGITS}]{{25}}")


def random_numbers() -> Iterator[int]:
    """Numbers of 80 random bits. The system is asked for many at once: Python lets another thread
    run whenever the system is asked, and then waits for its turn, six times in a create-contact."""
    while True:
        some = os.urandom(10 * 256)
        yield from (int.from_bytes(some[at : at + 10], "big") for at in range(0, len(some), 10))


class Bits:
    """An iterator of the 128 bits of new ULIDs (github.com/ulid/spec).

    The first 48 bits are the time in milliseconds and the other 80 bits are random. In the same
    millisecond, or if the clock goes back, the next value is the last value plus one: each id is
    greater than all earlier ids of this process.
    """

    def __init__(self) -> None:
        self.last = 0
        self.lock = Lock()
        self.draw_anew()
        os.register_at_fork(after_in_child=self.draw_anew)  # or both would take the same numbers

    def draw_anew(self) -> None:
        self.random = random_numbers()

    def __next__(self) -> int:
        return self.take(1).start

    def take(self, number: int) -> range:
        """The bits of so many new ULIDs, as if all were made in one millisecond: for thousands, in
        a tenth of the time."""
        with self.lock:
            fresh = time.time_ns() // 1_000_000 << 80 | next(self.random)
            first = fresh if fresh >> 80 > self.last >> 80 else self.last + 1
            self.last = first + number - 1
        return range(first, first + number)


bits = Bits()


def new_ulid() -> str:
    return ulid_of(next(bits))


def parse_ulid(value: Any) -> str:
    """Returns `value` as 26 upper-case characters of Crockford's base 32.

    Accepts a ULID in upper or lower case, and the same 128 bits as a UUID (an object, or text with
    or without dashes). Raises `ValueError` for anything else.
    """
    if isinstance(value, uuid.UUID):
        return ulid_of(value.int)
    if not isinstance(value, str):
        raise ValueError("Not a ULID.")  # noqa: TRY004 - one error for every wrong id
    if len(value) != 26:
        return ulid_of(uuid.UUID(value).int)
    # ASCII only: the upper case of U+017F, a letter that no ULID has, is "S".
    if not (value.isascii() and SHAPE.fullmatch(ulid := value.upper())):
        raise ValueError("Not a ULID.")
    return ulid


def is_ulid(value: Any) -> bool:
    try:
        return bool(parse_ulid(value))
    except ValueError:
        return False


def ulid_of(bits: int) -> str:
    """The ULID with these 128 bits."""
    return "".join([PAIRS[bits >> shift & 1023] for shift in SHIFTS])


def first_ulid(moment: datetime) -> str:
    """The smallest ULID that can be made at `moment`."""
    return ulid_of(int(moment.timestamp() * 1000) << 80)


def bits_of(ulid: str) -> int:
    """The 128 bits of a ULID as `parse_ulid` returns it."""
    return int(ulid.translate(TO_PYTHON), 32)


def hex_id(ulid: str) -> str:
    """A ULID as both databases read it in statements: 32 hexadecimal digits."""
    return f"{bits_of(ulid):032x}"


def number_of(text: str) -> int | None:
    """The id of a row with numbers for ids, such as a user. None if `text` cannot be one: databases
    refuse numbers of more than 63 bits."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


class ULIDField(models.UUIDField):
    """A ULID in Python; in the database a `uuid` (PostgreSQL) or 32 hexadecimal digits (SQLite).

    All three sort in the same order: by time of creation.
    """

    description = "ULID"

    # What type checkers see (django-stubs).
    _pyi_private_set_type: str
    _pyi_private_get_type: str  # type: ignore[assignment]
    default_error_messages = {"invalid": gettext_lazy("“%(value)s” is not an id.")}

    def to_python(self, value: Any) -> str | None:
        if value is None:
            return None
        try:
            return parse_ulid(value)
        except ValueError as error:
            raise ValidationError(
                self.error_messages["invalid"], code="invalid", params={"value": value}
            ) from error

    def from_db_value(self, value: uuid.UUID | None, *args: Any) -> str | None:
        return None if value is None else parse_ulid(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Raises `ValueError` if `value` is not an id, as other fields do in look-ups."""
        return None if value is None else parse_ulid(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        ulid = value if prepared else self.get_prep_value(value)
        bits = None if ulid is None else uuid.UUID(int=bits_of(ulid))
        return super().get_db_prep_value(bits, connection, prepared=True)
