"""The rate limit: how many requests a token may make in a rolling window (RFC 6585, 4: 429)."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from limits import RateLimitItem, RateLimitItemPerMinute, parse_many
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from .models import ApiToken

logger = logging.getLogger(__name__)

TIMEOUT = 0.5  # seconds that a request waits for the shared store
PAUSE = 1  # second without using the shared store after it has failed


class Quota(NamedTuple):
    """The state of a token's limit after a request.

    `limit`: requests per window. `remaining`: requests that are left. `reset`: seconds until the
    oldest counted request leaves the window.
    """

    limit: int
    remaining: int
    reset: int


class Counter:
    """Counts requests in this process.

    Why not `MemoryStorage` of `limits`: it starts a thread every 10 ms, which goes through all
    tokens. At one request every 2 ms and 100 tokens, a count costs 71 µs of processor time, 9 µs
    with this class; at one request every 5 ms and 1,000 tokens 458 µs and 18 µs
    (`python -m tests.benchmarks.rate_limit`). 36 µs are 3 % of a create-contact. Also, two requests
    that start the thread at once raise `RuntimeError`, a 500 for one of the callers, and when the
    clock is set forward, all counts are lost.
    """

    def __init__(self) -> None:
        # Per key: the times of the requests in the window, and when the last of them leaves it.
        self.passed: dict[str, deque[float]] = {}
        self.ends: dict[str, float] = {}
        self.lock = Lock()

    def count(self, item: RateLimitItem, key: str) -> tuple[bool, Quota]:
        """Counts one request of `key` against the limit `item`. Returns whether it is allowed, and
        the quota after it."""
        now, seconds = time.monotonic(), item.get_expiry()
        with self.lock:
            if key not in self.passed:
                self.forget_idle_keys(now)
            passed = self.passed.setdefault(key, deque())
            while passed and passed[0] <= now - seconds:
                passed.popleft()
            if allowed := len(passed) < item.amount:
                passed.append(now)
                self.ends[key] = now + seconds
            # In this order: `passed[0] + seconds - now` may be rounded to more than `seconds`.
            reset = max(1, math.ceil(seconds - (now - passed[0])))
            return allowed, Quota(item.amount, max(0, item.amount - len(passed)), reset)

    def check_store(self) -> None:
        """Always works: the counter is in this process."""

    def forget_idle_keys(self, now: float) -> None:
        """Drops keys without a request in their window: otherwise memory would grow for ever."""
        for key in [key for key, end in self.ends.items() if end <= now]:
            del self.passed[key], self.ends[key]


class SharedCounter:
    """Counts requests for several processes, in the store at `url`, such as `redis://…`.

    While the store is down, no request is refused: a lost order costs more than a busy minute.
    """

    def __init__(self, url: str) -> None:
        timeouts = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        store = storage_from_string(url, wrap_exceptions=True, **timeouts)
        self.limiter = MovingWindowRateLimiter(store)
        self.down_until = 0.0

    def count(self, item: RateLimitItem, key: str) -> tuple[bool, Quota]:
        if time.monotonic() < self.down_until:
            return True, Quota(item.amount, item.amount, 0)
        try:
            allowed = self.limiter.hit(item, key)
            reset_at, remaining = self.limiter.get_window_stats(item, key)
        except StorageError as error:
            self.down_until = time.monotonic() + PAUSE
            logger.error("The rate limit is off because its store failed: %s", error.storage_error)  # noqa: TRY400 - one line
            return True, Quota(item.amount, item.amount, 0)
        reset = max(1, math.ceil(reset_at - time.time()))
        return allowed, Quota(item.amount, remaining, reset)

    def check_store(self) -> None:
        """Raises `ConnectionError` if the store is down."""
        if not self.limiter.storage.check():
            raise ConnectionError("the store of the rate limit does not answer")


@lru_cache
def _counter(url: str) -> Counter | SharedCounter:
    return Counter() if url == "memory://" else SharedCounter(url)


creating = Lock()


def counter(url: str) -> Counter | SharedCounter:
    """The only counter of this process for `url`. The lock prevents that two threads create two
    counters, each of which would allow the whole limit."""
    with creating:
        return _counter(url)


@lru_cache
def default_limit(text: str) -> RateLimitItem | None:
    """Parses a limit such as `120/minute`. None, no limit, for an empty text and for 0.

    Raises `ValueError` if `text` is not a limit, or is more than one limit.
    """
    if not text:
        return None
    [item] = parse_many(text)
    return item if item.amount else None


def limit_of(token: ApiToken) -> RateLimitItem | None:
    """The limit of the token, or else the default of this installation; None for no limit."""
    if token.rate_limit is None:
        return default_limit(settings.RATELIMIT_DEFAULT)
    return RateLimitItemPerMinute(token.rate_limit) if token.rate_limit else None


class RateLimit(BaseThrottle):
    """DRF's throttle: counts each authenticated request once, for its token.

    The key is a part of the token's digest, not its primary key: two installations that share a
    store have tokens with the same primary key. `scope`: requests of another scope are counted
    apart.
    """

    quota: Quota
    scope = ""

    def limit(self, token: ApiToken) -> RateLimitItem | None:
        return limit_of(token)

    def allow_request(self, request: Request, view: Any) -> bool:
        token = cast("ApiToken | None", request.auth)
        item = self.limit(token) if token else None
        if token is None or item is None:
            return True
        url = settings.RATELIMIT_STORAGE_URL
        allowed, self.quota = counter(url).count(item, self.scope + token.digest[:32])
        request._request.quota = self.quota  # type: ignore[attr-defined] # for `RateLimitHeaders`
        return allowed

    def wait(self) -> float:
        return self.quota.reset


class RateLimitHeaders:
    """Middleware: adds the quota to the headers of each authenticated response, also of errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if quota := getattr(request, "quota", None):
            response["X-RateLimit-Limit"] = str(quota.limit)
            response["X-RateLimit-Remaining"] = str(quota.remaining)
            response["X-RateLimit-Reset"] = str(quota.reset)
        return response
