"""The clock of the server, in the hands of a test."""

from datetime import datetime, timedelta
from typing import Any


class Clock(type):
    """The class `datetime`, but with the clock of the server: `offset` from the real time, or from
    `stopped` if this is given."""

    offset = timedelta()
    stopped: datetime | None = None

    def now(cls, tz: Any = None) -> datetime:
        return (cls.stopped.astimezone(tz) if cls.stopped else datetime.now(tz)) + cls.offset

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)
