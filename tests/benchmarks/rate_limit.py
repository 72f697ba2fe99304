"""What it costs to count a request in the process: our counter beside the one of `limits`.

`python -m tests.benchmarks.rate_limit` needs no database. It prints the processor time of a request
in microseconds, which includes threads that a counter starts and leaves out what the pauses between
the requests cost by themselves. Each run has a process of its own; the medians count.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import django
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

RUNS, REQUESTS = 7, 500
ITEM = parse("120/minute")
CASES = [(1, 0.0), (1000, 0.0), (1, 0.002), (100, 0.002), (1000, 0.005)]  # tokens, seconds of pause


def nothing() -> Callable[[str], object]:
    return lambda key: None


def ours() -> Callable[[str], object]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "qyvo.settings"
    django.setup()
    from tenants.throttling import Counter

    counter = Counter()
    return lambda key: counter.count(ITEM, key)


def of_limits() -> Callable[[str], object]:
    limiter = MovingWindowRateLimiter(MemoryStorage())
    return lambda key: (limiter.hit(ITEM, key), limiter.get_window_stats(ITEM, key))


def cost(counter: Callable[[], Callable[[str], object]], tokens: int, pause: float) -> float:
    """Microseconds of processor time a request; each token has made requests before."""
    count, keys = counter(), [f"{number:032x}" for number in range(tokens)]
    warm_up: Iterable[str] = keys * max(1, 100 // tokens)
    for key in warm_up:
        count(key)
    start = time.process_time()
    for number in range(REQUESTS):
        count(keys[number % tokens])
        if pause:
            time.sleep(pause)
    return (time.process_time() - start) / REQUESTS * 1e6


def main() -> None:
    print("tokens  pause in ms  ours in µs  limits in µs")
    for tokens, pause in CASES:
        runs: dict[Callable, list[float]] = {nothing: [], ours: [], of_limits: []}
        for _ in range(RUNS):
            for counter, costs in runs.items():
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    costs.append(process.submit(cost, counter, tokens, pause).result())
        own, theirs = (
            statistics.median(runs[counter]) - statistics.median(runs[nothing])
            for counter in (ours, of_limits)
        )
        print(f"{tokens:6}  {pause * 1000:11g}  {own:10.1f}  {theirs:12.1f}", flush=True)


if __name__ == "__main__":
    main()
