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
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from tenants.models import Tenant

from . import rules, sql
from .cleaning import Options
from .models import (
    Contact,
    Erasure,
    Import,
    ImportBatch,
    ImportFailure,
    Outcome,
    PhonesRefused,
    Row,
)
from .spool import SpoolLine, parse, read_chunk
from .tabular import Record, Source

CHUNK = 2000  # records that a process reads at a time
SHOWN = 10  # failures that a dry run remembers

Progress = Callable[[str, int], Any]  # what is done ("reading", "writing"), and how many more


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def in_order(
    pool: Executor, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """What `function` returns for each of `calls`, of which only a few are under way at a time."""
    waiting: deque[Future[Any]] = deque()
    for call in calls:
        waiting.append(pool.submit(function, *call))
        if len(waiting) > 4 * (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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
        self.written: list[ImportBatch] = []

    def run(self) -> None:
        """Raises `UnreadableFile` before anything is written."""
        with ExitStack() as stack:
            folder = spool_folder(self.job)
            if self.is_dry:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="qyvo-import-")))
            if self.is_dry or self.job.state == Import.State.READING:
                self.read(folder)
            self.write(folder / "rows")
            if self.is_dry:
                self.job.count(self.written)
            else:
                self.job.finish()
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
            calls = ((batch, *arguments) for some in (first, batches) for batch in some)
            yield from in_order(pool, read_chunk, calls)

    # Then its rows are written

    def write(self, spool: Path) -> None:
        """The batches that are not written yet, several at a time where the database can."""
        last = last_lines(spool)
        done = set() if self.is_dry else {*self.job.written.values_list("number", flat=True)}
        with spool.open(encoding="utf-8", newline="\n") as texts:
            batches = enumerate(chunks(texts, self.batch_size))
            calls = ((number, batch, last) for number, batch in batches if number not in done)
            for lines, written, failures in self.at_once(calls):
                self.written.append(written)
                shown = sorted([*self.first_failures, *failures], key=lambda line: line.line)
                self.first_failures = shown[:SHOWN]
                self.progress("writing", lines)

    def at_once(self, calls: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        """What `write_batch` returns for each of `calls`; many of them in threads, each with a
        connection of its own, but inside a transaction, whose rows those would wait for."""
        first = list(islice(calls, 4))
        is_alone = connection.vendor != "postgresql" or connection.in_atomic_block
        if len(first) < 4 or self.processes == 1 or is_alone:
            for call in (c for some in (first, calls) for c in some):
                yield self.write_batch(*call)
            return
        with ThreadPoolExecutor(self.processes) as pool:
            yield from in_order(pool, self.write_apart, (c for s in (first, calls) for c in s))

    def write_apart(self, *call: Any) -> Any:
        try:
            return self.write_batch(*call)
        finally:
            connection.close()

    @sql.transactional
    def write_batch(
        self, number: int, texts: list[str], last: dict[str, int]
    ) -> tuple[int, ImportBatch, list[SpoolLine]]:
        """The rows and the progress in one transaction; a dry run takes it back.

        Raises `IntegrityError` where another process has written the same batch.
        """
        lines = [parse(text) for text in texts]
        failures = [line for line in lines if line.error]
        rows = [line for line in lines if line.phone]
        winners = [line for line in rows if last.get(line.phone, line.line) == line.line]
        written = ImportBatch(tenant_id=self.job.tenant_id, job=self.job, number=number)
        written.superseded = len(rows) - len(winners)
        groups: dict[tuple[str, ...], list[SpoolLine]] = defaultdict(list)
        for line in winners:
            groups[line.given].append(line)
        if not self.is_dry:
            written.save(force_insert=True)
        for given, group in sorted(groups.items()):
            failures += self.write_group(given, group, written)
        written.failed = len(failures)
        if self.is_dry:
            transaction.set_rollback(True)
        else:
            written.save(force_update=True)
            self.keep(failures)
        return len(lines), written, failures

    def keep(self, failures: list[SpoolLine]) -> None:
        job = self.job
        ImportFailure.objects.bulk_create(
            ImportFailure(tenant_id=job.tenant_id, job=job, line=failure.line, error=failure.error)
            for failure in failures
        )

    def write_group(
        self, given: tuple[str, ...], lines: list[SpoolLine], written: ImportBatch
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
        for outcome, number in Counter(outcomes.values()).items():
            setattr(written, outcome, getattr(written, outcome) + number)
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
