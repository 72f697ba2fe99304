"""How fast import_contacts is, beside psql's \\copy of the same rows and one merge statement; and
how fast the same rows are read from an XLSX.

`DATABASE_URL=postgres://… python -m tests.benchmarks.imports [ROWS]`, 300,000 by default. Uses a
test database, which it makes and removes. Tags and metadata are in every row. The command runs as
a process of its own, start and reading of the file included; its peak of memory is of that process.
The processor time, of the programs and PostgreSQL together, tells more on a busy machine.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
import xlsxwriter

from .processor_time import of_processes, postmaster

ROOT = Path(__file__).resolve().parent.parent.parent

STAGING = """
CREATE UNLOGGED TABLE staging (phone text, name text, email text, tags text, metadata jsonb)
"""
MERGE = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    total_messages, created_at, updated_at, name_folded, email_folded)
SELECT gen_random_uuid(), (SELECT id FROM tenants_tenant WHERE slug = 'peer'), phone, name, email,
    tags, metadata, 'csv_import', '', 0, now(), now(), lower(name), lower(email)
FROM staging
ON CONFLICT (tenant_id, phone) DO UPDATE SET name = EXCLUDED.name, email = EXCLUDED.email,
    tags = EXCLUDED.tags, metadata = EXCLUDED.metadata, updated_at = EXCLUDED.updated_at
"""

CASES = {
    "new": "new.csv",
    "unchanged": "new.csv",
    "updated": "updated.csv",
    "updated from XLSX": "third.xlsx",
}


def write_files(folder: Path, rows: int) -> None:
    """As a shop exports them, once with other names; and as \\copy takes them."""
    workbook = xlsxwriter.Workbook(folder / "third.xlsx", {"constant_memory": True})
    sheet = workbook.add_worksheet()
    with (
        (folder / "new.csv").open("w", newline="") as new,
        (folder / "updated.csv").open("w", newline="") as updated,
        (folder / "copy.csv").open("w", newline="") as copy,
    ):
        files = [csv.writer(file) for file in (new, updated, copy)]
        header = ["Phone", "Name", "E-mail", "Tags", "City", "Order"]
        sheet.write_row(0, 0, header)
        for file in files[:2]:
            file.writerow(header)
        for n in range(rows):
            phone = f"6{n:08}"
            spaced = f"+33 {phone[0]} {phone[1:3]} {phone[3:5]} {phone[5:7]} {phone[7:]}"
            rest = [f"ann{n}@example.com", f"t{n % 7},u{n % 50}", "Paris", n]
            files[0].writerow([spaced, f"Ann Smith {n}", *rest])
            files[1].writerow([spaced, f"Bob Smith {n}", *rest])
            sheet.write_row(n + 1, 0, [spaced, f"Cid Smith {n}", *rest])
            metadata = f'{{"City":"Paris","Order":"{n}"}}'
            files[2].writerow([f"+33{phone}", f"Ann Smith {n}", *rest[:2], metadata])
    workbook.close()


class Timer:
    """Measures what these processes, and those that they start, do from now on."""

    def __init__(self, *processes: int) -> None:
        self.processes = processes
        self.processor = self.processor_time()
        self.start = time.perf_counter()

    def processor_time(self) -> float:
        return sum(map(of_processes, self.processes))

    def stop(self) -> tuple[float, float]:
        """Seconds that have passed, and seconds of processor time."""
        return time.perf_counter() - self.start, self.processor_time() - self.processor


def timer_of_all() -> Timer:
    """Of this process, those that it starts, and PostgreSQL."""
    return Timer(os.getpid(), postmaster(os.environ["DATABASE_URL"]))


def timed(command: list[str], **options: Any) -> tuple[float, float, int]:
    """What `Timer.stop` returns, and the largest resident set in KiB of the process itself."""
    timer = timer_of_all()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return *timer.stop(), usage.ru_maxrss


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL to a PostgreSQL whose role may create databases.")
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            report(connection, Path(folder), rows)
    finally:
        teardown_databases(databases, verbosity=0)


def report(connection: Any, folder: Path, rows: int) -> None:
    from contacts.models import Contact
    from tenants.models import Tenant

    Tenant.objects.create(name="Acme", slug="acme")
    peer = Tenant.objects.create(name="Peer", slug="peer")
    write_files(folder, rows)
    name = connection.settings_dict["NAME"]
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    environment = os.environ | {"DATABASE_URL": url, "DATA_DIR": str(folder / "data")}
    bring = [sys.executable, "manage.py", "import_contacts", "--tenant", "acme"]
    figures = {}
    for case, file in CASES.items():
        command = [*bring, str(folder / file), "--rest-to-metadata"]
        figures[case] = timed(command, cwd=ROOT, env=environment)
    assert Contact.objects.filter(name__startswith="Cid").count() == rows
    timer = timer_of_all()
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        with cursor.copy("COPY staging FROM STDIN (FORMAT csv)") as copy:
            copy.write((folder / "copy.csv").read_bytes())
        cursor.execute(MERGE)
    base, base_processor = timer.stop()
    assert peer.contacts.count() == rows
    day = datetime.now(UTC).date().isoformat()
    print(f"{connection.display_name}, {os.cpu_count()} processors, {day}, {rows} rows")
    print(
        f"{'':34} {'rows/s':>8} {'it : merge':>10} {'processor':>10} {'merge : it':>10} {'MiB':>4}"
    )
    print(
        f"{'copy and merge, no tags linked':34} {rows / base:8.0f} {1:10.2f} {base_processor:9.1f}s"
    )
    for case, (seconds, processor, peak) in figures.items():
        print(
            f"{'import_contacts, ' + case:34} {rows / seconds:8.0f} {base / seconds:10.2f}"
            f" {processor:9.1f}s {base_processor / processor:10.2f} {peak / 1024:4.0f}"
        )


if __name__ == "__main__":
    main()
