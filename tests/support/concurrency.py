"""Many threads at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection

CALLERS = 50


def all_at_once(call: Callable[[int], Any], callers: int = CALLERS) -> list[Any]:
    """What `call(0)` to `call(callers - 1)` return, started together."""
    start = Barrier(callers)

    def run(number: int) -> Any:
        start.wait()
        try:
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(run, range(callers)))
