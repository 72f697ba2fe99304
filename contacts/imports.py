"""Files of contacts → contacts: one engine behind every door.

A file is read once into a spool of clean rows, in as many processes as there are processors;
then the spool is written in batches. A batch commits its rows and the progress in one
transaction: killed at any point, an import goes on behind its last batch. Reading first is what
makes a dry run exact: of a phone that is repeated, the last row counts, and only the whole
file tells which that is.
"""

import fcntl
import hashlib
import os
import shutil
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice, pairwise, starmap
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from django.db import connection, transaction

from tenants.isolation import seeing
from tenants.models import Tenant

from . import planner, rules, sql
from .changes import caused_by
from .cleaning import Options
from .error_files import ERASED, ErrorFile
from .files import data_folder
from .models import (
    Contact,
    Erasure,
    Import,
    ImportBatch,
    ImportFailure,
    PhonesRefused,
    with_folded,
)
from .pacing import Pace
from .spool import SpoolLine, end_with_parent, parse, read_chunk
from .tabular import Record, Source, UnreadableFile

PROCESSORS = os.cpu_count() or 1
FEW = 4  # chunks or batches that are not worth a pool
CHUNK = 2000  # records that a process reads at a time
HEAVY = 4_000_000  # characters of a chunk or batch
SHOWN = 10  # failures that a dry run remembers
OPT_OUT_LOST = "A later row has the same phone, and this one opts out; make them one."

Progress = Callable[[str, int], Any]  # what is done ("reading", "writing"), and how many more


def chunks(
    items: Iterable[Any], size: Callable[[], int], weight: Callable[[Any], int] = len
) -> Iterator[list[Any]]:
    """Lists of at most `size` items, asked anew for each, that do not weigh more than `HEAVY`
    characters together, but for the last one of each."""
    chunk, total = [], 0
    for item in items:
        chunk.append(item)
        total += weight(item)
        if len(chunk) >= size() or total > HEAVY:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


def weight_of_record(record: Record) -> int:
    return sum(len(cell) for cell in record.cells.values() if isinstance(cell, str | list))


def in_order(
    function: Callable[..., Any],
    calls: Iterator[tuple[Any, ...]],
    make_pool: Callable[[], Executor] | None,
    in_pool: Callable[..., Any] | None = None,
) -> Iterator[Any]:
    """What `function` returns for each of `calls`: here, or where there are many of them, in a
    pool (as `in_pool`, if that differs), with only some under way at a time."""
    first = list(islice(calls, FEW))
    calls = chain(first, calls)
    if make_pool is None or len(first) < FEW:
        yield from starmap(function, calls)
        return
    with make_pool() as pool:
        waiting: deque[Future[Any]] = deque()
        for call in calls:
            waiting.append(pool.submit(in_pool or function, *call))
            if len(waiting) > 4 * PROCESSORS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def reading_processes() -> Executor:
    context = get_context("spawn")
    return ProcessPoolExecutor(PROCESSORS, mp_context=context, initializer=end_with_parent)


def writing_threads() -> Executor:
    return ThreadPoolExecutor(PROCESSORS)


