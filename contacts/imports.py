"""Files of contacts → contacts: one engine behind every door.

A file is read once into a spool of clean rows, in as many processes as there are processors;
then the spool is written in batches. A batch commits its rows and the progress in one
transaction: killed at any point, an import goes on behind its last batch. Reading first is what
makes a dry run exact: of a phone that is repeated, the last row counts, and only the whole
file tells which that is.
"""

import hashlib
import os
import shutil
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from tenants.models import Tenant

from . import rules
from .cleaning import Options
from .models import Contact, Erasure, Import, ImportFailure, Outcome, PhonesRefused, Row
from .spool import SpoolLine, parse, read_chunk
from .tabular import Record, Source

CHUNK = 2000  # records that a process reads at a time
SHOWN = 10  # failures that a dry run remembers

Progress = Callable[[str, int], Any]  # what is done ("reading", "writing"), and how many more


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Importer:
    """Brings `source` into the tenant of `job`, or goes on with it.

    `job`: unsaved for a dry run, which writes nothing and gives the same counts. `progress`: is
    told what is done. `first_failures`: of a dry run, the first by line.
    """

    def __init__(
        self,
        job: Import,
        source: Source,
        options: Options,
        *,
        batch_size: int = 5000,
        processes: int = 0,
        progress: Progress = lambda stage, more: None,
    ) -> None:
        self.job = job
        self.source = source
        self.options = options
        self.batch_size = batch_size
        self.processes = processes or os.cpu_count() or 1
        self.progress = progress
        self.is_dry = job._state.adding
        self.first_failures: list[SpoolLine] = []

    def run(self) -> None:
        """Raises `UnreadableFile` before anything is written."""
        with ExitStack() as stack:
            folder = spool_folder(self.job)
            if self.is_dry:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="qyvo-import-")))
            if self.is_dry or self.job.state == Import.State.READING:
                self.read(folder)
            self.write(folder / "rows")
            self.job.state = Import.State.DONE
            self.job.finished_at = timezone.now()
            if not self.is_dry:
                self.job.save(update_fields=["state", "finished_at"])
                shutil.rmtree(folder, ignore_errors=True)

    # First the whole file is read

    def read(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "rows").open("w", encoding="utf-8", newline="\n") as spool:
            for text in self.read_texts():
                spool.write(text)
                self.progress("reading", text.count("\n"))
            spool.flush()
            os.fsync(spool.fileno())
        self.job.state = Import.State.WRITING
        if not self.is_dry:
            self.job.save(update_fields=["state"])

    def read_texts(self) -> Iterator[str]:
        """The spool, chunk by chunk; small files in this process, large ones in several."""
        arguments = (self.options, connection.vendor)
        batches = chunks(self.source.records(), CHUNK)
        first = list(islice(batches, 4))
        if len(first) < 4 or self.processes == 1:
            for batch in [*first, *batches]:
                yield read_chunk(batch, *arguments)
            return
        with ProcessPoolExecutor(self.processes, mp_context=get_context("spawn")) as pool:
            waiting: list[Future[str]] = []
            for batch in (b for source in (first, batches) for b in source):
                waiting.append(pool.submit(read_chunk, batch, *arguments))
                if len(waiting) > 2 * self.processes:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()

    # Then its rows are written

    def write(self, spool: Path) -> None:
        last = last_lines(spool)
        with spool.open(encoding="utf-8", newline="\n") as texts:
            for number, batch in enumerate(chunks(texts, self.batch_size)):
                if number >= self.job.batches:
                    self.write_batch(number, [parse(text) for text in batch], last)
                    self.progress("writing", len(batch))

    def write_batch(self, number: int, lines: list[SpoolLine], last: dict[str, int]) -> None:
        """The rows and the progress in one transaction; a dry run takes it back."""
        failures = [line for line in lines if line.error]
        rows = [line for line in lines if line.phone]
        winners = [line for line in rows if last.get(line.phone, line.line) == line.line]
        with transaction.atomic():
            if not self.is_dry:
                self.take_turn(number)
            counts: dict[str, int] = defaultdict(int)
            counts["superseded"] = len(rows) - len(winners)
            groups: dict[tuple[str, ...], list[SpoolLine]] = defaultdict(list)
            for line in winners:
                groups[line.given].append(line)
            for given, group in sorted(groups.items()):
                failures += self.write_group(given, group, counts)
            counts["failed"] = len(failures)
            for name, count in counts.items():
                setattr(self.job, name, getattr(self.job, name) + count)
            self.job.batches = number + 1
            if self.is_dry:
                failures = sorted([*self.first_failures, *failures], key=lambda line: line.line)
                self.first_failures = failures[:SHOWN]
                transaction.set_rollback(True)
            else:
                self.job.save(update_fields=["batches", *Import.COUNTS])
                self.keep(failures)

    def take_turn(self, number: int) -> None:
        """Raises `RuntimeError` where another process goes on with the same import."""
        batches = Import.objects.select_for_update().values_list("batches", flat=True)
        if batches.get(pk=self.job.pk) != number:
            raise RuntimeError("Another process is writing this import.")

    def keep(self, failures: list[SpoolLine]) -> None:
        job = self.job
        ImportFailure.objects.bulk_create(
            ImportFailure(tenant_id=job.tenant_id, job=job, line=failure.line, error=failure.error)
            for failure in failures
        )

    def write_group(
        self, given: tuple[str, ...], lines: list[SpoolLine], counts: dict[str, int]
    ) -> list[SpoolLine]:
        """Writes rows that give the same fields, and counts them; returns those that failed."""
        mode = self.job.options["mode"]
        reasons = self.without_contact(lines) if mode == Import.Mode.UPDATE_ONLY else {}
        if not self.job.options.get("allow_erased"):
            reasons |= self.erased(lines)
        changes = [] if mode == Import.Mode.CREATE_ONLY else with_folded(given)
        outcomes: dict[str, Outcome] = {}
        while len(reasons) < len(lines):
            rows = [
                Row(line.id, line.phone, line.values) for line in lines if line.phone not in reasons
            ]
            try:
                outcomes = self.job.tenant.contacts.upsert_rows(
                    self.job.tenant,
                    rows,
                    [name.lstrip("-") for name in with_folded(given)],
                    changes,
                    Contact.Source.CSV_IMPORT,
                )
                break
            except PhonesRefused as error:
                reasons |= error.reasons
        for outcome in outcomes.values():
            counts[outcome] += 1
        return [line._replace(error=reasons[line.phone]) for line in lines if line.phone in reasons]

    def erased(self, lines: list[SpoolLine]) -> dict[str, str]:
        """Why the phones of people who asked to be forgotten are not brought back."""
        erasures = self.job.tenant.erasures
        if not erasures.exists():
            return {}
        digests = {Erasure.digest_of(line.phone): line.phone for line in lines}
        found = erasures.filter(digest__in=digests).values_list("digest", "erased_at")
        return {
            digests[digest]: f"Erased on {erased_at:%Y-%m-%d}; --allow-erased brings it back."
            for digest, erased_at in found
        }

    def without_contact(self, lines: list[SpoolLine]) -> dict[str, str]:
        """The phones that no contact has, locking the contacts of the others, in their order."""
        phones = {line.phone for line in lines}
        contacts = self.job.tenant.contacts.filter(phone__in=phones).order_by("phone")
        known = {*contacts.select_for_update().values_list("phone", flat=True)}
        return dict.fromkeys(phones - known, "There is no contact with this phone to update.")


