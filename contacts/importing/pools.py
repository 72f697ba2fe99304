"""Work that goes on in several processes or threads, its results in order."""

import ctypes
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice, starmap
from multiprocessing import get_context
from typing import Any

PROCESSORS = os.cpu_count() or 1
FEW = 4  # chunks or batches that are not worth a pool


def chunks(
    items: Iterable[Any], size: Callable[[], int], heavy: int, weight: Callable[[Any], int] = len
) -> Iterator[list[Any]]:
    """Lists of at most `size` items, asked anew for each list, that do not weigh more than `heavy`
    characters together, except for the last item of each list."""
    chunk, total = [], 0
    for item in items:
        chunk.append(item)
        total += weight(item)
        if len(chunk) >= size() or total > heavy:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


def in_order(
    function: Callable[..., Any],
    calls: Iterator[tuple[Any, ...]],
    make_pool: Callable[[], Executor] | None,
    in_pool: Callable[..., Any] | None = None,
) -> Iterator[Any]:
    """What `function` returns for each of `calls`: here, or where there are many of them, in a
    pool (as `in_pool`, if that differs), with only some under way at a time."""
    first = list(islice(calls, FEW))
    calls = chain(first, calls)
    if make_pool is None or len(first) < FEW:
        yield from starmap(function, calls)
        return
    with make_pool() as pool:
        waiting: deque[Future[Any]] = deque()
        for call in calls:
            waiting.append(pool.submit(in_pool or function, *call))
            if len(waiting) > 4 * PROCESSORS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def reading_processes() -> Executor:
    context = get_context("spawn")
    return ProcessPoolExecutor(PROCESSORS, mp_context=context, initializer=end_with_parent)


def writing_threads() -> Executor:
    return ThreadPoolExecutor(PROCESSORS)


def end_with_parent() -> None:
    """A process that reads must not outlive a parent that was killed (Linux: PR_SET_PDEATHSIG)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