class Importer:
    """Brings `source` into the tenant of `job`, or goes on with it.

    A dry run writes no contact, and gives `job` the same counts. `progress`: is told what is done.
    `first_failures`: the first by line.
    """

    def __init__(
        self,
        job: Import,
        source: Source,
        options: Options,
        *,
        batch_size: int = 5000,
        progress: Progress = lambda stage, more: None,
    ) -> None:
        self.job = job
        self.source = source
        self.options = options
        self.pace = Pace(batch_size)
        self.progress = progress
        self.is_dry = job.dry_run
        self.first_failures: list[SpoolLine] = []
        self.errors: ErrorFile | None = None

    def run(self) -> None:
        """Raises `ImportRuns` where another process does this import, `UnreadableFile` before
        anything is written; then the import counts as refused."""
        if self.is_dry and not self.is_stored:
            with TemporaryDirectory(prefix="qyvo-import-") as folder:
                self.bring(Path(folder))
            return
        with alone_in(spool_folder(self.job)) as spool:
            if not self.is_stored:
                self.job.save()
            self.run_in(spool)

    def run_in(self, folder: Path) -> None:
        """`run`, for one that is stored and has its spool for itself."""
        try:
            self.bring(folder)
        except UnreadableFile as error:
            self.job.refuse(str(error))
            clear(self.job, folder)
            raise
        if self.errors:  # what may still fail, and be tried again
            self.errors.write()
        self.finish()
        clear(self.job, folder)

    @sql.transactional
    def finish(self) -> None:
        """Nobody is erased between the last look at the error file and its being there."""
        sql.hold_tenant(self.job.tenant_id)
        if self.errors:
            self.errors.publish()
        self.job.finish()

    @property
    def is_stored(self) -> bool:
        """A dry run of a command leaves no trace, one in the background is told of."""
        return not self.job._state.adding

    def bring(self, folder: Path) -> None:
        if self.is_dry and self.is_stored:  # which may have been killed, and is begun anew
            self.job.start_over()
        if self.job.state != Import.State.WRITING or not (folder / "rows").exists():
            self.read(folder)
        self.write(folder / "rows")

    # First the whole file is read

    def read(self, folder: Path) -> None:
        self.job.state, self.job.rows = Import.State.READING, 0
        self.save("state")
        with (folder / "reading").open("w", encoding="utf-8", newline="\n") as spool:
            for number, text in enumerate(self.read_texts()):
                spool.write(text)
                rows = text.count("\n")
                self.job.rows += rows
                self.progress("reading", rows)
                if number % 10 == 0:
                    self.save("rows")
            spool.flush()
            os.fsync(spool.fileno())
        (folder / "reading").replace(folder / "rows")  # whole or not at all
        self.job.state = Import.State.WRITING
        self.save("state", "rows")

    def save(self, *fields: str) -> None:
        if self.is_stored:
            self.job.save(update_fields=fields)

    def read_texts(self) -> Iterator[str]:
        """The spool, chunk by chunk; small files in this process, large ones in several."""
        records = chunks(self.source.records(), lambda: CHUNK, weight_of_record)
        calls = ((chunk, self.options, connection.vendor) for chunk in records)
        return in_order(read_chunk, calls, reading_processes)

    # Then its rows are written

    def write(self, spool: Path) -> None:
        """The batches that are not written yet, several at a time where the database can."""
        last = last_lines(spool)
        done = {} if self.is_dry else {one.number: one.rows for one in self.job.written.all()}
        with spool.open(encoding="utf-8", newline="\n") as texts:
            calls = ((number, batch, last) for number, batch in self.unwritten(texts, done))
            # Not inside a transaction: threads have connections of their own, which would wait
            # for its rows.
            is_alone = connection.vendor != "postgresql" or connection.in_atomic_block
            pool = None if is_alone else writing_threads
            first = starmap(self.write_batch, islice(calls, 1))
            rest = in_order(self.write_batch, calls, pool, self.write_apart)
            for turn, (lines, written, failures) in enumerate(chain(first, rest)):
                if turn == 0 and pool:
                    planner.analyze()
                if self.is_dry:  # else the batches stored are counted in the end
                    self.job.count([written])
                    self.save(*Import.COUNTS)
                    self.keep(failures)
                shown = sorted([*self.first_failures, *failures], key=lambda line: line.line)
                self.first_failures = shown[:SHOWN]
                self.progress("writing", lines)

    def unwritten(
        self, texts: Iterator[str], done: dict[int, int]
    ) -> Iterator[tuple[int, list[str]]]:
        """The rows of the spool that are not written yet, in batches, each with the number of its
        first row. `done`: how many rows from a number on are written.

        An interrupted import of an earlier version counted batches, not rows. Those of its batches
        that overlap are written again, which changes nothing.
        """
        first = 0
        for start in [*sorted(done), None]:
            if start is not None and start < first:
                continue
            rows = texts if start is None else islice(texts, start - first)
            for batch in chunks(rows, lambda: self.pace.size):
                yield first, batch
                first += len(batch)
            if start is not None:
                first += sum(1 for _ in islice(texts, done[start]))

    def write_apart(self, *call: Any) -> Any:
        """`write_batch` in a thread, whose connection nobody else would close."""
        try:
            return self.write_batch(*call)
        finally:
            connection.close()

    def write_batch(
        self, number: int, texts: list[str], last: dict[str, int]
    ) -> tuple[int, ImportBatch, list[SpoolLine]]:
        lines = [parse(text) for text in texts]
        cause = caused_by(f"import:{self.job.pk}", change_set=self.job.pk)
        with seeing(self.job.tenant_id), cause, self.pace.turn(len(lines)):
            return self.try_batch(number, lines, last)

    @sql.transactional
    def try_batch(
        self, number: int, lines: list[SpoolLine], last: dict[str, int]
    ) -> tuple[int, ImportBatch, list[SpoolLine]]:
        """The rows and the progress in one transaction; a dry run takes it back.

        Raises `IntegrityError` where another process has written the same batch.
        """
        sql.hold_tenant(self.job.tenant_id)
        failures = [line for line in lines if line.error]
        rows = [line for line in lines if line.phone]
        winners = [line for line in rows if last.get(line.phone, line.line) == line.line]
        superseded = [line for line in rows if last.get(line.phone, line.line) != line.line]
        # An opt-out must not get lost behind a later row of the same phone.
        opt_outs = [line for line in superseded if "opted_out_at" in line.given]
        failures += [line._replace(error=OPT_OUT_LOST) for line in opt_outs]
        written = ImportBatch(tenant_id=self.job.tenant_id, job=self.job, number=number)
        written.superseded = len(superseded) - len(opt_outs)
        groups: dict[tuple[str, ...], list[SpoolLine]] = defaultdict(list)
        for line in winners:
            groups[line.given].append(line)
        if not self.is_dry:
            written.save(force_insert=True)
        if len(groups) > 1:  # each of them sorts its own only
            self.lock([line.phone for line in winners])
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
        if not self.is_stored:
            return
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
            reasons |= erased(self.job.tenant, (line.phone for line in lines))
        changes = [] if mode == Import.Mode.CREATE_ONLY else with_folded(given)
        new = Contact(tenant=self.job.tenant, source=Contact.Source.CSV_IMPORT)
        while rows := {line.phone: line.values for line in lines if line.phone not in reasons}:
            try:
                columns = [name.lstrip("-") for name in with_folded(given)]
                done = Contact.objects.upsert_rows(rows, columns, changes, new)
            except PhonesRefused as error:
                reasons |= error.reasons
            else:
                written.add(row.outcome for row in done.values())
                written.unchanged += len(rows) - len(done)
                break
        return [line._replace(error=reasons[line.phone]) for line in lines if line.phone in reasons]

    def without_contact(self, lines: list[SpoolLine]) -> dict[str, str]:
        """The phones that no contact has."""
        phones = {line.phone for line in lines}
        return dict.fromkeys(
            phones - self.lock(phones), "There is no contact with this phone to update."
        )

    def lock(self, phones: Iterable[str]) -> set[str]:
        """Locks the contacts with these phones, in the order of all writers. Returns theirs."""
        contacts = self.job.tenant.contacts.filter(phone__in=phones).order_by("phone")
        return {*contacts.select_for_update().values_list("phone", flat=True)}


