"""Input made to hurt: it costs little, finds no way around, and nothing secret comes out."""

import http.client
import json
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from django.db import connection

from contacts.models import Contact
from contacts.values import formulas, phones, rules, strict_json
from contacts.webhooks.rules import endpoint
from qyvo.request_id import ACCEPTABLE
from qyvo.serve import listen
from tenants.models import ApiToken
from tests.support.api import PASSWORD, PHONE, Api, assert_error
from tests.support.databases import of_the_owner
from tests.support.paths import ROOT
from tests.support.processes import serving

pytestmark = pytest.mark.django_db
PATIENCE = 5  # seconds: what is linear takes milliseconds, what is not takes for ever
LONGEST = 20  # seconds of a request, on a machine that is busy with other things


@pytest.fixture
def bounded() -> Any:
    start = time.process_time()
    yield
    assert time.process_time() - start < PATIENCE


# What makes bad patterns and parsers run for ever: much of one, then what does not fit.
HARD = [
    head + unit * (length // len(unit)) + tail
    for length in (64, 10_000, 100_000)
    for head, unit, tail in [
        ("", "a", "!"), ("", "a@", "!"), ("a@", "a.", "!"), ("a@", "a-", "-"), ('"', "\\", ""),
        ("a@", "xn--", "."), ("+", "1", "x"), ("+", "1 ", "x"), ("+1", "(", ")"),
        ("tel:", "+", "1"),
        ("", "\u200b", "1"), ("", "，", ","), ("", ",", "a"), ("", " ", "a"), ("", "é\u0301", "!"),
        ("", "0x", "g"), ("", "1.", "x"), ("text/plain", ";charset=", ";"), ("", "&#", ";"),
    ]
]  # fmt: skip
READERS: dict[str, Any] = {
    "phone": rules.phone,
    "phone of a region": lambda text: rules.phone(text, "US"),
    "parts of a phone": phones.parts,
    "name": rules.name,
    "email": rules.email,
    "tags": rules.tags,
    "tag": rules.tag,
    "locale": rules.locale,
    "timestamp": rules.timestamp,
    "folded": rules.folded,
    "webhook": endpoint,
    "JSON text": lambda text: strict_json.loads(json.dumps(text)),
    "no JSON": strict_json.loads,
    "cell": formulas.neutral,
    "request id": ACCEPTABLE.fullmatch,
    "content type": lambda text: re.sub(r";\s*charset=[^;]*", "", text),
    "token": ApiToken.SHAPE.fullmatch,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_for_ever(reader: str, bounded: None) -> None:
    for text in HARD:
        with suppress(ValueError):
            READERS[reader](text)


@pytest.mark.parametrize(
    "body",
    [
        {f"key{n}": n for n in range(5_000)},
        # Of one hash where text is not salted (PHP's and old Python's kind).
        {"".join(pair): 1 for pair in product(["Aa", "BB"], repeat=12)},
        {"metadata": {str(n * (2**61 - 1)): n for n in range(3_000)}},
        {"tags": [f"tag{n}" for n in range(9_000)]},
        {"tags": "," * 100_000},
        {"metadata": {"a": [[]] * 20_000}},
        {"name": "\u0301" * 30_000},
        {"email": "a" * 60_000 + "@" + "b." * 20_000},
    ],
    ids=lambda body: next(iter(body))[:8],
)
def test_a_heavy_body_costs_little(api: Api, body: dict[str, Any], bounded: None) -> None:
    """Up to the largest that is read."""
    text = json.dumps(body | {"phone": PHONE}, separators=(",", ":"), ensure_ascii=False)
    assert api.send(text[: 127 * 1024]).status_code in {201, 400, 422}


# Ways around


def waiting(server: httpx.Client, head: str, body: str) -> socket.socket:
    """A connection that has sent this of a request, and then nothing."""
    url = server.base_url
    web = socket.create_connection((url.host, url.port), timeout=30)
    web.sendall(f"{head} HTTP/1.1\r\nHost: 127.0.0.1\r\n{body}".encode())
    return web


@pytest.mark.parametrize(
    "body",
    [
        "Content-Ty",
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
    ids=["headers", "body", "chunks"],
)
def test_nobody_unknown_keeps_the_others_waiting(server: httpx.Client, body: str) -> None:
    """With requests that never end, many more than there are threads."""
    head = "POST /api/v1/actions/create-contact"
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(waiting(server, head, body))
        time.sleep(0.5)
        for _ in range(8):
            assert server.post("/api/v1/actions/create-contact", json={"phone": PHONE}).is_success


@pytest.mark.parametrize("pieces", [[b'{"phone": "+1415', b'5550123"}'], [b"{}"], [b""]])
def test_a_body_in_pieces_is_read_whole(server: httpx.Client, pieces: list[bytes]) -> None:
    kind = {"Content-Type": "application/json"}
    answer = server.post("/api/v1/actions/create-contact", content=iter(pieces), headers=kind)
    assert answer.status_code == (201 if len(pieces) == 2 else 422), answer.text
    large = server.post(
        "/api/v1/actions/create-contact", content=iter([b" " * 64 * 1024] * 3), headers=kind
    )
    assert large.status_code == 413


def test_no_body_at_all_is_no_body(server: httpx.Client) -> None:
    """As curl -X POST sends it, without a length."""
    token = f"Authorization: {server.headers['Authorization']}"
    rest = f"{token}\r\nConnection: close\r\n\r\n"
    with waiting(server, "POST /api/v1/actions/list-tags", rest) as web:
        assert web.makefile("rb").read().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("size", "status"), [(30_000, 200), (60_000, 431)])
def test_headers_of_any_size_are_answered(server: httpx.Client, size: int, status: int) -> None:
    assert server.get("/api/v1/me", headers={"X-Large": "x" * size}).status_code == status


# Who holds connections


@contextmanager
def connections(
    server: httpx.Client, number: int, *, small: bool = False
) -> Iterator[list[socket.socket]]:
    """So many to the server. Small ones have buffers that hold a few KiB of an answer; else the
    kernel takes more than a MiB of it from the server."""
    url, opened = server.base_url, []
    try:
        for _ in range(number):
            web = socket.socket()
            opened.append(web)
            web.settimeout(30)
            if small:
                web.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
                web.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            web.connect((url.host, url.port))
        yield opened
    finally:
        for web in opened:
            web.close()


@pytest.fixture
def descriptors() -> Iterator[int]:
    """How many this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(server: httpx.Client) -> float:
    """MiB of the largest process of this server."""
    port = str(server.base_url.port)
    found = [
        child.memory_info().rss
        for main in psutil.process_iter(["cmdline"])
        if {"qyvo.serve", port} <= {*(main.info["cmdline"] or [])}
        for child in main.children()
    ]
    return max(found) / 2**20


def assert_answers_at_once(server: httpx.Client) -> None:
    for path in ("/healthz", "/api/v1/me"):
        began = time.monotonic()
        with httpx.Client(base_url=server.base_url, headers=server.headers, timeout=60) as web:
            assert web.get(path).status_code == 200
        assert time.monotonic() - began < LONGEST


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def test_connections_that_are_silent_or_idle_hold_up_nobody(
    server: httpx.Client, descriptors: int
) -> None:
    """As many as are allowed: granian's own limit counts connections, not requests."""
    most = descriptors - 1_000
    with connections(server, min(4_096, most)) as silent:
        assert_answers_at_once(server)
        for web in silent:
            web.sendall(GET + b"X-Large: " + b"x" * 30_000)  # a request that does not end
        assert_answers_at_once(server)
        assert memory(server) < 500
    with connections(server, min(10_000, most)) as idle:
        for web in idle:
            web.sendall(GET + b"\r\n")
        for web in idle:
            assert web.recv(4_096).startswith(b"HTTP/1.1 200")
        assert_answers_at_once(server)


def test_readers_that_do_not_read_hold_up_nobody(server: httpx.Client) -> None:
    """Only other long answers are refused, where they are many."""
    path = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with connections(server, 40, small=True) as readers:
        for web in readers:
            web.sendall(ask)
        time.sleep(0.5)
        assert_answers_at_once(server)
        whole = server.get(path)
        assert (whole.status_code, len(whole.content)) == (200, 1_586_002)
        assert "Content-Security-Policy" in whole.headers
    with connections(server, 400, small=True) as readers:
        for web in readers:
            web.sendall(ask)
        give_up = time.monotonic() + LONGEST
        while (refused := server.get(path)).is_success:
            assert time.monotonic() < give_up, "nobody is refused"
        assert_answers_at_once(server)
        assert_error(refused, 503, "unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert "Content-Security-Policy" in refused.headers


def test_a_caller_that_has_vanished_loses_its_connection() -> None:
    """Also where it takes nothing of its answer: the kernel ends the connection (tcp(7))."""
    [listener, other] = listen("127.0.0.1", 0, processes=2)
    with listener, other, socket.create_connection(listener.getsockname()):
        taken, _, _ = select.select([listener, other], [], [], PATIENCE)
        accepted, _ = taken[0].accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_the_server_allows_itself_the_descriptors_that_it_needs() -> None:
    code = "from qyvo.serve import allow_descriptors as f; import resource as r; "
    code += "print(f(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    for hard, shown in {"4096": "3840 4096", "512": "256 512"}.items():
        run = subprocess.run(
            ["sh", "-c", f"ulimit -Sn 256; ulimit -Hn {hard}; exec {sys.executable} -c '{code}'"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert run.stdout.strip() == shown


# Bodies that nobody reads


TOKEN = "Authorization: {token}\r\n"
JSON = "Content-Type: application/json\r\n"
REFUSED = {
    "401": ("POST /api/v1/actions/create-contact", JSON, 200),
    "401 of a larger body": ("POST /api/v1/actions/create-contact", JSON, 30_000),
    "404": ("POST /api/v1/actions/nowhere", JSON + TOKEN, 3_000),
    "405": ("PUT /api/v1/actions/create-contact", JSON + TOKEN, 5_000),
    "413": ("POST /api/v1/actions/create-contact", JSON + TOKEN, 140 * 1024),
    "413 of a larger body": ("POST /api/v1/actions/create-contact", JSON + TOKEN, 1_000 * 1024),
    "415": ("POST /api/v1/actions/create-contact", "Content-Type: text/plain\r\n" + TOKEN, 3_000),
    "200": ("POST /api/v1/actions/list-tags", JSON + TOKEN, 2),
}


class Kept:
    """A client that keeps its connection for as long as the server does not say otherwise."""

    def __init__(self, server: httpx.Client, seed: int) -> None:
        self.server = server
        self.random = Random(seed)
        self.web: socket.socket | None = None

    def connect(self) -> socket.socket:
        url = self.server.base_url
        web = socket.create_connection((url.host, url.port), timeout=30)
        web.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = web.makefile("rb")
        return web

    def ask(self, kind: str) -> str:
        """The status. Raises what a connection raises that ends unannounced."""
        line, headers, size = REFUSED[kind]
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {size}\r\n\r\n"
        web = self.web = self.web or self.connect()
        web.sendall(head.format(token=self.server.headers["Authorization"]).encode())
        if self.random.random() < 0.5:  # the body comes before the answer, or after it
            time.sleep(self.random.random() / 250)
        web.sendall(b"{" + b" " * (size - 2) + b"}")
        status = self.file.readline().split()[1].decode()
        answered = http.client.parse_headers(self.file)
        self.file.read(int(answered["Content-Length"]))
        if answered["Connection"] == "close":
            assert self.file.read() == b""
            self.close()
        return status

    def close(self) -> None:
        if self.web:
            self.file.close()
            self.web.close()
            self.web = None

    def ask_often(self, number: int) -> None:
        try:
            for _ in range(number):
                kind = self.random.choice([*REFUSED])
                assert self.ask(kind) == kind[:3]
        finally:
            self.close()


def test_no_kept_connection_breaks_when_a_request_is_refused(server: httpx.Client) -> None:
    """In .ci/run with 20,000 requests; without care, 465 of 4,000 broke."""
    clients, number = 8, int(os.environ.get("KEPT_REQUESTS", "1600"))
    with ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(Kept(server, n).ask_often, number // clients) for n in range(clients)]
    for each in asked:
        each.result()


def test_who_waits_to_be_told_to_go_on_is_told_that_the_connection_ends(
    server: httpx.Client,
) -> None:
    """RFC 9110, 10.1.1: after this answer the body may come or not."""
    token = f"Authorization: {server.headers['Authorization']}"
    rest = f"{token}\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"
    with waiting(server, "POST /api/v1/actions/list-tags", rest + "\r\n") as web:
        answer = web.makefile("rb").read().lower()
    assert answer.startswith(b"http/1.1 415")
    assert b"\r\nconnection: close\r\n" in answer


STRANGE_PATHS = [
    "//api/v1/me", "/api//v1/me", "/api/v1//me", "/api/v1/me;x", "/api/v1/me%00",
    "/api/v1/../v1/me", "/api/v1/./me", "/API/v1/me", "/api/v1/me%20",
    "/api\\v1\\me", "/static/../manage.py", "/static/%2e%2e/%2e%2e/qyvo/settings.py",
    "/static/..%2f..%2fmanage.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/.env",
    "/docs/..%2fadmin/", "/.git/config", "/.data/secret_key", "/api/v1/imports/%2e%2e/errors",
    "/api/v1/imports/..%2f..%2fsecret_key/errors", "/api/v1/webhooks/..%2fimports", "//admin/",
    "/admin/..;/", "/ADMIN/", "/admin//",
]  # fmt: skip


def test_no_spelling_of_a_path_leads_elsewhere(server: httpx.Client) -> None:
    """As the real server unpacks it, which a client that tidies addresses up would never see."""
    for path in STRANGE_PATHS:
        line = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        line += f"Authorization: {server.headers['Authorization']}\r\n\r\n"
        url = server.base_url
        with socket.create_connection((url.host, url.port), timeout=30) as web:
            web.sendall(line.encode())
            answer = web.makefile("rb").read().decode()
        assert answer.startswith(("HTTP/1.1 404", "HTTP/1.1 302", "HTTP/1.1 400")), (path, answer)
        if "HTTP/1.1 302" in answer:
            assert "\nlocation: /admin/login/?next=/admin/" in answer.lower(), path


@pytest.mark.parametrize("given", ["a\r\nX-Evil: 1", "a\nSet-Cookie: x=1", "a\x00", "é", "a b"])
def test_nothing_a_caller_sends_makes_a_header(acme: SimpleNamespace, given: str) -> None:
    body = json.dumps({"phone": PHONE, "name": given})
    answer = acme.api.send(body, **{"X-Request-Id": given})
    assert "X-Evil" not in answer.headers
    assert not answer.cookies
    assert given not in answer.headers["X-Request-Id"]
    cursor = acme.api.send("{}", f"/api/v1/actions/search-contacts?cursor={quote(given)}")
    assert_error(cursor, 422, "validation_failed", "cursor")


INJECTIONS = [
    "' OR '1'='1", "'; DROP TABLE contacts_contact; --", "%", "_", "\\", "%%", "\\%", '" OR 1=1 --',
    "$1", "%s", "%(x)s", "{0}", "\x01", "); SELECT pg_sleep(9); --", "*", "?", ":x",
]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
def test_text_is_never_read_as_sql(
    acme: SimpleNamespace, globex: SimpleNamespace, text: str, bounded: None
) -> None:
    acme.api.create("+14155550101", name="Ada", email="ada@example.com", tags="vip")
    assert acme.api.create(PHONE, name=text, tags=[text], metadata={text: text}).status_code == 201
    globex.api.create(PHONE, name="Gus")
    search = [{"query": text}, {"tag": text.strip()}, {"query": text, "tag": text.strip()}]
    for fields in search:
        answer = acme.api.act("search-contacts", **fields)
        assert answer.status_code in {200, 422}
        assert {"Ada", "Gus"}.isdisjoint(row["name"] for row in answer.json() if "name" in row)
    other = {"get-contact": "email", "list-tags": "name", "list-contacts": "tag", "add-tag": "tag"}
    for action, field in other.items():
        fields = {field: text}
        assert acme.api.act(action, phone=PHONE, **fields).status_code in {200, 404, 422}
    assert Contact.objects.count() == 3


# Secrets


@of_the_owner
def test_a_fault_of_the_real_server_gives_no_secret_away(
    transactional_db: None, acme: SimpleNamespace, tmp_path: Path
) -> None:
    """Neither in its answers nor in what it logs: there the database has lost a table."""
    acme.user.is_staff = acme.user.is_superuser = True
    acme.user.set_password(PASSWORD)
    acme.user.save()
    key = "a-secret-key-that-must-not-be-seen-0123456789-abcdefghijkl"
    log = tmp_path / "log"
    seen: list[str] = []
    with serving(log, workers=1, SECRET_KEY=key, LOG_LEVEL="DEBUG") as address:
        headers = {"Authorization": f"Bearer {acme.plaintext}"}
        with httpx.Client(base_url=address, timeout=60) as web:
            hook = web.post(
                "/api/v1/webhooks", headers=headers,
                json={"url": "https://example.com/", "events": ["contact.created"]},
            )  # fmt: skip
            secret = hook.json()["secret"]
            token = re.findall(r'csrfmiddlewaretoken" value="(\w+)', web.get("/admin/login/").text)
            login = {"username": acme.user.email, "password": PASSWORD}
            entered = web.post("/admin/login/", data=login | {"csrfmiddlewaretoken": token[0]})
            assert entered.status_code == 302
            session = web.cookies["sessionid"]
            web.post("/admin/login/", data=login | {"csrfmiddlewaretoken": "x"})
            body = {"phone": PHONE, "tags": "vip"}
            with broken():
                faults = [
                    web.post("/api/v1/actions/create-contact", headers=headers, json=body),
                    web.post("/api/v1/actions/list-tags", headers=headers),
                    web.get("/admin/contacts/tag/"),
                    web.get("/admin/contacts/tag/add/?x=1"),
                ]  # fmt: skip
            pages = ["/admin/tenants/apitoken/", "/admin/contacts/webhook/", "/admin/",
                     f"/admin/tenants/apitoken/{acme.token.pk}/change/",
                     f"/admin/contacts/webhook/{hook.json()['id']}/change/",
                     "/api/v1/webhooks", "/nowhere"]  # fmt: skip
            shown = [web.get(page, headers=headers) for page in pages]
            seen = [answer.text + str(answer.headers) for answer in faults + shown]
    assert 500 in {answer.status_code for answer in faults}
    assert [answer.status_code for answer in shown] == [200] * 6 + [404]
    logged = log.read_text()
    assert "Traceback" in logged, "the operator learns what it was"
    password = connection.settings_dict["PASSWORD"]
    secrets = [key, acme.plaintext, acme.token.digest, PASSWORD, secret, session]
    for text in [*seen, logged]:
        assert not [kept for kept in [*secrets, password] if kept and kept in text]
        assert "Traceback" not in text or text is logged


@contextmanager
def broken() -> Iterator[None]:
    """Without the table of tags."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts_tag RENAME TO gone")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE gone RENAME TO contacts_tag")
