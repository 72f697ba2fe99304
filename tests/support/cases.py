"""Many cases in one test, where the rows that they need take longer to make than a case takes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any

from django.db import transaction


def in_one_test(names: str | tuple[str, ...], given: Iterable[Any]) -> Callable[..., Any]:
    """Like `pytest.mark.parametrize`, but one test runs all cases with the same fixtures. What a
    case writes is rolled back, so the next one finds what the fixtures have made. A failure names
    its case. For tests with a database that have no transactions of their own. Only rows come back
    as they were, so not for cases that patch something or change objects of a fixture."""
    called = (names,) if isinstance(names, str) else names
    values = [dict(zip(called, (case,) if isinstance(names, str) else case, strict=True))
              for case in given]  # fmt: skip

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            for case in values:
                with telling(case), transaction.atomic():
                    test(**fixtures, **case)
                    transaction.set_rollback(True)

        of_test = signature(test)
        fixtures = [p for name, p in of_test.parameters.items() if name not in called]
        run.__signature__ = of_test.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return run

    return decorate


@contextmanager
def telling(case: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"In the case {case}")
        raise
