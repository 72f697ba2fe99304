"""What the API accepts besides the documented form: clients differ, and people copy requests."""

import gzip
import io
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.models import Change, Contact
from contacts.values import rules
from tests.support.api import ACTIONS, CREATE, ME, PHONE, Api, assert_error

pytestmark = pytest.mark.django_db
BODY = json.dumps({"phone": PHONE})


def packed(text: str, api: Api, encoding: str = "gzip") -> Any:
    return api.send(gzip.compress(text.encode()), **{"Content-Encoding": encoding})


@pytest.mark.parametrize("path", [CREATE + "/", "/v1/actions/create-contact/", CREATE + "//"])
def test_a_trailing_slash_is_ignored(api: Api, path: str) -> None:
    answer = api.send(BODY, path)
    assert (answer.status_code, answer.headers["Qyvo-Result"]) == (201, "created")
    assert api.get(ME + "/").json() == api.get(ME).json()


@pytest.mark.parametrize("path", ["/api/v1/", "/v1/nowhere/", "/api/v1/nowhere", "/api/v1//"])
def test_an_unknown_address_stays_unknown(api: Api, path: str) -> None:
    assert_error(api.get(path), 404, "not_found")
    assert_error(api.send("{}", path), 404, "not_found")


@pytest.mark.parametrize("name", ["send-message", "send-template", "create-campaign", "x/"])
@pytest.mark.parametrize("base", [ACTIONS, "/v1/actions/"])
def test_an_action_of_the_hosted_service_is_told_to_be_missing(
    api: Api, base: str, name: str
) -> None:
    for client in (api, Api()):
        body = assert_error(client.send("{}", base + name), 404, "not_found")
        assert "keeps contacts only" in body["message"]
        assert "/docs" in body["message"]


@pytest.mark.parametrize("kind", ["application/vnd.api+json", "Application/LD+JSON; charset=utf-8"])
def test_a_json_dialect_is_json(api: Api, kind: str) -> None:
    assert api.send(BODY, content_type=kind).status_code == 201
    for other in ("text/x+json", "application/json+xml", "application/+json"):
        assert api.send(BODY, content_type=other).status_code == 415


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_a_body_may_be_gzipped(api: Api, encoding: str) -> None:
    assert packed(BODY, api, encoding).status_code == 201
    two = gzip.compress(BODY[:9].encode()) + gzip.compress(BODY[9:].encode())
    assert api.send(two, **{"Content-Encoding": encoding}).status_code == 201
    assert api.send(BODY, **{"Content-Encoding": "identity"}).status_code == 201


def test_the_limits_hold_for_the_unpacked_size(api: Api) -> None:
    limit = 128 * 1024
    assert packed(BODY.ljust(limit), api).status_code == 201
    assert_error(packed(BODY.ljust(limit + 1), api), 413, "payload_too_large")
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < limit
    assert_error(api.send(bomb, **{"Content-Encoding": "gzip"}), 413, "payload_too_large")


def test_a_body_that_is_not_gzip_is_refused(api: Api) -> None:
    whole = gzip.compress(BODY.encode())
    for body in (BODY.encode(), whole[:-9], whole[:5], whole[:15] + b"x" + whole[16:]):
        assert_error(api.send(body, **{"Content-Encoding": "gzip"}), 400, "malformed_json")
    for encoding in ("br", "gzip, gzip", "deflate"):
        answer = api.send(whole, **{"Content-Encoding": encoding})
        assert "gzip" in assert_error(answer, 415, "unsupported_media_type")["message"]


def test_a_number_is_its_digits_where_text_is_asked(api: Api, acme: SimpleNamespace) -> None:
    answer = api.create(name=4711, tags=[2024, "vip", 1.5], metadata=[])
    assert answer.status_code == 201, answer.json()
    contact = Contact.objects.get()
    assert (contact.name, contact.tags) == ("4711", ["2024", "vip", "1.5"])
    assert api.create(tags=12.0).json()["tags"] == ["12"]
    assert api.act("add-tag", phone=PHONE, tag=7).json()["tags"] == ["12", "7"]
    assert api.create(tags='["a", "b"]').json()["tags"] == ["a", "b"]
    for field, value in (("name", True), ("tags", [False]), ("name", [1]), ("email", 1)):
        assert_error(api.create(**{field: value}), 422, "validation_failed", field)


