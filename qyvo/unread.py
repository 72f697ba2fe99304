"""What one side of a connection does not read: the rest of a request's body, and long answers.

Whoever waits for it is a thread, of which a process has four.
"""

from threading import BoundedSemaphore
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponseBase

from .api import unavailable

SMALL = 64 * 1024  # bytes of a body that are read so that the connection can be kept
LARGE = 1024 * 1024  # bytes of a body that are read so that its sender gets to see the answer
STREAMS = BoundedSemaphore(64)  # threads that send long answers

OF_THE_CONTENT = {"cache-control", "content-disposition", "content-encoding", "content-length",
                  "content-type", "etag", "last-modified"}  # fmt: skip


class TooManyStreams(Exception):
    def __str__(self) -> str:
        return "as many long answers are being sent as this process may send at a time"


class EndingStream:
    """A body of unknown length that knows when it has been read to its end."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.readline = stream.readline
        self.has_ended = False

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self.has_ended = len(data) < size
        return data


class Handler(WSGIHandler):
    """Django's, which takes care of what is left unread."""

    def get_response(self, request: HttpRequest) -> Any:
        body: Any = request._stream  # a `LimitedStream`, which Django replaces once it is read
        response = super().get_response(request)
        if body._pos < body.limit:
            finish(request, response, body.limit - body._pos)
        return in_turn(request, response) if response.streaming else response


def finish(request: HttpRequest, response: HttpResponseBase, left: int) -> None:
    """Sees to the `left` bytes of a body that nobody has read.

    The server closes the connection after such an answer, and a client that was not told so loses
    its next request (RFC 9112, 9.3 and 9.6). So the answer says `Connection: close`; where the
    sender is known, a small rest is read instead. This may take as long as the sender wants, and
    nobody unknown may keep a thread waiting.
    """
    stream = request.META["wsgi.input"]
    if getattr(stream, "has_ended", False):
        return
    is_known = getattr(request, "auth", None) is not None  # set by DRF, for a good token
    waits_for_us = "HTTP_EXPECT" in request.META  # 100-continue: the body may never come
    if is_known and not waits_for_us:
        # Closing a connection with unread data may destroy the answer on its way.
        stream.read(min(left, LARGE))
    if not is_known or waits_for_us or left > SMALL:
        response["Connection"] = "close"


def in_turn(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A streamed answer, which qyvo.serve sends from another thread; or 503 where too many are
    being sent to readers that are slow."""
    if STREAMS.acquire(blocking=False):
        response._resource_closers.append(STREAMS.release)  # type: ignore[attr-defined]
        return response
    response.close()
    refusal = unavailable(request, TooManyStreams())
    for header, value in response.items():
        if header.lower() not in OF_THE_CONTENT:
            refusal.headers.setdefault(header, value)
    return refusal
