"""Unread data: request bodies that no view has read, and long responses to slow clients.

Both can keep a thread waiting, and a process has few threads for requests.
"""

from functools import lru_cache
from threading import BoundedSemaphore
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch, resolve

from .api import unavailable

KEEP_OPEN_BYTES = 64 * 1024  # of an unread body, up to which the connection is kept open
READ_BYTES = 1024 * 1024  # of an unread body that are read, so that the client sees the response
STREAMS = BoundedSemaphore(64)  # streamed responses that a process sends at the same time

CONTENT_HEADERS = {"cache-control", "content-disposition", "content-encoding", "content-length",
                  "content-type", "etag", "last-modified"}  # fmt: skip


class TooManyStreams(Exception):
    def __str__(self) -> str:
        return "this process already sends the largest permitted number of streamed responses"


class EndingStream:
    """The stream of a body of unknown length. `has_ended`: it was read to its end."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.readline = stream.readline
        self.has_ended = False

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self.has_ended = len(data) < size
        return data


@lru_cache(maxsize=1024)
def view_of(path: str) -> ResolverMatch:
    """The view for `path`. Cached: Django compares a path with one route after another. Raises
    `Resolver404`, which is not cached."""
    return resolve(path)


class Handler(WSGIHandler):
    """Django's handler, which also takes care of unread bodies and of long responses."""

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        request.resolver_match = match = view_of(request.path_info)
        return match

    def get_response(self, request: HttpRequest) -> Any:
        body: Any = request._stream  # a `LimitedStream`; Django replaces it when the body is read
        response = super().get_response(request)
        if body._pos < body.limit:
            handle_unread_body(request, response, body.limit - body._pos)
        return stream_or_refuse(request, response) if response.streaming else response


def handle_unread_body(request: HttpRequest, response: HttpResponseBase, left: int) -> None:
    """Handles a body of which `left` bytes are unread.

    The server closes the connection after such a response. A client that does not know this loses
    its next request (RFC 9112, 9.3 and 9.6), so the response says `Connection: close`. If the
    client is authenticated, a small rest is read instead and the connection stays open. Reading may
    take as long as the client wants; clients without a valid token must not keep a thread waiting.
    """
    stream = request.META["wsgi.input"]
    if getattr(stream, "has_ended", False):
        return
    is_known = getattr(request, "auth", None) is not None  # set by DRF for a valid token
    waits_for_us = "HTTP_EXPECT" in request.META  # 100-continue: the client may never send the body
    if is_known and not waits_for_us:
        # Closing a connection with unread data may destroy the response on its way (TCP reset).
        stream.read(min(left, READ_BYTES))
    if not is_known or waits_for_us or left > KEEP_OPEN_BYTES:
        response["Connection"] = "close"


def stream_or_refuse(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Returns the streamed response, which qyvo.serve sends from another thread; or a 503 response
    if this process already sends as many as `STREAMS` permits."""
    if STREAMS.acquire(blocking=False):
        response._resource_closers.append(STREAMS.release)  # type: ignore[attr-defined]
        return response
    response.close()
    refusal = unavailable(request, TooManyStreams())
    for header, value in response.items():
        if header.lower() not in CONTENT_HEADERS:
            refusal.headers.setdefault(header, value)
    return refusal
