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
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice, pairwise, starmap
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from django.db import connection, transaction

from contacts.change_log.cause import caused_by
from contacts.db import planner, transactions
from contacts.db.pacing import Pace
from contacts.jobs.files import data_folder, read_json, replace_json
from contacts.jobs.lock import ImportRuns, alone_in
from contacts.models import Contact, Import, ImportBatch, ImportFailure, PhonesRefused, with_folded
from contacts.values import rules
from contacts.values.digests import phone_digest
from tenants.isolation import tenant_context
from tenants.models import Tenant

from .error_file import ERASED, ErrorFile
from .row import Options
from .spool import SpoolLine, end_with_parent, parse, read_chunk
from .tabular import GaveWay, Source, UnreadableFile

PROCESSORS = os.cpu_count() or 1
FEW = 4  # chunks or batches that are not worth a pool
CHUNK = 2000  # records that a process reads at a time
HEAVY_CHUNK = 1_000_000  # characters; a number of five, 1e300, takes 160 bytes of memory
HEAVY_BATCH = 4_000_000  # characters
SHOWN = 10  # failures that a dry run remembers
OPT_OUT_LOST = "A later row has the same phone, and this one opts out; make them one."

Progress = Callable[[str, int], Any]  # what is done ("reading", "writing"), and how many more


def chunks(
    items: Iterable[Any], size: Callable[[], int], heavy: int, weight: Callable[[Any], int] = len
) -> Iterator[list[Any]]:
    """Lists of at most `size` items, asked anew for each list, that do not weigh more than `heavy`
    characters together, except for the last item of each list."""
    chunk, total = [], 0
    for item in items:
        chunk.append(item)
        total += weight(item)
        if len(chunk) >= size() or total > heavy:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


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
        self.must_give_way: Callable[[], bool] = lambda: False  # asked after each chunk or batch
        self.has_given_way = False

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
        """`run`, for one that is stored and has its spool for itself. Raises `GaveWay`."""
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

    @transactions.transactional
    def finish(self) -> None:
        """Nobody is erased between the last look at the error file and its being there."""
        transactions.hold_tenant(self.job.tenant_id)
        if self.errors:
            self.errors.publish()
        self.job.finish()

    @property
    def is_stored(self) -> bool:
        """A dry run of a command leaves no trace, one in the background is told of."""
        return not self.job._state.adding

    def bring(self, folder: Path) -> None:
        if self.is_dry and self.is_stored and not (folder / "tried").exists():
            self.job.start_over()  # it may have been killed
        if self.job.state != Import.State.WRITING or not (folder / "rows").exists():
            self.read(folder)
        self.write(folder / "rows")

    def in_turn(self, items: Iterable[Any]) -> Iterator[Any]:
        """`items`, until the import must give way; what is under way then comes to its end."""
        for number, item in enumerate(items):
            if number and self.must_give_way():
                self.has_given_way = True
                return
            yield item

    # First the whole file is read

    def read(self, folder: Path) -> None:
        place = Position.of(folder)
        line = place.line
        self.job.state, self.job.rows = Import.State.READING, place.rows
        self.save("state", "rows")
        with (folder / "reading").open("a", encoding="utf-8", newline="\n") as spool:
            spool.seek(spool.truncate(place.size))
            for number, text in enumerate(self.read_texts(line)):
                spool.write(text)
                line = parse(text[text.rfind("\n", 0, -1) + 1 :]).line
                rows = text.count("\n")
                self.job.rows += rows
                self.progress("reading", rows)
                if number % 10 == 0:
                    self.save("rows")
            spool.flush()
            os.fsync(spool.fileno())
            place = Position(line, spool.tell(), self.job.rows)
        if self.has_given_way:
            self.save("rows")
            replace_json(folder / "position", place)
            raise GaveWay
        (folder / "reading").replace(folder / "rows")  # whole or not at all
        self.job.state = Import.State.WRITING
        self.save("state", "rows")

    def save(self, *fields: str) -> None:
        if self.is_stored:
            self.job.save(update_fields=fields)

    def read_texts(self, line: int) -> Iterator[str]:
        """The spool, chunk by chunk, after the record that begins in this line (0: all of it);
        small files in this process, large ones in several."""
        records = self.source.records(since=line or 1)
        if line:
            next(records)
        found = self.in_turn(chunks(records, lambda: CHUNK, HEAVY_CHUNK, attrgetter("size")))
        calls = ((chunk, self.options, connection.vendor) for chunk in found)
        return in_order(read_chunk, calls, reading_processes)

    # Then its rows are written

    def write(self, spool: Path) -> None:
        """The batches that are not written yet, several at a time where the database can."""
        last = kept_last_lines(spool)
        done = self.rows_done(spool.with_name("tried"))
        tried = sum(done.values())
        with spool.open(encoding="utf-8", newline="\n") as texts:
            batches = self.in_turn(self.unwritten(texts, done))
            calls = ((number, batch, last) for number, batch in batches)
            # Not inside a transaction: threads have connections of their own, which would wait
            # for its rows.
            is_alone = connection.vendor != "postgresql" or connection.in_atomic_block
            pool = None if is_alone else writing_threads
            first = starmap(self.write_batch, islice(calls, 1))
            rest = in_order(self.write_batch, calls, pool, self.write_apart)
            for turn, (lines, written, failures) in enumerate(chain(first, rest)):
                if turn == 0 and pool and not done:
                    planner.analyze()
                tried += lines
                if self.is_dry:  # else the batches stored are counted in the end
                    self.job.count([written])
                    self.save(*Import.COUNTS)
                    self.keep(failures)
                shown = sorted([*self.first_failures, *failures], key=lambda line: line.line)
                self.first_failures = shown[:SHOWN]
                self.progress("writing", lines)
        if self.is_dry:
            replace_json(spool.with_name("tried"), tried)
        if self.has_given_way:
            raise GaveWay

    def rows_done(self, tried: Path) -> dict[int, int]:
        """How many rows are written, by the number of the first row of each batch.

        Of a dry run: the rows that were tried before it gave way. If a dry run is killed while it
        tries more of them, all are tried again.
        """
        if not self.is_dry:
            return {batch.number: batch.rows for batch in self.job.written.all()}
        number = read_json(tried, 0)
        tried.unlink(missing_ok=True)
        return {0: number} if number else {}

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
            for batch in chunks(rows, lambda: self.pace.size, HEAVY_BATCH):
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
        with tenant_context(self.job.tenant_id), cause, self.pace.turn(len(lines)):
            return self.try_batch(number, lines, last)

    @transactions.transactional
    def try_batch(
        self, number: int, lines: list[SpoolLine], last: dict[str, int]
    ) -> tuple[int, ImportBatch, list[SpoolLine]]:
        """The rows and the progress in one transaction; a dry run takes it back.

        Raises `IntegrityError` where another process has written the same batch.
        """
        transactions.hold_tenant(self.job.tenant_id)
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
    digests = {phone_digest(phone): phone for phone in phones}
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


