"""Imports over the API."""

import csv
import io
import subprocess
import time
from pathlib import Path
from typing import Any

from contacts.importing import uploads
from contacts.models import Import
from tests.support.api import Api

IMPORTS = "/api/v1/imports"
CSV = "Mobile,Full name,Tags,Town\r\n+33 6 12 34 56 78,Zoé,vip,Lyon\r\n12,Bob,,\r\n"


def work() -> None:
    """What the worker does; its own command would close the test's connection."""
    for job in Import.objects.unfinished():
        uploads.run_import.call(job.pk)


def worked(job: Import) -> Import:
    uploads.run_import.call(job.pk)
    job.refresh_from_db()
    assert job.state == Import.State.DONE, job.problem
    return job


def post(api: Api, content: str | bytes = CSV, query: str = "", kind: str = "text/csv") -> Any:
    return api.send(content, f"{IMPORTS}{query}", content_type=kind)


def outcome(api: Api, answer: Any) -> dict[str, Any]:
    """The import that `answer` tells of, brought in."""
    assert answer.status_code == 202, answer.json()
    work()
    return api.get(answer.headers["Location"]).json()


def errors(api: Api, job: dict[str, Any]) -> list[list[str]]:
    answer = api.get(f"{IMPORTS}/{job['id']}/errors")
    assert answer.status_code == 200, answer.json()
    text = b"".join(answer.streaming_content).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def counted(job: dict[str, Any]) -> list[int]:
    return [job[name] for name in Import.COUNTS]


# The worker


def wait_for(condition: Any, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.002)
