"""The records that an import could not bring in: as they came, with `line` and `error`, to be
mended and imported again."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from contacts.importing import columns
from contacts.jobs.files import read_json, replace_json
from contacts.models import Import
from contacts.values import rules
from contacts.values.formulas import neutral, original

from .erasures import without_erased
from .record_file import Source
from .records import GaveWay, Record, UnreadableFile
from .row import Options


def failed_records(job: Import, source: Source, after: int = 0) -> Iterator[tuple[Record, str]]:
    """The records that were not brought in, as the file has them, each with its error; those only
    that begin behind the line `after`, on which one begins, too."""
    failed = job.failures.filter(line__gt=after).order_by("line")
    failures = failed.values_list("line", "error").iterator()
    records = source.records(since=after or 1)
    for line, error in failures:
        record = next((record for record in records if record.line == line), None)
        if record is None:
            raise UnreadableFile(f"{source.path} has changed meanwhile: line {line} is gone.")
        yield record, error


class ErrorFile:
    """The error file of `job` at `path`: a CSV, or NDJSON. It is written under another name, and
    put in its place when the import is done; a person may be erased in between."""

    def __init__(
        self, job: Import, source: Source, options: Options, path: Path, *, as_json: bool = False
    ) -> None:
        self.job = job
        self.source = source
        self.options = options
        self.path = path
        self.unfinished = path.with_name(f"{path.name}.unfinished")
        self.as_json = as_json
        self.erasures = 0
        self.must_give_way: Callable[[], bool] = lambda: False  # asked after each record
        self.place = path.with_name(f"{path.name}.place")  # where it gave way

    def write(self) -> None:
        """Raises `GaveWay`, and goes on where it was when it is called again; from the beginning
        where somebody was erased meanwhile."""
        self.erasures = self.job.tenant.erasures.count()
        after, size, erasures = read_json(self.place, (0, 0, 0))
        if erasures != self.erasures:
            after = size = 0
        failed = failed_records(self.job, self.source, after)
        records = self.in_turn(without_erased(self.job, failed, self.options))
        # Half a surrogate pair, which JSON can spell, cannot be written otherwise.
        with self.unfinished.open(
            "a", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            file.seek(file.truncate(size))
            (self.write_json if self.as_json else self.write_csv)(file, records)
            if self.gave_way_at:
                replace_json(self.place, (self.gave_way_at, file.tell(), self.erasures))
                raise GaveWay
        self.place.unlink(missing_ok=True)

    def in_turn(self, records: Iterator[tuple[Record, str]]) -> Iterator[tuple[Record, str]]:
        """`records`, until the import must give way; `gave_way_at` is the line of the last one."""
        self.gave_way_at = line = 0
        for record, error in records:
            if line and self.must_give_way():
                self.gave_way_at = line
                return
            line = record.line
            yield record, error

    def publish(self) -> None:
        if self.job.tenant.erasures.count() != self.erasures:
            self.must_give_way = lambda: False
            self.write()
        self.unfinished.replace(self.path)

    def write_json(self, file: IO[str], records: Iterator[tuple[Record, str]]) -> None:
        for record, error in records:
            told = {**named(record.cells), "line": record.line, "error": error}
            file.write(json.dumps(told) + "\n")

    def write_csv(self, file: IO[str], records: Iterator[tuple[Record, str]]) -> None:
        header = self.source.header
        writer = csv.writer(file, delimiter=self.source.delimiter or ",")
        kept = header[:-2] if columns.is_error_file(header) else header
        if not file.tell():
            writer.writerow([*map(neutral, kept), *columns.OF_ERROR_FILE])
        for record, error in records:
            cells = [safe_cell(record.cells.get(name, ""), self.options) for name in kept]
            rest = [safe_cell(cell, self.options) for cell in rest_of(record.cells)]
            writer.writerow([*cells, record.line, neutral(error), *rest])


def named(cells: dict[Any, Any]) -> dict[str, Any]:
    """The cells of a line of NDJSON; one that is no object is a `text`."""
    return {"text": cells[None]} if None in cells else cells


def rest_of(cells: dict[Any, Any]) -> list[str]:
    """What does not fit the columns."""
    rest = cells.get(None, [])
    return [rest] if isinstance(rest, str) else rest


def as_cell(value: Any) -> str:
    """A value of NDJSON as the import reads it from a cell of a CSV."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return "" if value is None else rules.spelled(value)


def safe_cell(value: Any, options: Options) -> str:
    """`value`, which an import has read with these `options`, as a cell of a CSV that no
    spreadsheet runs (OWASP, CSV injection). An import of that CSV reads the same.

    A cell of a CSV may have its apostrophe already, which is not doubled. The clear marker stays
    plain: `--` after an apostrophe would be text.
    """
    cell = as_cell(value)
    text = cell.strip()
    if text == options.clear_marker:
        return cell
    if not text or not options.is_csv:
        return neutral(text)
    return neutral(original(cell.lstrip() if text.startswith("'") else cell))
