"""Work in several processes or threads, with the results in order."""

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

from contacts.values import translation

PROCESSORS = os.cpu_count() or 1
FEWEST_CALLS = 4  # fewer calls take less time than starting a pool


def chunks(
    items: Iterable[Any],
    size: Callable[[], int],
    max_weight: int,
    weight: Callable[[Any], int] = len,
) -> Iterator[list[Any]]:
    """Lists of `items`. Each list has at most `size()` items: `size` is called for each list anew.
    A list ends with the item that makes it heavier than `max_weight` characters."""
    chunk, total = [], 0
    for item in items:
        chunk.append(item)
        total += weight(item)
        if len(chunk) >= size() or total > max_weight:
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
    """The results of `function` for the arguments in `calls`, in the order of `calls`.

    Many calls run in a pool; few calls, and all calls if `make_pool` is None, run in this thread.
    `in_pool`: the function that runs in the pool, if that is not `function` itself. The pool gets
    only some calls at a time: all chunks of a large file would not fit into memory.
    """
    first = list(islice(calls, FEWEST_CALLS))
    calls = chain(first, calls)
    if make_pool is None or len(first) < FEWEST_CALLS:
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


def reading_processes(folders: Iterable[str], locale: str) -> Executor:
    """Processes that write their messages in a language, see `translation.speak_from`."""
    return ProcessPoolExecutor(
        PROCESSORS,
        mp_context=get_context("spawn"),
        initializer=begin_reading,
        initargs=(folders, locale),
    )


def begin_reading(folders: Iterable[str], locale: str) -> None:
    end_with_parent()
    translation.speak_from(folders, locale)


def writing_threads() -> Executor:
    return ThreadPoolExecutor(PROCESSORS)


def end_with_parent() -> None:
    """Lets the system kill this process when its parent dies (Linux: PR_SET_PDEATHSIG). Without
    this call, a process would wait forever for a parent that was killed."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
