"""Dates as people and spreadsheets write them. Pure: no Django."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from .translation import gettext as _
from .translation import gettext_noop

ISO, DAY_FIRST, MONTH_FIRST = ORDERS = ("iso", "dmy", "mdy")

CLOCK = r"(?:,?[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([AaPp])?\.?(?:[Mm]\.?)?)?"
# 31/12/2025, 31.12.25, 12-31-2025 3:45 PM
NUMBERS = re.compile(r"(\d{1,2})([/. -])(\d{1,2})\2(\d{4}|\d{2})" + CLOCK)
# 2025/12/31, as spreadsheets write dates in Japan and China. With minus signs, it is ISO 8601.
YEAR_FIRST = re.compile(r"(\d{4})([/.])(\d{1,2})\2(\d{1,2})" + CLOCK)
# Days since the end of 1899, as workbooks store dates; from 1954 on, with five digits.
SERIAL = re.compile(r"[2-9]\d{4}(?:[.]\d+)?")
FIRST_DAY = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook's dates have no time zone

SENTENCES = {
    ISO: gettext_noop("Send a timestamp in ISO 8601 with an offset: 2026-05-07T08:14:23+00:00."),
    DAY_FIRST: gettext_noop("The date must be day, month, year, such as 31/12/2025."),
    MONTH_FIRST: gettext_noop("The date must be month, day, year, such as 12/31/2025."),
}


def moment(text: str, order: str = ISO, zone: tzinfo | None = None) -> datetime | None:
    """The time that `text` spells, in UTC; None for blank text.

    `order`: one of `ORDERS`: `dmy` and `mdy` read dates such as 31/12/2025 and serial numbers of
    workbooks, beside ISO 8601 and 2025/12/31. A year of two digits lies between 1969 and 2068, as
    in POSIX. A date without a time means the beginning of the day.
    `zone`: the time zone of a time without an offset. Without `zone`, ISO 8601 needs an offset, and
    dates in the other orders are in UTC.

    Raises `ValueError` with a sentence for the user.
    """
    text = text.strip()
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        time = local_time(text, order)
        if time.tzinfo is None and (zone or order != ISO):
            time = time.replace(tzinfo=zone or UTC)
        if time.tzinfo:
            return time.astimezone(UTC)
    raise ValueError(_(SENTENCES[order]))


def local_time(text: str, order: str) -> datetime:
    if order != ISO:
        if SERIAL.fullmatch(text):
            return FIRST_DAY + timedelta(seconds=round(float(text) * 86_400))
        if match := NUMBERS.fullmatch(text):
            first, _, second, year, *clock = match.groups()
            day, month = (first, second) if order == DAY_FIRST else (second, first)
            return on_clock(full_year(year), month, day, *clock)
    if match := YEAR_FIRST.fullmatch(text):
        year, _, month, day, *clock = match.groups()
        return on_clock(int(year), month, day, *clock)
    return datetime.fromisoformat(text)


def on_clock(
    year: int, month: str, day: str, hour: str | None, minute: str, seconds: str, half: str
) -> datetime:
    return datetime(  # noqa: DTZ001 - `moment` adds the time zone
        year, int(month), int(day), hour_of(hour, half), int(minute or 0), int(seconds or 0)
    )


def full_year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year > 68 else 2000)


def hour_of(text: str | None, half: str | None) -> int:
    """The hour of the day. `half`: `A` or `P` of a clock with twelve hours."""
    hour = int(text or 0)
    if not half:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"There is no hour {hour} on a clock with twelve hours.")
    return hour % 12 + (12 if half in "Pp" else 0)
