"""What happens to requests while all threads of a process are busy: they wait in line, for a short
time.

Without a limit, a server with more load than it can handle would answer everybody late, its health
checks too, and work for callers that have gone.
"""

import io
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Any, NamedTuple, NoReturn

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from tenants import languages

from .api import RETRY_AFTER, error_body
from .checks import threads
from .observe import PROBES
from .request_id import HEADER, id_of

logger = logging.getLogger(__name__)

# Seconds that a request waits for a thread. Most callers send the next request as soon as they have
# an answer: if they were refused at once, the server would do little else than refuse.
PATIENCE = 1.5
LOOK = 0.1  # seconds between two looks for requests that have waited too long
LOG_SECONDS = 1  # between two lines about refusals
MOST_HELD = 64 * 1024  # bytes of the body of a request that waits

Answer = Callable[[Any, dict[str, Any]], None]


class Request(NamedTuple):
    """`since`: a time of `time.monotonic`; `protocol`, `scope`: what granian calls an application
    with."""

    since: float
    protocol: Any
    scope: dict[str, Any]


class Line:
    """Answers requests with `answer`, at most `places` at the same time. The others wait, without a
    thread, and whoever came first is next."""

    def __init__(self, answer: Answer, places: int) -> None:
        self.answer = answer
        self.free = places  # less than zero while requests are answered that cannot wait
        self.waiting: deque[Request] = deque()
        self.lock = Lock()

    def enter(self, protocol: Any, scope: dict[str, Any]) -> None:
        """Answers the request, and then others that wait; or leaves it to a thread that does so."""
        request: Request | None = self.find_place(Request(time.monotonic(), protocol, scope))
        while request:
            try:
                self.answer(request.protocol, request.scope)
            except Exception:  # the next ones must not be lost
                logger.exception("A request failed")
            request = self.next()

    def find_place(self, request: Request) -> Request | None:
        """The request; or None if it has to wait."""
        can_wait = self.free < 1 and hold_body(request.scope)
        with self.lock:
            if can_wait and self.free < 1:
                self.waiting.append(request)
                return None
            self.free -= 1
            return request

    def next(self) -> Request | None:
        """Whose turn it is now. None if nobody waits; then the place is free."""
        with self.lock:
            if self.waiting and self.free >= 0:
                return self.waiting.popleft()
            self.free += 1
            return None

    def take_late(self) -> list[Request]:
        """Takes out those that have waited for `PATIENCE`."""
        late, before = [], time.monotonic() - PATIENCE
        with self.lock:
            while self.waiting and self.waiting[0].since < before:
                late.append(self.waiting.popleft())
        return late


def hold_body(scope: dict[str, Any]) -> bool:
    """Reads the body of a request that has to wait: granian drops a body as soon as the function
    has returned that granian has called. Returns False for a body that is long or of unknown
    length. A body that comes slowly keeps one of the `DOORS` of qyvo.serve; even without these, the
    process has a thread for each place."""
    length = scope.get("CONTENT_LENGTH", "0")
    is_known = "HTTP_TRANSFER_ENCODING" not in scope and length.isdecimal()
    if not is_known or int(length) > MOST_HELD:
        return False
    scope["wsgi.input"] = io.BytesIO(scope["wsgi.input"].read(int(length)))
    return True


class Refusals(Thread):
    """Refuses the requests that have waited in `line` for too long."""

    def __init__(self, line: Line) -> None:
        super().__init__(daemon=True)
        self.line = line
        self.data = json.dumps(error_body(503), separators=(",", ":")).encode()
        self.unlogged = 0
        self.logged_at = 0.0

    def run(self) -> NoReturn:
        while True:
            time.sleep(LOOK)
            for request in self.line.take_late():
                self.refuse(request)
            if self.unlogged and time.monotonic() - self.logged_at > LOG_SECONDS:
                self.log()

    def refuse(self, request: Request) -> None:
        is_page = request.scope["PATH_INFO"].startswith(languages.PAGES)
        headers = [
            (HEADER, id_of(request.scope)),
            ("Content-Type", "text/html; charset=utf-8" if is_page else "application/json"),
            ("Retry-After", str(RETRY_AFTER)),
        ]
        self.count()
        request.protocol.response_bytes(503, headers, self.page(request) if is_page else self.data)

    def page(self, request: Request) -> bytes:
        return page_in(languages.of_browser(request.scope.get("HTTP_ACCEPT_LANGUAGE")))

    def count(self) -> None:
        self.unlogged += 1
        if settings.METRICS_TOKEN:
            from .metrics import REFUSED

            REFUSED.inc()

    def log(self) -> None:
        logger.warning("Answered 503 to %s requests: too much load", self.unlogged)
        self.unlogged, self.logged_at = 0, time.monotonic()


@cache
def page_in(language: str) -> bytes:
    """Made by the first refusal in a language: the texts of all languages take 7 MiB."""
    with translation.override(language):
        return render_to_string("503.html").encode()


def limited(answer: Answer) -> Answer:
    """`answer` for as many requests at the same time as a process has threads for. Health checks
    and metrics do not wait."""
    line = Line(answer, threads())
    Refusals(line).start()

    def enter(protocol: Any, scope: dict[str, Any]) -> None:
        (answer if scope["PATH_INFO"] in PROBES else line.enter)(protocol, scope)

    return enter