def kept_last_lines(spool: Path) -> dict[str, int]:
    """`last_lines`, kept for the next turn."""
    path = spool.with_name("last")
    last: dict[str, int] | None = read_json(path, None)
    if last is None:
        last = last_lines(spool)
        replace_json(path, last)
    return last


class Position(NamedTuple):
    """How far a file has been read: the line on which the last record begins; the bytes and the
    rows of its spool."""

    line: int
    size: int
    rows: int

    @classmethod
    def of(cls, folder: Path) -> "Position":
        spool = folder / "reading"
        place = cls(*read_json(folder / "position", (0, 0, 0)))
        is_there = spool.exists() and spool.stat().st_size >= place.size
        return place if is_there else cls(0, 0, 0)


# Where an import is kept while it runs


def spool_folder(job: Import) -> Path:
    return data_folder("imports") / str(job.pk)


def clear(job: Import, folder: Path) -> None:
    """Removes what an import leaves of itself; a draft keeps its upload, to be run again."""
    if not job.is_draft:
        shutil.rmtree(folder)
        return
    for name in ("head", "reading", "position", "rows", "last", "tried"):
        (folder / name).unlink(missing_ok=True)


def erase_from_spool(job: Import, phone: str) -> None:
    """Takes the rows with this phone out of an import that was interrupted.

    One that runs refuses the phone when it writes, and removes its spool.
    """
    folder = spool_folder(job)
    if folder.exists():
        with suppress(ImportRuns), alone_in(folder):
            for name in ("reading", "position", "last"):  # made anew
                (folder / name).unlink(missing_ok=True)
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
            file.write(f'{line}\t\t\t\t"{ERASED}."\n' if found == phone else text)
    kept.replace(spool)


def fingerprint(source: Source, options: dict[str, Any]) -> str:
    """What says that a file is the same and is read in the same way."""
    digest = hashlib.sha256(rules.spelled(options).encode())
    with source.path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
