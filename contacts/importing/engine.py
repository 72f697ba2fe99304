"""Files of contacts → contacts: the engine of the API's, the admin's and the command's imports.

An import has two stages. It reads the whole file into a spool of clean rows, in several processes.
Then it writes the rows in batches. A batch commits its rows and the progress in one transaction:
an import that was killed continues after its last batch. Reading everything first makes dry runs
exact: rows with the same phone are combined, and only the whole file shows which rows those are.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, starmap
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.db import connection

from contacts.db import planner, transactions
from contacts.db.dialects import dialect_of, has_one_writer
from contacts.jobs.files import read_json, replace_json
from contacts.jobs.lock import locked_folder
from contacts.models import Import
from contacts.values import rules

from . import ending, former, language
from .batch import BatchResult, BatchWriter
from .columns import FORMER
from .error_file import ErrorFile
from .hints import hint
from .pools import chunks, in_order, reading_processes, writing_threads
from .record_file import RecordFile
from .records import TurnEnded, UnreadableFile
from .repeats import combine
from .row import ReadOptions
from .spool import SpoolLine, parse, read_chunk
from .storage import ReadingPosition, clear, spool_folder

CHUNK = 2000  # records that a process reads at a time
# Characters. JSON takes more memory than its text: the five characters 1e300 become an integer of
# 160 bytes.
MAX_CHUNK_SIZE = 1_000_000
MAX_BATCH_SIZE = 4_000_000  # characters
SHOWN_FAILURES = 10
COMBINED = "combined"  # a file beside the spool: the rows of the spool are combined

Progress = Callable[[str, int], Any]  # the stage ("reading", "writing"), and how many more rows


class Importer:
    """Imports `source` into the tenant of `job`, or continues with an import that was interrupted.

    A dry run writes no contact, and gives `job` the same counts as a real run.

    `progress`: called with the stage and the number of rows that were done since the last call.
    `errors`: the error file to write, if any. `turn_is_over`: asked after each chunk and each
    batch. `first_failures`: the failures with the lowest line numbers, `SHOWN_FAILURES` at most.
    """

    def __init__(
        self,
        job: Import,
        source: RecordFile,
        options: ReadOptions,
        *,
        batch_size: int = 5000,
        progress: Progress = lambda stage, more: None,
    ) -> None:
        self.job = job
        self.source = source
        self.options = options
        self.writer = BatchWriter(job, batch_size)
        self.progress = progress
        self.is_dry = job.dry_run
        self.first_failures: list[SpoolLine] = []
        self.errors: ErrorFile | None = None
        self.turn_is_over: Callable[[], bool] = lambda: False
        self.turn_has_ended = False

    def run(self) -> None:
        """Raises `JobIsRunning` if another process runs this import, and `UnreadableFile` before
        anything is written; then the import is refused."""
        if self.is_dry and not self.is_stored:
            with TemporaryDirectory(prefix="qyvo-import-") as folder:
                self.read_and_write(Path(folder))
            return
        with locked_folder(spool_folder(self.job)) as folder:
            if not self.is_stored:
                self.job.save()
            self.run_in(folder)

    def run_in(self, folder: Path) -> None:
        """`run` for an import that is stored, by the process that is alone in its spool folder.
        Raises `TurnEnded`."""
        try:
            self.read_and_write(folder)
        except UnreadableFile as error:
            ending.refuse(self.job, str(error))
            clear(self.job, folder)
            raise
        if self.errors:
            # Outside the transaction of `finish`: writing and storing take long and may fail, and
            # the import can then be started again. Nobody can read the file of an import that runs.
            self.errors.write()
            self.errors.publish()
        self.finish()
        clear(self.job, folder)

    @transactions.transactional
    def finish(self) -> None:
        """Finishes the job while no one can be erased. Without the lock, the error file could show
        a person who was erased a moment before."""
        transactions.hold_tenant(self.job.tenant_id)
        if self.errors:
            self.errors.renew()
        ending.finish(self.job)

    @property
    def is_stored(self) -> bool:
        """Whether the job is in the database: the dry run of a command is not."""
        return not self.job._state.adding

    def read_and_write(self, folder: Path) -> None:
        if self.is_dry and self.is_stored and not self.continues_dry_run(folder / "tried"):
            self.job.start_over()
        if self.job.state != Import.State.WRITING or not (folder / "rows").exists():
            self.read(folder)
        self.write(folder / "rows")

    def continues_dry_run(self, tried_file: Path) -> bool:
        """Not if the dry run was killed: then there is no number, or in an object store the number
        of an earlier turn, and the counts of the job are higher."""
        return bool(read_json(tried_file, None) == sum(self.job.counts().values()))

    def until_turn_ends(self, items: Iterable[Any]) -> Iterator[Any]:
        """`items`, until the turn is over; work that has begun is completed. At least one item, so
        that every turn makes progress."""
        for number, item in enumerate(items):
            if number and self.turn_is_over():
                self.turn_has_ended = True
                return
            yield item

    def save(self, *fields: str) -> None:
        if self.is_stored:
            self.job.save(update_fields=fields)

    # Reading

    def read(self, folder: Path) -> None:
        """The file → the spool. Raises `TurnEnded`, and stores the position first."""
        position = ReadingPosition.of(folder)
        line = position.line
        self.job.state, self.job.rows = Import.State.READING, position.rows
        if self.is_dry and not line:
            self.job.hint = hint(self.source.records(), self.options)
        self.save("state", "rows", "hint")
        with (folder / "reading").open("a", encoding="utf-8", newline="\n") as spool:
            spool.seek(spool.truncate(position.size))
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
            position = ReadingPosition(line, spool.tell(), self.job.rows)
        if self.turn_has_ended:
            self.save("rows")
            replace_json(folder / "position", position)
            raise TurnEnded
        (folder / COMBINED).unlink(missing_ok=True)
        (folder / "reading").replace(folder / "rows")  # `rows` is complete, or does not exist
        self.job.state = Import.State.WRITING
        self.save("state", "rows")

    def read_texts(self, line: int) -> Iterator[str]:
        """The text of the spool in chunks, for the records after the record that begins in `line`;
        0 means all records. Small files are read in this process, large files in several."""
        records = self.source.records(line or 1)
        if line:
            next(records)
        found = chunks(records, lambda: CHUNK, MAX_CHUNK_SIZE, attrgetter("size"))
        calls = ((chunk, self.options, dialect_of()) for chunk in self.until_turn_ends(found))
        return in_order(read_chunk, calls, partial(reading_processes, *language.catalogues()))

    # Writing

    def write(self, spool: Path) -> None:
        """Writes the batches that are not written yet, several at a time if the database allows
        this. Raises `TurnEnded`."""
        tried_file = spool.with_name("tried")
        done = self.rows_done(tried_file)
        tried = sum(done.values())
        # Before the first batch: a dry run takes back what its batches create, and then each would
        # wait for the others.
        transactions.make_lock(self.job.tenant_id)
        for result in self.write_batches(spool, done):
            tried += result.rows
            self.note(result)
        if self.is_dry:
            replace_json(tried_file, tried)
        if self.turn_has_ended:
            raise TurnEnded

    def write_batches(self, spool: Path, done: dict[int, int]) -> Iterator[BatchResult]:
        self.combine_once(spool)
        # Inside a transaction, threads would wait for its rows: a thread has its own connection.
        is_alone = has_one_writer() or connection.in_atomic_block
        pool = None if is_alone else writing_threads
        with spool.open(encoding="utf-8", newline="\n") as texts:
            batches = self.until_turn_ends(self.unwritten(texts, done))
            first = starmap(self.writer.write, islice(batches, 1))
            rest = in_order(self.writer.write, batches, pool, self.writer.write_in_thread)
            for number, result in enumerate(chain(first, rest)):
                if number == 0 and pool and not done:
                    planner.analyze()
                yield result

    def combine_once(self, spool: Path) -> None:
        """Combines the rows of repeated phones, and decides to whom former phones belong that the
        file has more than once, unless an earlier turn has done so."""
        marker = spool.with_name(COMBINED)
        if marker.exists():
            return
        keeps_first = self.job.options["mode"] == Import.Mode.CREATE_ONLY
        combine(spool, keeps_first=keeps_first, strict=self.options.strict)
        if FORMER in self.options.fields.values():
            former.settle(spool, strict=self.options.strict)
        marker.touch()

    def note(self, result: BatchResult) -> None:
        """Adds the result of a batch to the job. A real run stores the counts with the batch, and
        adds them up in the end."""
        if self.is_dry:
            self.job.count([result.counts])
            self.save(*Import.COUNTS, "warnings", "warning_list")
            if self.is_stored:
                self.writer.save_failures(result.failures)
        failures = sorted([*self.first_failures, *result.failures], key=lambda line: line.line)
        self.first_failures = failures[:SHOWN_FAILURES]
        self.progress("writing", result.rows)

    def rows_done(self, tried_file: Path) -> dict[int, int]:
        """How many rows each batch has written, by the number of its first row.

        For a dry run: the rows that were tried before its turn ended. A dry run that was killed
        tries all rows again.
        """
        if not self.is_dry:
            return {batch.number: batch.rows for batch in self.job.own_batches()}
        number = read_json(tried_file, 0)
        tried_file.unlink(missing_ok=True)
        return {0: number} if number else {}

    def unwritten(
        self, texts: Iterator[str], done: dict[int, int]
    ) -> Iterator[tuple[int, list[str]]]:
        """The rows of the spool that are not written yet, in batches, each with the number of its
        first row. `done`: as `rows_done` returns it.

        An earlier version numbered batches 0, 1, 2 instead of by their first rows. Batches that
        overlap for this reason are written again, which changes nothing.
        """
        first = 0
        for start in [*sorted(done), None]:
            if start is not None and start < first:
                continue
            rows = texts if start is None else islice(texts, start - first)
            for batch in chunks(rows, lambda: self.writer.pace.size, MAX_BATCH_SIZE):
                yield first, batch
                first += len(batch)
            if start is not None:
                first += sum(1 for _ in islice(texts, done[start]))


def fingerprint(source: RecordFile, options: dict[str, Any]) -> str:
    """A digest that is the same only for the same file with the same options."""
    digest = hashlib.sha256(rules.spelled(options).encode())
    with source.path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
