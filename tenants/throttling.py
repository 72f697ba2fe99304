"""How many requests a token may make, in a window that moves with the clock (RFC 6585, 429)."""

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

# How long a request may wait for Redis, and for how long none waits after that was in vain.
PATIENCE = 0.5  # seconds
PAUSE = 1  # second


class Quota(NamedTuple):
    """What a token has left after a request. `reset`: seconds until the next request counted
    leaves the window."""

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
        # When the requests in the window of each key were, and when the last one leaves the window.
        self.passed: dict[str, deque[float]] = {}
        self.ends: dict[str, float] = {}
        self.lock = Lock()

    def count(self, item: RateLimitItem, key: str) -> tuple[bool, Quota]:
        """Counts one request against `item`. Whether it may pass, and what is left then."""
        now, seconds = time.monotonic(), item.get_expiry()
        with self.lock:
            if key not in self.passed:
                self.forget(now)
            passed = self.passed.setdefault(key, deque())
            while passed and passed[0] <= now - seconds:
                passed.popleft()
            if allowed := len(passed) < item.amount:
                passed.append(now)
                self.ends[key] = now + seconds
            reset = max(1, math.ceil(passed[0] + seconds - now))
            return allowed, Quota(item.amount, max(0, item.amount - len(passed)), reset)

    def reach(self) -> None:
        """It is here."""

    def forget(self, now: float) -> None:
        """Those that have not come back: each after its own window."""
        for key in [key for key, end in self.ends.items() if end <= now]:
            del self.passed[key], self.ends[key]


class SharedCounter:
    """Counts requests for several processes, in the store at `url`, such as `redis://…`.

    While the store is down nothing is refused: to lose an order costs more than a busy minute.
    """

    def __init__(self, url: str) -> None:
        waits = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
        store = storage_from_string(url, wrap_exceptions=True, **waits)
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
            logger.error("The rate limit is off, its store fails: %s", error.storage_error)  # noqa: TRY400 - one line
            return True, Quota(item.amount, item.amount, 0)
        reset = max(1, math.ceil(reset_at - time.time()))
        return allowed, Quota(item.amount, remaining, reset)

    def reach(self) -> None:
        """Raises `ConnectionError` while the store is down."""
        if not self.limiter.storage.check():
            raise ConnectionError("the store of the rate limit does not answer")


@lru_cache
def counter_made(url: str) -> Counter | SharedCounter:
    return Counter() if url == "memory://" else SharedCounter(url)


one_at_a_time = Lock()


def counter(url: str) -> Counter | SharedCounter:
    """The one counter of this process for `url`; two would each admit the whole limit."""
    with one_at_a_time:
        return counter_made(url)


@lru_cache
def default_limit(text: str) -> RateLimitItem | None:
    """The limit that `text` spells, `120/minute`; None where it is empty or none at all.

    Raises `ValueError`, for several limits too.
    """
    if not text:
        return None
    [item] = parse_many(text)
    return item if item.amount else None


def limit_of(token: ApiToken) -> RateLimitItem | None:
    """The token's own limit, or the installation's; None where there is none."""
    if token.rate_limit is None:
        return default_limit(settings.RATELIMIT_DEFAULT)
    return RateLimitItemPerMinute(token.rate_limit) if token.rate_limit else None


class RateLimit(BaseThrottle):
    """Counts each authenticated request once, for its token.

    The key is from the token's digest: installations may share a store, and number alike.
    """

    quota: Quota

    def allow_request(self, request: Request, view: Any) -> bool:
        token = cast("ApiToken | None", request.auth)
        item = limit_of(token) if token else None
        if token is None or item is None:
            return True
        url = settings.RATELIMIT_STORAGE_URL
        allowed, self.quota = counter(url).count(item, token.digest[:32])
        request._request.quota = self.quota  # type: ignore[attr-defined] # for the headers
        return allowed

    def wait(self) -> float:
        return self.quota.reset


class RateLimitHeaders:
    """Middleware: tells in the headers of every authenticated answer, errors included, what is
    left."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if quota := getattr(request, "quota", None):
            response["X-RateLimit-Limit"] = str(quota.limit)
            response["X-RateLimit-Remaining"] = str(quota.remaining)
            response["X-RateLimit-Reset"] = str(quota.reset)
        return response
