"""X-Request-Id: in every response; the id of the caller if it is valid."""

import io
import logging
import re
from typing import Any

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("given", ["a", "7f3c-11", "x" * 128, "!\"#~{}'"])
def test_a_valid_id_of_the_caller_is_returned(api: Api, given: str) -> None:
    assert api.get("/api/v1/me", **{"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "a b", "a\tb", "é", "a\r\nSet-Cookie: x=1", "\x7f"]
)
def test_an_invalid_id_is_replaced(api: Api, given: str) -> None:
    response = api.get("/api/v1/me", **{"X-Request-Id": given})
    assert re.fullmatch("[0-9A-Z]{26}", response.headers["X-Request-Id"])
    assert "Set-Cookie" not in response.headers


def test_each_request_gets_a_different_id(api: Api) -> None:
    assert len({api.get("/api/v1/me").headers["X-Request-Id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    "path", ["/", "/admin/", "/admin/login/", "/static/admin/css/base.css", "/x"]
)
def test_every_page_has_an_id(client: Any, path: str) -> None:
    response = client.get(path, headers={"X-Request-Id": "mine"})
    response.close()  # a static file
    assert response.headers["X-Request-Id"] == "mine"


def test_the_log_line_of_a_refused_request_has_the_id(api: Api, log: io.StringIO) -> None:
    api.send("{", **{"X-Request-Id": "find-me"})
    assert "[find-me] create-contact 400" in log.getvalue()


def test_a_log_line_outside_a_request_has_no_id() -> None:
    from qyvo.request_id import RequestIdFilter, current

    record = logging.makeLogRecord({})
    current.set("-")
    assert RequestIdFilter().filter(record)
    assert record.request_id == "-"  # type: ignore[attr-defined]
