"""The log: one line per request to the API, without personal data; JSON on demand."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from contacts.writing import links
from qyvo.logs import JSONFormatter
from tests.support.api import ACTIONS, CREATE, PHONE, Api
from tests.support.processes import manage, serving

PERSONAL = {"phone": PHONE, "name": "Romain Privat", "email": "romain@example.com", "tags": "lover"}


@pytest.fixture
def as_json(log: io.StringIO) -> Iterator[None]:
    handler = next(h for h in logging.getLogger().handlers if h.name == "stderr")
    before = handler.formatter
    handler.setFormatter(JSONFormatter())
    yield
    handler.setFormatter(before)


def lines_of(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.django_db
def test_each_request_to_the_api_has_one_line(acme: SimpleNamespace, log: io.StringIO) -> None:
    acme.api.get("/api/v1/me", **{"X-Request-Id": "mine"})
    [line] = log.getvalue().splitlines()
    assert "INFO qyvo.access [mine] me 200 in " in line
    assert line.endswith(f" ms, token {acme.token.prefix}, tenant {acme.tenant.pk}")


@pytest.mark.django_db
def test_each_request_to_the_api_has_one_json_object(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace,
    log: io.StringIO, as_json: None,
) -> None:  # fmt: skip
    acme.api.send(json.dumps({"phone": PHONE}), "/v1/actions/create-contact",
                  **{"X-Request-Id": "a"})  # fmt: skip
    globex.api.act("get-contact", phone=PHONE)
    outsider.api.create()
    Api().create()
    Api().get("/api/v1/nowhere")
    Api().get("/")
    told = [(line["action"], line["status"], line["token"], line["tenant"])
            for line in lines_of(log) if line["logger"] == "qyvo.access"]  # fmt: skip
    assert told == [
        ("create-contact", 201, acme.token.prefix, acme.tenant.pk),
        ("get-contact", 404, globex.token.prefix, globex.tenant.pk),
        ("create-contact", 422, outsider.token.prefix, None),
        ("create-contact", 401, None, None),
        (None, 404, None, None),
    ]
    first = lines_of(log)[0]
    assert list(first) == ["time", "level", "logger", "request_id", "message", "action", "status",
                           "ms", "token", "tenant"]  # fmt: skip
    assert (first["level"], first["request_id"]) == ("INFO", "a")
    assert 0 < first["ms"] < 60_000
    assert first["time"].endswith("+00:00")


@pytest.mark.django_db
def test_an_error_has_its_traceback_as_a_field(
    api: Api, monkeypatch: pytest.MonkeyPatch, log: io.StringIO, as_json: None
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(links, "link", fail)
    api.client.raise_request_exception = False
    api.create(tags="vip")
    error, access = sorted(lines_of(log), key=lambda line: line["level"])
    assert error["traceback"].startswith("Traceback (most recent call last):")
    assert error["traceback"].endswith("RuntimeError: a bug")
    assert error["request_id"] == access["request_id"]
    assert (access["action"], access["status"]) == ("create-contact", 500)


@pytest.mark.parametrize("log_format", ["line", "json"])
def test_the_log_contains_no_personal_data(
    log_format: str, transactional_db: None, acme: Any, tmp_path: Path
) -> None:
    """Not from the body, and not from an address or query string that should not contain any."""
    log = tmp_path / "log"
    with (
        serving(log, workers=1, LOG_FORMAT=log_format) as url,
        httpx.Client(base_url=url, headers=acme.api.headers, timeout=60) as web,
    ):
        assert web.post(CREATE, json=PERSONAL).status_code == 201
        assert web.post(f"{CREATE}?name=Romain Privat", json={"phone": "1"}).status_code == 422
        assert web.post(f"{ACTIONS}get-contact", json={"email": "x@example.com"}).status_code == 404
        as_json = {"Content-Type": "application/json"}
        assert web.post(CREATE, content="{" + PHONE, headers=as_json).status_code == 400
        assert web.get(f"/api/v1/contacts/{PHONE}").status_code == 404
    text = log.read_text()
    assert text.count("create-contact 201") == 1
    for word in [PHONE, PHONE[1:], "Romain", "romain", "example.com", "lover", acme.plaintext]:
        assert word not in text
    if log_format == "json":
        lines = [
            json.loads(line) for line in text.splitlines()
        ]  # including the lines of the server program
        told = [line["status"] for line in lines if line["logger"] == "qyvo.access"]
        assert told[-5:] == [201, 422, 404, 400, 404]


def test_the_default_format_is_lines_and_json_is_optional(tmp_path: Path) -> None:
    code = "import logging; logging.getLogger('x').warning('so “so”')"
    line = manage(tmp_path, "shell", "-v0", "-c", code).stderr
    assert line.endswith(" WARNING x [-] so “so”\n")
    line = manage(tmp_path, "shell", "-v0", "-c", code, LOG_FORMAT="json").stderr
    assert json.loads(line)["message"] == "so “so”"
    assert json.loads(line)["request_id"] is None
