"""What an object store costs an import, beside a folder on the disk.

`DATABASE_URL=postgres://… python -m tests.benchmarks.object_store [ROWS [PAIRS]]`; 100,000 rows and
3 pairs by default. Uses a test database, which it makes and removes. Each import is of new contacts
of a new tenant: a server takes the file, then a process does the worker's task of importing it,
and nothing else that a worker does. Every second pair begins with the store. The store is moto's
server on this machine, so no network takes time; its processor time is left out.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import boto3
import django
import httpx
import psutil

from tests.support.paths import ROOT
from tests.support.processes import free_port, s3_at, serving

from .imports import Timer, write_files
from .processor_time import postmaster

DISK, STORE = "disk", "store"
TASK = "from contacts.importing import uploads; uploads.run_import.call('%s')"


class Figures(NamedTuple):
    """Seconds. The processor time is that of the server or the worker, and of PostgreSQL."""

    upload: float
    upload_processor: float
    import_: float
    import_processor: float


class Place:
    """Where the files are, with a server that stores them there."""

    def __init__(self, folder: Path, url: str, files_url: str, running: ExitStack) -> None:
        folder.mkdir()
        self.log = folder / "log"
        self.variables = {
            "DATABASE_URL": url, "DATA_DIR": str(folder / "data"), "FILES_URL": files_url,
            "RATELIMIT_DEFAULT": "", "SECRET_KEY": "x" * 50,
        }  # fmt: skip
        before = {*psutil.Process().children()}
        self.url = running.enter_context(serving(self.log, 1, **self.variables))
        [self.server] = {*psutil.Process().children()} - before
        self.postgres = postmaster(url)

    def bring(self, file: Path, token: str) -> Figures:
        uploading = Timer(self.server.pid, self.postgres)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
        answer = httpx.post(
            f"{self.url}/api/v1/imports", content=file.read_bytes(), headers=headers, timeout=600
        )
        assert answer.status_code == 202, answer.text
        upload = uploading.stop()
        importing = Timer(self.postgres)
        with self.log.open("ab") as output:
            worker = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "-v0", "-c", TASK % answer.json()["id"]],
                cwd=ROOT, env=os.environ | self.variables, stdout=output, stderr=output,
            )  # fmt: skip
            _, status, usage = os.wait4(worker.pid, 0)
        assert status == 0, self.log.read_text()
        seconds, processor = importing.stop()
        return Figures(*upload, seconds, processor + usage.ru_utime + usage.ru_stime)


def main() -> None:
    words = sys.argv[1:]
    rows, pairs = (int(word) for word in [*words, *("100000", "3")[len(words) :]])
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL to a PostgreSQL whose role may create databases.")
    databases = setup_databases(verbosity=0, interactive=False)
    name = connection.settings_dict["NAME"]
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    try:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
            report(rows, measured(Path(folder), url, running, rows, pairs))
    finally:
        teardown_databases(databases, verbosity=0)


def measured(
    folder: Path, url: str, running: ExitStack, rows: int, pairs: int
) -> dict[str, list[Figures]]:
    port = free_port()
    running.enter_context(s3_at(port))
    store = f"http://127.0.0.1:{port}"
    boto3.resource("s3", endpoint_url=store, region_name="us-east-1").Bucket("files").create()
    files_url = f"s3://files?endpoint_url={store}&region=us-east-1"
    places = {
        DISK: Place(folder / DISK, url, "", running),
        STORE: Place(folder / STORE, url, files_url, running),
    }
    write_files(folder, rows)
    figures: dict[str, list[Figures]] = {DISK: [], STORE: []}
    for pair in range(pairs):
        for name in sorted(places, reverse=bool(pair % 2)):
            figures[name].append(places[name].bring(folder / "new.csv", new_token(name, pair)))
            print(name, figures[name][-1], flush=True)
    return figures


def new_token(name: str, pair: int) -> str:
    """Of a user of a new tenant."""
    from tenants.models import ApiToken, Tenant, User

    slug = f"{name}{pair}"
    tenant = Tenant.objects.create(name=slug, slug=slug)
    user = User.objects.create_user(f"ann@{slug}.example", "hunter2-hunter2", tenant=tenant)
    return ApiToken.objects.issue(user, "benchmark").plaintext


def report(rows: int, figures: dict[str, list[Figures]]) -> None:
    from contacts.models import Contact

    assert Contact.objects.count() == rows * sum(map(len, figures.values()))
    print(f"{rows} rows, medians of {len(figures[DISK])} pairs; store : disk is of each pair")
    for place, field in enumerate(Figures._fields):
        disk, store = ([each[place] for each in figures[name]] for name in (DISK, STORE))
        ratio = statistics.median(b / a for a, b in zip(disk, store, strict=True))
        middle = [statistics.median(some) for some in (disk, store)]
        print(f"{field:18} disk {middle[0]:7.2f} s  store {middle[1]:7.2f} s  ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
