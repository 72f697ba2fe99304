"""Bad input: each gets the documented error, none a 5xx, and nothing is half written."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from contacts.models import Contact, ContactTag, Tag
from contacts.values.rules import is_number
from contacts.writing import links
from tests.support.api import CREATE, PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.examples import FEW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_half_written(db: None) -> Any:
    yield
    written = (Contact.objects.count(), Tag.objects.count(), ContactTag.objects.count())
    assert written == (0, 0, 0)


def with_tag(**fields: Any) -> dict[str, Any]:
    """A body that is good but for `fields`; its tag must not survive the refusal."""
    return {"phone": PHONE, "tags": "vip"} | fields


WRONG_TYPES = [1, 1.5, True, ["x"], {"x": 1}]
LONE_SURROGATE = "\ud83d"


@in_one_test(
    ("field", "value"),
    [
        *[("phone", value) for value in [*WRONG_TYPES, None, "", " ", "x", "+", "911"]],
        ("phone", "+1415555012\x00"),
        ("phone", "+1415555012" + LONE_SURROGATE),
        ("phone", "+1 415 555 0123" + " " * 50),
        *[("name", value) for value in WRONG_TYPES if not is_number(value)],
        ("name", "x" * 256),
        ("name", "é" * 256),
        ("name", "a\x00b"),
        ("name", LONE_SURROGATE),
        *[("email", value) for value in WRONG_TYPES],
        *[("email", value) for value in ["x", "@", "a@", "@b.c", "a@b", "a b@c.de", "a@b..de"]],
        ("email", "a@b.de, c@d.de"),
        ("email", "a@b.de\x00"),
        ("email", "a@b\u200bc.de"),
        ("email", f"a{LONE_SURROGATE}@b.de"),
        ("email", "a" * 243 + "@example.com"),
        *[("tags", value) for value in [True, {"x": 1}, [True], [None], [["x"]], ["a,b"]]],
        ("tags", "x" * 101),
        ("tags", ["x" * 101]),
        ("tags", ",".join(f"t{n}" for n in range(101))),
        ("tags", "a\x00"),
        ("tags", ["a", LONE_SURROGATE]),
        *[("metadata", value) for value in [1, 1.5, True, "x", ["x"]]],
        ("metadata", {"a": "\x00"}),
        ("metadata", {"\x00": 1}),
        ("metadata", {"a": [{"b": LONE_SURROGATE}]}),
        ("metadata", {LONE_SURROGATE: 1}),
    ],
)
def test_a_bad_field_is_named(api: Api, field: str, value: Any) -> None:
    body = assert_error(
        api.send(json.dumps(with_tag(**{field: value}))), 422, "validation_failed", field
    )
    assert body["error"] == "The given data was invalid."


def test_the_message_has_the_first_reason_and_counts_the_others(api: Api) -> None:
    """n8n shows people `message` only; programs find the public sentence at its beginning."""
    body = assert_error(api.create("+1 415"), 422, "validation_failed", "phone")
    sentence = "The given data was invalid. phone: The phone is too short for its country."
    assert (body["error"], body["message"]) == ("The given data was invalid.", sentence)
    several = api.create("+1 415", email="x", name="x" * 256)
    body = assert_error(several, 422, "validation_failed", "phone", "email", "name")
    assert body["message"] == f"{sentence} (and 2 more)"


def test_a_missing_phone_is_named(api: Api) -> None:
    assert_error(api.send('{"tags": "vip"}'), 422, "validation_failed", "phone")


def test_all_bad_fields_are_named_at_once(api: Api) -> None:
    bad = {"phone": "x", "name": [1], "email": "x", "tags": True, "metadata": 1}
    assert_error(api.send(json.dumps(bad)), 422, "validation_failed", *bad)


@in_one_test(
    "body",
    [
        b"{",
        b'{"phone": }',
        b"{'phone': 'x'}",
        b'{"phone": "+14155550123",}',
        b'{"phone": "+14155550123"} {}',
        b'{"phone": "+14155550123", "name": "a\x00b"}',
        b'{"phone": "+14155550123", "name": "a\nb"}',
        b'{"phone": "+14155550123", "name": "\\x41"}',
        b'{"phone": "+14155550123", "metadata": {"a": NaN}}',
        b'{"phone": "+14155550123", "metadata": {"a": Infinity}}',
        b'{"phone": "+14155550123", "metadata": {"a": -Infinity}}',
        b'{"phone": "+14155550123", "metadata": {"a": 1e400}}',
        b'{"phone": "+14155550123", "metadata": {"a": -1e400}}',
        b'{"phone": "+14155550123", "metadata": {"a": 1e-400}}',
        b'{"phone": "+14155550123", "metadata": {"a": -0.01e-400}}',
        b'{"phone": "+14155550123", "metadata": {"a": ' + b"9" * 5000 + b"}}",
        b'{"phone": "+14155550123", "metadata": {"a": ' + b"9" * 310 + b"}}",
        b'{"phone": "+14155550123", "metadata": {"a": 01}}',
        b'{"phone": "+14155550123", "unknown": ' + b"[" * 65 + b"]" * 65 + b"}",
        b"[" * 100_000,
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 20_000,
        '{"phone": "+14155550123", "name": "Zoé"}'.encode("latin-1"),
        '{"phone": "+14155550123"}'.encode("utf-16"),
        b'{"phone": "\xed\xa0\xbd"}',
        b"\xff\xfe",
        b"phone=%2B14155550123",
        b"   ",
    ],
)
def test_what_is_not_json_is_malformed(api: Api, body: bytes) -> None:
    assert_error(api.send(body), 400, "malformed_json")


def test_a_malformed_body_is_told_where_it_breaks(api: Api) -> None:
    body = assert_error(api.send('{"phone": "+1",\n "name" "x"}'), 400, "malformed_json")
    assert "line 2, column 9" in body["message"]
    body = assert_error(api.send('{"phone": "+1'), 400, "malformed_json")
    assert body["message"] == "Not JSON: Unterminated string starting at line 1, column 11."


@in_one_test("body", ["[[]]", '["+14155550123"]', '"+14155550123"', "1", "null", "true"])
def test_json_that_is_no_object_is_refused(api: Api, body: str) -> None:
    assert_error(api.send(body), 422, "validation_failed", "body")


@in_one_test("body", [b"", b"[]"])  # the latter as PHP writes it
def test_no_body_is_an_empty_object(api: Api, body: bytes) -> None:
    assert_error(api.send(body), 422, "validation_failed", "phone")


@in_one_test(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "*/*",
        "nonsense",
    ],
)
def test_another_content_type_is_told_the_right_one(api: Api, content_type: str) -> None:
    response = api.send(json.dumps(with_tag()), content_type=content_type)
    body = assert_error(response, 415, "unsupported_media_type")
    assert "application/json" in body["message"]


def test_a_body_over_128_kib_is_too_large(api: Api) -> None:
    start = json.dumps(with_tag(phone="x"))[:-1] + ', "padding": "'
    largest = start + "x" * (128 * 1024 - len(start) - 2) + '"}'
    assert_error(api.send(largest), 422, "validation_failed", "phone")
    assert_error(api.send(largest + " "), 413, "payload_too_large")


@in_one_test("method", ["get", "put", "patch", "delete", "options", "trace"])
def test_another_method_is_told_the_right_one(api: Api, method: str) -> None:
    response = getattr(api.client, method)(CREATE, headers=api.headers)
    assert_error(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"


@in_one_test(
    "path",
    [
        "/api/v1/nope",
        "/api/v1/actions/nope",
        "/v1/nope",
        "/api/",
        "/api/v2/me",
        "/api/v1/%00",
        "/api/v1/%ff",
        "/api/v1/../me",
        "/api",
        "/v1",
        "/nope",
    ],
)
def test_an_unknown_address_is_not_found(api: Api, path: str) -> None:
    assert_error(api.get(path), 404, "not_found")
    assert_error(Api().send("{", path), 404, "not_found")


def test_a_wrong_host_is_refused_as_json(api: Api) -> None:
    assert_error(api.get("/api/v1/me", Host="evil.example"), 400, "bad_request")


def test_too_many_parameters_are_refused_as_json(api: Api, settings: Any) -> None:
    query = "&".join(f"p{n}=1" for n in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1))
    answer = api.send("{}", f"/api/v1/actions/search-contacts?{query}")
    body = assert_error(answer, 400, "bad_request")
    assert "too many fields" in body["message"]


def test_an_account_without_workspace_is_told_so_before_its_body_is_read(
    outsider: SimpleNamespace,
) -> None:
    for body in [json.dumps(with_tag()), "{", "[]"]:
        error = assert_error(outsider.api.send(body), 422, "no_workspace")
        assert error["message"] == "No workspace configured for this account."


def test_the_token_is_checked_before_anything_else() -> None:
    assert_error(Api().send("{"), 401, "unauthenticated")
    assert_error(Api().send("{}", content_type="text/plain"), 401, "unauthenticated")


def test_a_fault_of_ours_leaks_nothing_and_is_logged_with_the_request_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(links, "link", fail)
    api.client.raise_request_exception = False
    response = api.send(json.dumps(with_tag()), **{"X-Request-Id": "find-me"})
    body = assert_error(response, 500, "server_error")
    assert "secret" not in json.dumps(body)
    assert response.headers["X-Request-Id"] == "find-me"
    assert "ERROR django.request [find-me]" in log.getvalue()
    assert "RuntimeError: secret detail" in log.getvalue()


def test_a_statement_that_is_wrong_is_a_fault_of_ours_and_no_outage(
    api: Api, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    """SQLite calls it an OperationalError, as it does a full disk."""

    def fail(*args: object, **kwargs: object) -> None:
        connection.cursor().execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(links, "link", fail)
    api.client.raise_request_exception = False
    assert_error(api.send(json.dumps(with_tag())), 500, "server_error")
    assert "Traceback" in log.getvalue()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[])),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=[])), children, max_size=4)
    ),
    max_leaves=12,
)
field_names = st.sampled_from(["phone", "name", "email", "tags", "metadata", "x"])


@FEW
@given(body=st.dictionaries(field_names, json_values) | json_values)
def test_no_json_at_all_gets_a_5xx(api: Api, body: Any) -> None:
    response = api.send(json.dumps(body))
    assert response.status_code in {400, 422}, "a random value is no phone"
    assert set(response.json()) >= {"error", "message", "code"}


@FEW
@given(body=st.binary() | st.text().map(str.encode))
def test_no_bytes_at_all_get_a_5xx(api: Api, body: bytes) -> None:
    assert api.send(body).status_code in {400, 422}