def with_folded(given: Iterable[str]) -> list[str]:
    names = [*given]
    return names + [f"{name}_folded" for name in ("name", "email") if name in names]


def last_lines(spool: Path) -> dict[str, int]:
    """The last line of each phone that is repeated.

    Phones are kept as numbers of eight bytes: a million of them take little.
    """
    phones = array("Q")
    with spool.open(encoding="utf-8", newline="\n") as texts:
        for text in texts:
            if phone := text.split("\t", 3)[2]:
                phones.append(int(phone[1:]))
    repeated = {f"+{one}" for one, other in pairwise(sorted(phones)) if one == other}
    last: dict[str, int] = {}
    if repeated:
        with spool.open(encoding="utf-8", newline="\n") as texts:
            for text in texts:
                line, _, phone, _ = text.split("\t", 3)
                if phone in repeated:
                    last[phone] = int(line)
    return last


# Where an import is kept while it runs


def spool_folder(job: Import) -> Path:
    return Path(settings.DATA_DIR) / "imports" / str(job.pk)


def erase_from_spools(tenant: Tenant, phone: str) -> None:
    """Takes the rows with this phone out of the imports that are not done yet."""
    for job in tenant.imports.exclude(state=Import.State.DONE):
        spool = spool_folder(job) / "rows"
        if spool.exists():
            kept = spool.with_name("kept")
            with (
                spool.open(encoding="utf-8", newline="\n") as old,
                kept.open("w", newline="\n") as new,
            ):
                for text in old:
                    line, _, found, _ = text.split("\t", 3)
                    new.write(f'{line}\t\t\t\t"Erased."\n' if found == phone else text)
            kept.replace(spool)


def fingerprint(source: Source, options: dict[str, Any]) -> str:
    """What says that a file is the same and is read in the same way."""
    digest = hashlib.sha256(rules.spelled(options).encode())
    with source.path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()


def failed_records(job: Import, source: Source) -> Iterator[tuple[Record, str]]:
    """The records that were not brought in, as the file has them, each with its error."""
    failures = job.failures.order_by("line").values_list("line", "error").iterator()
    records = source.records()
    with suppress(StopIteration):
        for line, error in failures:
            yield next(record for record in records if record.line == line), error
