"""Dates as people and spreadsheets write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.values import dates

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("07/05/2026", "dmy", "2026-05-06T22:00:00+00:00"),
        ("05/07/2026", "mdy", "2026-05-06T22:00:00+00:00"),
        ("7.5.26 10:14", "dmy", "2026-05-07T08:14:00+00:00"),
        ("5-7-2026, 3:45:10 PM", "mdy", "2026-05-07T13:45:10+00:00"),
        ("5/7/2026 12:05 a.m.", "mdy", "2026-05-06T22:05:00+00:00"),
        ("46149", "dmy", "2026-05-06T22:00:00+00:00"),
        ("46149.5", "mdy", "2026-05-07T10:00:00+00:00"),
        ("2026-05-07", "dmy", "2026-05-06T22:00:00+00:00"),
        ("2026-01-07 10:00", "iso", "2026-01-07T09:00:00+00:00"),
        ("2026-05-07T08:14:23Z", "dmy", "2026-05-07T08:14:23+00:00"),
        ("2026/05/07 10:14:23", "dmy", "2026-05-07T08:14:23+00:00"),
        ("2026/5/7", "iso", "2026-05-06T22:00:00+00:00"),
        ("2026.05.07 3:45 PM", "mdy", "2026-05-07T13:45:00+00:00"),
    ],
)
def test_a_date_without_offset_is_in_the_time_zone(text: str, order: str, expected: str) -> None:
    time = dates.moment(text, order, PARIS)
    assert time is not None
    assert time.isoformat() == expected


def test_without_a_time_zone_iso_needs_an_offset_and_the_others_are_utc() -> None:
    assert dates.moment("07/05/2026", "dmy") == datetime(2026, 5, 7, tzinfo=UTC)
    with pytest.raises(ValueError, match="with an offset"):
        dates.moment("2026-05-07T08:14:23")


@pytest.mark.parametrize(
    ("text", "order"),
    [("31/12/2026", "mdy"), ("12/31/2026", "dmy"), ("1/2.2026", "dmy"), ("1/2/026", "dmy"),
     ("1/2/2026 13:00 PM", "dmy"), ("1/2/2026 25:00", "dmy"), ("7/5/2026", "iso"), ("soon", "mdy"),
     ("2026/31/12", "dmy"), ("2026/5.7", "iso")],
)  # fmt: skip
def test_what_is_no_date_in_this_order_is_refused(text: str, order: str) -> None:
    with pytest.raises(ValueError, match=r"must be|Send a timestamp"):
        dates.moment(text, order, PARIS)


@given(st.integers(0, 3_000_000_000), st.sampled_from(["/", ".", "-"]))
def test_both_orders_read_what_they_write(seconds: int, sign: str) -> None:
    time = datetime.fromtimestamp(seconds, UTC)
    forms = {"dmy": ("%d/%m/%Y", "%Y/%m/%d"), "mdy": ("%m/%d/%y", "%Y/%m/%d")}
    for order, form in [(each, form) for each in forms for form in forms[each]]:
        text = time.strftime(form.replace("/", sign) + " %H:%M:%S")
        assert dates.moment(text, order) == time


@given(st.text(max_size=30), st.sampled_from(dates.ORDERS))
def test_any_text_is_a_time_or_a_sentence(text: str, order: str) -> None:
    try:
        dates.moment(text, order, PARIS)
    except ValueError as error:
        assert str(error) == dates.SENTENCES[order]
