"""The change log, as tests read it."""

import time
from typing import Any

import pytest
from django.db import connection

from contacts.models import Change


def logged(**filters: Any) -> list[tuple[str, dict[str, Any]]]:
    changes = Change.objects.filter(**filters).order_by("pk")
    return list(changes.values_list("kind", "fields"))


def settle() -> None:
    """Waits until nothing else runs: the server may be looking after its tables."""
    deadline = time.monotonic() + 300
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        return
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT s = pg_snapshot_xmax(x) FROM (SELECT pg_snapshot_xmin(x) AS s, x"
                           " FROM pg_current_snapshot() AS x) AS now")  # fmt: skip
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    pytest.fail("Somebody else's transaction does not end.")
