"""The work for a body grows with its length and no faster, and no body leaves anything behind.

What is counted are calls of functions, those written in C too: the same on any machine. What one
of these does inside is not counted, so there is a bound on processor time beside it.
"""

import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from contacts.importing import columns, record_file, records, row
from contacts.importing.formats import decoding
from qyvo.unread import Handler
from tests.support.api import ACTION_BODIES, ACTIONS, CREATE, ON_A_CONTACT, PHONE, Api
from tests.support.hostile import BODIES, VALUES

pytestmark = [pytest.mark.once, pytest.mark.django_db]
KIB = 1024
MIB = 1024 * KIB
Json = dict[str, Any]
SLOW = {"floats written out", "nests", "empty lists"}  # microseconds for each of many small values


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """How many functions have been called so far."""
    calls = count()
    before = sys.getprofile()
    sys.setprofile(lambda *event: next(calls))
    try:
        yield lambda: next(calls)
    finally:
        sys.setprofile(before)


def send(api: Api, action: str, body: bytes) -> None:
    answer = api.send(body, ACTIONS + action)
    assert answer.status_code in (200, 201, 400, 422), answer.content
    assert len(answer.content) < 1000 + len(body) / 10, "no error repeats what was sent"


def steps(api: Api, action: str, body: bytes) -> int:
    with counted() as so_far:
        send(api, action, body)
        return so_far()


def seconds(api: Api, action: str, body: bytes) -> float:
    gc.disable()  # how often it runs depends on all that the process has made before
    try:
        start = time.thread_time()
        send(api, action, body)
        return time.thread_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize("shape", VALUES)
@pytest.mark.parametrize(
    ("action", "most"), [("create-contact", 128 * KIB), ("create-contacts", 512 * KIB)]
)
def test_twice_the_body_takes_twice_the_steps(api: Api, action: str, most: int, shape: str) -> None:
    bodies = [BODIES[action](VALUES[shape], size).encode() for size in (most // 2, most)]
    assert [len(body) > most / 5 for body in bodies] == [True, True]
    send(api, action, bodies[0])  # what is made once only
    half, whole = [steps(api, action, body) for body in bodies]
    assert whole <= 2.2 * half
    assert whole <= 20_000 + 5 * len(bodies[1]), "nothing looks at each character in Python"


@pytest.mark.parametrize("shape", VALUES)
def test_the_largest_body_takes_no_longer_than_its_parts(api: Api, shape: str) -> None:
    most = 2 * MIB if shape in SLOW else 8 * MIB
    small, large = [BODIES["create-contacts"](VALUES[shape], n).encode() for n in (most // 8, most)]
    once = min(seconds(api, "create-contacts", small) for _ in range(2))
    assert seconds(api, "create-contacts", large) < 8 * 2.5 * (once + 0.01)


def test_bodies_leave_nothing_behind(api: Api) -> None:
    """100 different ones, of each shape: 10 MiB."""
    bodies = [
        f'{{"phone":"{PHONE}","metadata":{{"x":{value(100 * KIB + 60 * n)}}}}}'.encode()
        for n in range(3)
        for value in VALUES.values()
    ]
    assert len({*bodies}) >= 100
    send(api, "create-contact", b"{}")
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for body in bodies:
            send(api, "create-contact", body)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 5 * MIB


OF_A_CONTACT = {"phone": PHONE}
REQUESTS = [
    *(
        (ACTIONS + name, (OF_A_CONTACT if name in {*ON_A_CONTACT, "create-contact"} else {}) | body)
        for name, body in ACTION_BODIES.items()
    ),
    (CREATE, {"phone": "none"}),
    (ACTIONS + "get-contact", {"phone": "+14155550199"}),
    ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}),
]


def test_requests_leave_no_objects_that_only_a_search_for_garbage_finds(api: Api) -> None:
    """A search stops all threads of a process: the slowest hundredth of the requests took twice as
    long."""
    handler = Handler()
    environ = RequestFactory(headers=api.headers).post("/").environ

    def send(path: str, data: Json) -> int:
        body = json.dumps(data).encode()
        request = {"PATH_INFO": path, "REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json"}
        given = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
        response = handler.get_response(WSGIRequest(environ | request | given))
        status: int = response.status_code
        return status

    def left_by(path: str, data: Json) -> int:
        send(CREATE, OF_A_CONTACT | {"tags": "vip"})
        gc.collect()
        statuses.add(send(path, data))
        return gc.collect()

    statuses = set[int]()
    # Three times: some do more than others, such as the first one in a second.
    left = [(min(left_by(path, data) for _ in range(3)), path, data) for path, data in REQUESTS]
    few = 3 * 2  # of each query with select_related, such as the one for the token
    assert [request for request in left if request[0] > few] == []
    assert statuses == {200, 201, 202, 404, 409, 422}


# What else a caller may make long


def test_a_column_name_full_of_accents_is_matched_at_once() -> None:
    """Python sorts accents by insertion: these would take it minutes."""
    name = "a" + "\u0301" * 200_000 + "\u0316" * 200_000
    start = time.process_time()
    found = columns.match([name, "phone"], {}, rest_to_metadata=False)
    assert found.fields == {"phone": "phone"}
    assert time.process_time() - start < 5


def test_a_search_or_tag_full_of_accents_finds_nothing_at_once(
    admin_client: Any, acme: Any
) -> None:
    text = "a" + "\u0301" * 20_000 + "\u0316" * 20_000
    start = time.process_time()
    assert acme.tenant.tags.named_like(text) == []
    assert admin_client.get("/admin/contacts/contact/", {"q": f"{text} b"}).status_code == 200
    assert time.process_time() - start < 5


def test_no_encoding_that_is_asked_for_is_remembered() -> None:
    """`codecs.lookup` keeps each name for ever, those too that no codec has."""
    import encodings

    before = len(vars(encodings)["_cache"])
    for n in range(100):
        with pytest.raises(records.UnreadableFile, match="There is no encoding"):
            decoding.text_encoding(f"no-{n}-{'x' * 1000}")
    assert len(vars(encodings)["_cache"]) == before


@pytest.mark.parametrize(
    ("first", "blank"),
    [
        (b"phone\n", b"\n"),
        (b"phone\r\n", b"\r\n"),
        (b"phone\r", b"\r"),
        (b'{"phone": "12"}\n', b" \n"),
    ],
)
def test_blank_lines_cost_next_to_nothing(tmp_path: Path, first: bytes, blank: bytes) -> None:
    number = 64 * 1024 * 1024 // len(blank)
    last = b'{"phone": "+14155550123"}' if b"{" in first else b"+14155550123"
    path = tmp_path / "blank.csv"
    path.write_bytes(blank * 1000 + first + blank * number + last)
    start = time.process_time()
    source = record_file.RecordFile(path)
    *_, record = source.records()
    assert time.process_time() - start < 6, "2 seconds on a machine that is not busy"
    assert (record.line, record.cells) == (1002 + number, {"phone": "+14155550123"})


def test_the_work_for_long_numbers_grows_with_the_file(tmp_path: Path) -> None:
    taken = []
    for lines in (2, 16):
        path = tmp_path / f"{lines}.ndjson"
        path.write_text(
            (json.dumps({"phone": "12"})[:-1] + ',"x":' + "9" * 1_000_000 + "}\n") * lines
        )
        start = time.process_time()
        records = list(record_file.RecordFile(path).records())
        assert len(records) == lines
        for record in records:
            row.misfit(record.cells[None])  # type: ignore[index]
        taken.append(time.process_time() - start)
    assert taken[1] < 8 * 3 * (taken[0] + 0.02)
