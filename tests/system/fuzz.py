"""Requests made up from the API's own description, against the live server.

`pytest tests/system/fuzz.py`; not collected with the others, for its time. .ci/run runs it on both
databases.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from contacts.api.urls import actions, bulk_paths, export_paths, import_paths
from tests.support.paths import ROOT

REQUESTS = os.environ.get("FUZZ_EXAMPLES", "150")  # of each action
SEED = os.environ.get("FUZZ_SEED", "1")


@pytest.mark.both
@pytest.mark.slow
def test_the_server_does_what_its_description_says(server: httpx.Client, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run",
        str(server.base_url.join("/api/v1/openapi.json")),
        "--header", f"Authorization: {server.headers['Authorization']}",
        "--checks", "all",
        # What JSON Schema admits may still be no phone, or the cursor of another list.
        # And what it forbids is read leniently: see `bad_bodies_are_refused`.
        "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
        "--max-examples", REQUESTS, "--seed", SEED, "--generation-database", "none",
        "--no-color",
    ]  # fmt: skip
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | hooks, capture_output=True, text=True, check=False
    )
    print(run.stdout[run.stdout.find("= SUMMARY") :])
    assert run.returncode == 0, run.stdout
    paths = actions + import_paths + export_paths + bulk_paths
    operations = len(paths) + 9 + 1  # of webhooks, and /me
    assert f"Tested: {operations}\n" in run.stdout, run.stdout
