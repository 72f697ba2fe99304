"""The records that an import could not bring in: as they came, with `line` and `error`, to be
mended and imported again."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import columns, phones, rules
from .cleaning import Options, phone_of
from .imports import ERASED
from .models import Erasure, Import
from .tabular import Record, Source, UnreadableFile


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
            digests and Erasure.digest_of(phone_of(record.cells, options)) in digests
        )
        yield (record._replace(cells={}) if is_erased else record), error


def write(
    job: Import, source: Source, options: Options, path: Path, *, as_json: bool = False
) -> None:
    """Writes the error file of `job` to `path`: a CSV, or NDJSON."""
    records = without_erased(job, failed_records(job, source), options)
    with path.open("w", encoding="utf-8", newline="") as file:
        if as_json:
            for record, error in records:
                told = {**named(record.cells), "line": record.line, "error": error}
                file.write(json.dumps(told) + "\n")
            return
        writer = csv.writer(file, delimiter=source.delimiter or ",")
        kept = source.header[:-2] if columns.is_error_file(source.header) else source.header
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


def erase_from(path: Path, phone: str) -> None:
    """Takes the records that show this phone, in any spelling, out of the CSV at `path`."""
    national = phones.national(phone)
    kept = path.with_name(f"{path.name}.kept")
    with (
        path.open(encoding="utf-8", newline="") as file,
        kept.open("w", encoding="utf-8", newline="") as rest,
    ):
        start = file.readline()
        file.seek(0)
        delimiter = start.removesuffix("error\r\n")[-1]
        writer = csv.writer(rest, delimiter=delimiter)
        for row in csv.reader(file, delimiter=delimiter):
            if not any(national in phones.digits(cell) for cell in row):
                writer.writerow(row)
    kept.replace(path)