@pytest.mark.parametrize(
    ("region", "number", "stored"),
    [
        ("", 14155550123, None),
        ("FR", 612345678, "+33612345678"),
        ("FR", 612345678.0, "+33612345678"),
        ("FR", -612345678, None),
        ("FR", 612345678.5, None),
        ("US", 4155550123, "+14155550123"),
        ("US", True, None),
    ],
)
def test_a_phone_that_is_a_number_needs_a_region(
    acme: SimpleNamespace, region: str, number: Any, stored: str | None
) -> None:
    acme.tenant.default_region = region
    acme.tenant.save()
    answer = acme.api.create(number)
    if stored:
        assert answer.json()["phone"] == stored
    else:
        assert_error(answer, 422, "validation_failed", "phone")


def test_integers_and_booleans_may_be_text(api: Api) -> None:
    for number in range(3):
        api.create(f"+1415555012{number}")
    assert len(api.act("search-contacts", limit=" 2 ").json()) == 2
    assert len(api.act("list-contacts", limit="1", include_deleted="False").json()["data"]) == 1
    for limit in ("0", "-1", "1.5", "x", "٣", "9" * 5000):
        assert_error(api.act("list-contacts", limit=limit), 422, "validation_failed", "limit")
    for flag in ("yes", "1", 1):
        answer = api.act("list-contacts", include_deleted=flag)
        assert_error(answer, 422, "validation_failed", "include_deleted")


@given(st.integers(-(10**20), 10**20) | st.floats(allow_nan=False))
def test_the_text_of_a_number_is_the_same_number(number: float) -> None:
    assert type(number)(rules.string("x", number)) == number


@pytest.mark.both
def test_null_removes_a_key_of_the_metadata(api: Api) -> None:
    api.create(metadata={"city": "Paris", "old": 1, "null": None, "deep": {"a": 1}})
    changes = {"old": None, "missing": None, "deep": {"a": None}}
    assert api.act("update-contact", phone=PHONE, metadata=changes).status_code == 200
    expected = {"city": "Paris", "null": None, "deep": {"a": None}}
    assert Contact.objects.get().metadata == expected
    before = Change.objects.count()
    api.act("update-contact", phone=PHONE, metadata={"missing": None})
    assert Change.objects.count() == before, "nothing was removed"


@pytest.mark.both
def test_the_same_decision_without_a_time_is_recorded_once(api: Api) -> None:
    api.create()

    def record(**body: str) -> tuple[Any, int]:
        answer = api.act("record-consent", phone=PHONE, **body)
        assert answer.status_code == 200, answer.json()
        return Contact.objects.values_list("opted_in_at", "opted_out_at", "updated_at").get(), (
            Change.objects.count()
        )

    form = {"status": "opted_in", "source": "form"}
    assert record(**form) == record(**form)
    _, number = record(**form)
    assert record(**form, proof="letter")[1] == number + 1, "another proof is another decision"
    out = record(status="opted_out")
    assert out == record(status="opted_out")
    assert record(**form)[0][0] > out[0][1], "a change of mind is recorded"


@pytest.mark.parametrize("host", ["", "evil.example", "a b", "localhost:x"])
def test_a_wrong_host_is_one_warning_line(api: Api, log: io.StringIO, host: str) -> None:
    assert_error(api.get(ME, Host=host), 400, "bad_request")
    lines = [line for line in log.getvalue().splitlines() if "qyvo.access" not in line]
    assert len(lines) == 1
    assert f" {logging.getLevelName(logging.WARNING)} django.security.DisallowedHost" in lines[0]
