"""The error file of an import: the records that failed, as they were in the file, with the columns
`line` and `error`. A user corrects the file and imports it again."""

import csv
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from contacts.jobs.files import read_json, replace_json
from contacts.models import Import
from contacts.values import rules
from contacts.values.formulas import neutral, original

from . import columns
from .cells import tags_text
from .erasures import without_erased
from .error_workbook import write_workbook
from .record_file import RecordFile
from .records import Mistake, Record, TurnEnded, UnreadableFile
from .row import ReadOptions


def failed_records(
    job: Import, source: RecordFile, after_line: int = 0
) -> Generator[tuple[Record, str]]:
    """The records that failed, each with its error.

    `after_line`: the line on which a record begins; only records after this one are returned.
    Raises `UnreadableFile` if the file has changed since the import has read it.
    """
    failed = job.own_failures().filter(line__gt=after_line).order_by("line")
    failures = failed.values_list("line", "error").iterator()
    records = source.records(after_line or 1)
    for line, error in failures:
        record = next((record for record in records if record.line == line), None)
        if record is None:
            raise UnreadableFile(f"{source.path} has changed since: line {line} is gone.")
        yield record, error


class ErrorFile:
    """The error file of `job`: NDJSON with `as_json`, a workbook with `as_workbook`, else CSV.

    `write` writes the local file `unfinished`, `publish` hands the complete file to `keep`, which
    takes it away. If a person is erased after that, `renew` writes and publishes the file again.
    `turn_is_over`: asked after each record.
    """

    def __init__(
        self,
        job: Import,
        source: RecordFile,
        options: ReadOptions,
        unfinished: Path,
        keep: Callable[[Path], Any],
        *,
        as_json: bool = False,
        as_workbook: bool = False,
    ) -> None:
        self.job = job
        self.source = source
        self.options = options
        self.unfinished = unfinished
        self.keep = keep
        self.as_json = as_json
        self.as_workbook = as_workbook
        self.erasures = 0
        self.turn_is_over: Callable[[], bool] = lambda: False
        self.position_file = unfinished.with_name(f"{unfinished.name}.place")

    def write(self) -> None:
        """Raises `TurnEnded`, and continues from there when it is called again; it begins anew if a
        person was erased in the meantime."""
        self.erasures = self.job.tenant.erasures.count()
        after_line, size, erasures = read_json(self.position_file, (0, 0, 0))
        if erasures != self.erasures:
            after_line = size = 0
        # JSON can contain half of a surrogate pair, which UTF-8 cannot. Without backslashreplace,
        # such a record would stop the import.
        with (
            self.unfinished.open(
                "a", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file,
            # If the disk is full, the cursor would be closed after its connection: a traceback.
            closing(failed_records(self.job, self.source, after_line)) as failed,
        ):
            records = self.until_turn_ends(without_erased(self.job, failed, self.options))
            file.seek(file.truncate(size))
            (self.write_json if self.as_json else self.write_csv)(file, records)
            if self.turn_ended_at:
                replace_json(self.position_file, (self.turn_ended_at, file.tell(), self.erasures))
                raise TurnEnded
        self.position_file.unlink(missing_ok=True)

    def until_turn_ends(
        self, records: Iterator[tuple[Record, str]]
    ) -> Iterator[tuple[Record, str]]:
        """`records`, until the turn is over; `turn_ended_at` is then the line of the last one."""
        self.turn_ended_at = line = 0
        for record, error in records:
            if line and self.turn_is_over():
                self.turn_ended_at = line
                return
            line = record.line
            yield record, error

    def publish(self) -> None:
        if self.as_workbook:
            self.make_workbook()
        self.keep(self.unfinished)

    def renew(self) -> None:
        if self.job.tenant.erasures.count() != self.erasures:
            self.turn_is_over = lambda: False
            self.write()
            self.publish()

    def make_workbook(self) -> None:
        """Replaces the CSV `unfinished` by a workbook."""
        with NamedTemporaryFile(dir=self.unfinished.parent, delete=False) as file:
            write_workbook(self.unfinished, file, self.delimiter)
        Path(file.name).replace(self.unfinished)

    @property
    def delimiter(self) -> str:
        return self.source.delimiter or ","

    def write_json(self, file: IO[str], records: Iterator[tuple[Record, str]]) -> None:
        for record, error in records:
            failure = {**named(record.cells), "line": record.line, "error": error}
            file.write(json.dumps(failure) + "\n")

    def write_csv(self, file: IO[str], records: Iterator[tuple[Record, str]]) -> None:
        header, titles = self.source.header, self.source.titles
        writer = csv.writer(file, delimiter=self.delimiter)
        names = header[:-2] if columns.is_error_file(header) else header
        if not file.tell():
            shown = map(neutral, titles[: len(names)])
            writer.writerow([*shown, *columns.OF_ERROR_FILE])
        for record, error in records:
            cells = [safe_cell(record.cells.get(name, ""), self.options) for name in names]
            rest = [safe_cell(cell, self.options) for cell in rest_of(record.cells)]
            writer.writerow([*cells, record.line, neutral(error), *rest])


def named(cells: dict[Any, Any]) -> dict[str, Any]:
    """The values of a line of NDJSON by key; a line that is not an object has the key `text`."""
    return {"text": cells[None]} if None in cells else cells


def rest_of(cells: dict[Any, Any]) -> list[str]:
    """The cells that do not fit the columns."""
    rest = cells.get(None, [])
    if isinstance(rest, Mistake):
        return []
    return [rest] if isinstance(rest, str) else rest


def as_cell(value: Any) -> str:
    """A value of NDJSON as the cell of a CSV from which an import reads the same value."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tags_text(value)
    return "" if value is None else rules.spelled(value)


def safe_cell(value: Any, options: ReadOptions) -> str:
    """`value`, which an import has read with these `options`, as a cell of a CSV that no
    spreadsheet runs as a formula. An import of this CSV reads the same value.

    A cell of a CSV may have its apostrophe already; a second apostrophe would become part of the
    value. The clear marker gets no apostrophe: with an apostrophe, `--` would be text.
    """
    cell = as_cell(value)
    text = cell.strip()
    if text == options.clear_marker:
        return cell
    if not text or not options.has_apostrophes:
        return neutral(text)
    return neutral(original(cell.lstrip() if text.startswith("'") else cell))
