"""What an upload is like before it is brought in: its columns, and how its first records fare."""

from itertools import islice
from typing import Any, NamedTuple

from contacts.models import Import

from . import columns
from .erasures import erased, without_erased
from .error_file import as_cell, rest_of
from .record_file import Start
from .records import Record, UnreadableFile
from .row import BadRecord, NoPhone, Options, clean, options_for, phone_of
from .uploads import source_of

SHOWN = 20  # records
NO_PHONE = "No column is the phone: choose which one is."


class Row(NamedTuple):
    """`cells`: of each column, as read. `rest`: what does not fit the columns."""

    line: int
    cells: list[str]
    rest: list[str]
    error: str


class Preview(NamedTuple):
    """`given`: of what was said of columns, that of those there are. `problem`: why nothing can be
    brought in like this; then no record is judged."""

    source: Start
    given: dict[str, str]
    fields: dict[str, str]
    rows: list[Row]
    problem: str = ""

    @property
    def bad(self) -> int:
        return sum(bool(row.error) for row in self.rows)


def preview(job: Import) -> Preview:
    """How the upload of `job` begins, read by its options. What only the whole file or the database
    can tell, a dry run tells. Raises `UnreadableFile` where there are no columns."""
    source = source_of(job, Start)
    header = source.header
    given = {column: field for column, field in job.options["map"].items() if column in header}
    records, problem = first_records(source)
    try:
        options = options_for(source, job.options | {"map": given}, job.tenant.default_region)
    except NoPhone:
        rest = job.options["rest_to_metadata"]
        fields = columns.match(header, given, rest_to_metadata=rest)
        rows = [row_of(source, record, "") for record in records]
        return Preview(source, given, fields, rows, problem or NO_PHONE)
    told = with_errors(job, records, options)
    rows = [row_of(source, record, error) for record, error in told]
    return Preview(source, given, options.fields, rows, problem)


def first_records(source: Start) -> tuple[list[Record], str]:
    """Those that can be read, and why the next one cannot."""
    found: list[Record] = []
    try:
        found.extend(islice(source.records(), SHOWN))
    except UnreadableFile as error:
        return found, str(error)
    return found, ""


def with_errors(job: Import, records: list[Record], options: Options) -> list[tuple[Record, str]]:
    """`records`, each with why it is not brought in; what is known of people who asked to be
    forgotten is not shown."""
    phones = [phone_of(record.cells, options) for record in records]
    gone = erased(job.tenant, filter(None, phones))
    told = [
        (record, error_of(record, options) or gone.get(phone, ""))
        for record, phone in zip(records, phones, strict=True)
    ]
    return [*without_erased(job, iter(told), options)]


def error_of(record: Record, options: Options) -> str:
    try:
        clean(record.cells, options)
    except BadRecord as error:
        return str(error)
    return ""


def row_of(source: Start, record: Record, error: str) -> Row:
    cells: dict[Any, Any] = record.cells
    shown = [as_cell(cells.get(column)) for column in source.header]
    return Row(record.line, shown, rest_of(cells), error)
