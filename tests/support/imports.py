"""Files to import by the command."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.core.management import call_command

from contacts.models import Contact, ImportFailure
from tests.support.databases import test_database_url
from tests.support.paths import ROOT

HEADER = ["phone", "name", "email", "tags", "city"]


def write(path: Path, *rows: Any, encoding: str = "utf-8", **dialect: Any) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, **dialect).writerows(rows)
    return path


def bring(path: Path, *options: str, tenant: str = "acme") -> tuple[int, str]:
    """The exit status of the command, and what it printed."""
    out = io.StringIO()
    try:
        call_command("import_contacts", str(path), "--tenant", tenant, *options, stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def counts(printed: str) -> dict[str, int]:
    [line] = [line for line in printed.splitlines() if "created " in line]
    pairs = line.removeprefix("dry run: ").split(", ")
    return {name: int(number) for name, number in (pair.split() for pair in pairs)}


# Killed


def start(path: Path, *options: str) -> subprocess.Popen:
    environment = os.environ | {"DATABASE_URL": test_database_url()}
    command = [sys.executable, "manage.py", "import_contacts", str(path), "--tenant", "acme"]
    return subprocess.Popen(
        [*command, "--batch-size", "50", "--rest-to-metadata", *options],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def everything() -> Any:
    fields = ("phone", "name", "email", "tags", "metadata", "source")
    return list(Contact.objects.order_by("phone").values(*fields)), list(
        ImportFailure.objects.order_by("line").values_list("line", "error")
    )
