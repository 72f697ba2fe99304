"""The records that an import could not bring in: as they came, with `line` and `error`, to be
mended and imported again."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from . import columns, phones, rules
from .cleaning import Options, phone_of
from .digests import phone_digest
from .models import Import
from .tabular import Record, Source, UnreadableFile

ERASED = "Erased"  # how the errors of people begin who asked to be forgotten


def failed_records(job: Import, source: Source) -> Iterator[tuple[Record, str]]:
    """The records that were not brought in, as the file has them, each with its error."""
    failures = job.failures.order_by("line").values_list("line", "error").iterator()
    records = source.records()
    for line, error in failures:
        record = next((record for record in records if record.line == line), None)
        if record is None:
            raise UnreadableFile(f"{source.path} has changed meanwhile: line {line} is gone.")
        yield record, error


def without_erased(
    job: Import, records: Iterator[tuple[Record, str]], options: Options
) -> Iterator[tuple[Record, str]]:
    """`records`, those of people who asked to be forgotten without what they hold."""
    digests = {*job.tenant.erasures.values_list("digest", flat=True)}
    for record, error in records:
        is_erased = error.startswith(ERASED) or (
            digests and phone_digest(phone_of(record.cells, options)) in digests
        )
        yield (record._replace(cells={}) if is_erased else record), error


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

    def write(self) -> None:
        self.erasures = self.job.tenant.erasures.count()
        records = without_erased(self.job, failed_records(self.job, self.source), self.options)
        # Half a surrogate pair, which JSON can spell, cannot be written otherwise.
        with self.unfinished.open(
            "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            (self.write_json if self.as_json else self.write_csv)(file, records)

    def publish(self) -> None:
        if self.job.tenant.erasures.count() != self.erasures:
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
        writer.writerow([*kept, *columns.OF_ERROR_FILE])
        for record, error in records:
            cells = [as_cell(record.cells.get(name, "")) for name in kept]
            writer.writerow([*cells, record.line, error, *rest_of(record.cells)])


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


def erase_from(path: Path, phone: str, options: Options, delimiter: str) -> None:
    """Takes the records that show this phone, in any spelling, out of the CSV at `path`, which
    was written with these `options` and this `delimiter`."""
    national = phones.national(phone)
    kept = path.with_name(f"{path.name}.kept")
    csv.field_size_limit(2**31 - 1)  # what could not be read is there, too
    try:
        with (
            path.open(encoding="utf-8", newline="") as file,
            kept.open("w", encoding="utf-8", newline="") as rest,
        ):
            rows = csv.reader(file, delimiter=delimiter)
            writer = csv.writer(rest, delimiter=delimiter)
            header = next(rows)
            writer.writerow(header)
            for row in rows:
                is_theirs = phone_of(dict(zip(header, row, strict=False)), options) == phone
                if not is_theirs and not any(national in phones.digits(cell) for cell in row):
                    writer.writerow(row)
        kept.replace(path)
    finally:
        kept.unlink(missing_ok=True)