def erased(tenant: Tenant, phones: Iterable[str]) -> dict[str, str]:
    """Why the phones of people who asked to be forgotten are not brought back."""
    if not tenant.erasures.exists():
        return {}
    digests = {Erasure.digest_of(phone): phone for phone in phones}
    found = tenant.erasures.filter(digest__in=digests).values_list("digest", "erased_at")
    return {
        digests[digest]: f"{ERASED} on {erased_at:%Y-%m-%d}; --allow-erased brings it back."
        for digest, erased_at in found
    }


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
    return data_folder("imports") / str(job.pk)


def clear(job: Import, folder: Path) -> None:
    """Removes what an import leaves of itself; a draft keeps its upload, to be run again."""
    if not job.is_draft:
        shutil.rmtree(folder)
        return
    for name in ("reading", "rows"):
        (folder / name).unlink(missing_ok=True)


class ImportRuns(RuntimeError):
    """Another process does the same import at this moment."""


@contextmanager
def alone_in(folder: Path) -> Iterator[Path]:
    """Keeps other processes of this machine out of `folder`, which is made. Raises `ImportRuns`.

    The lock stands beside it, and goes when the folder has gone: whoever has opened it before
    that sees that it is another file by then.
    """
    lock = folder.with_suffix(".lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ImportRuns("This import is running.") from error
            if not is_at(file, lock):
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            try:
                yield folder
            finally:
                if not folder.exists():
                    lock.unlink()
            return


def is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def erase_from_spool(job: Import, phone: str) -> None:
    """Takes the rows with this phone out of an import that was interrupted.

    One that runs refuses the phone when it writes, and removes its spool.
    """
    folder = spool_folder(job)
    if folder.exists():
        with suppress(ImportRuns), alone_in(folder):
            (folder / "reading").unlink(missing_ok=True)  # half a spool: it is made anew
            if job.is_over:
                shutil.rmtree(folder)
            elif (folder / "rows").exists():
                erase_from(folder / "rows", phone)


def erase_from(spool: Path, phone: str) -> None:
    kept = spool.with_name("kept")
    with (
        spool.open(encoding="utf-8", newline="\n") as texts,
        kept.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for text in texts:
            line, _, found, _ = text.split("\t", 3)
            erased = f'{line}\t\t\t\t"{ERASED}."'
            # As long as it was: batches, which `HEAVY` may end, end where they did.
            file.write(f"{erased:<{len(text) - 1}}\n" if found == phone else text)
    kept.replace(spool)


def fingerprint(source: Source, options: dict[str, Any]) -> str:
    """What says that a file is the same and is read in the same way."""
    digest = hashlib.sha256(rules.spelled(options).encode())
    with source.path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
