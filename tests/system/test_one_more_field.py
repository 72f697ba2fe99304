"""A field that is declared in one place reaches everything that handles fields."""

import os
import subprocess
import sys
from types import SimpleNamespace

from tests.support.databases import test_database_url
from tests.support.paths import ROOT


def test_a_field_that_is_only_declared_is_handled_everywhere(
    column_of_nickname: None, acme: SimpleNamespace
) -> None:
    """In a process of its own: modules read the declaration when they are imported."""
    environment = os.environ | {"DATABASE_URL": test_database_url(), "RATELIMIT_DEFAULT": ""}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.one_more_field", acme.plaintext],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    steps = "created updated undone merged deleted exported imported edited checked documented"
    assert run.stdout.splitlines()[-1] == steps
