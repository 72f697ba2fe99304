"""The preview of an upload: its columns, and which of its first records would fail."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from contacts.models import Import, fields_of
from contacts.values import phones
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from .erasures import erased, without_erased
from .error_file import as_cell, rest_of
from .findings import description, read_as, sheets_note
from .formats.format import FirstRow
from .formats.quoting import looks_like_phone
from .guesses import last_first
from .hints import hint
from .proposal import Proposal, is_open, propose
from .record_file import FileHead
from .records import Record, UnreadableFile
from .remembered import reading_like_before
from .row import (
    BadRecord,
    NoConsentDate,
    NoPhone,
    ReadOptions,
    clean,
    matched,
    phone_of,
    read_options,
)
from .uploads import head_of

SHOWN = 20  # records
NO_PHONE = gettext_noop("No column is mapped to the phone: choose a column.")


class Row(NamedTuple):
    """`cells`: the value of each column. `rest`: the cells that do not fit the columns. `warning`:
    why the record loses a field."""

    line: int
    cells: list[str]
    rest: list[str]
    error: str
    warning: str = ""


class Preview(NamedTuple):
    """The first rows of a file as an import would read them.

    `given`: the user's map (column → field), without columns that the file does not have. `fields`:
    the complete map, with the columns that were recognised. `problem`: why the import cannot begin;
    empty if it can. With a problem, the rows are not checked for errors. `hint`: see `hints.hint`.
    `first_rows`: the rows among which the header is. `encodings`: see `uploads.head_of`.
    `proposal`: what the preview begins with. `last_first`: see `guesses.last_first`.
    """

    source: FileHead
    given: dict[str, str]
    fields: dict[str, str]
    rows: list[Row]
    problem: str = ""
    hint: str = ""
    first_rows: Sequence[FirstRow] = ()
    encodings: Mapping[str, list[str]] = {}
    proposal: Proposal = Proposal({})
    last_first: str = ""

    @property
    def description(self) -> str:
        """How the file is read, for people."""
        return description(read_as(self.source))

    @property
    def sheets_note(self) -> str:
        """Which sheets of a workbook are not read, for people."""
        return sheets_note(read_as(self.source))

    @property
    def columns_note(self) -> str:
        """Where the fields of the columns come from, for people."""
        earlier = self.proposal.earlier
        if not earlier:
            return ""
        return _("Columns as in the import of %(file)s on %(date)s.") % {
            "file": earlier.file_name,
            "date": f"{earlier.started_at:%Y-%m-%d}",
        }

    @property
    def bad(self) -> int:
        return sum(bool(row.error) for row in self.rows)

    @property
    def warned(self) -> int:
        return sum(bool(row.warning) for row in self.rows)


def preview(job: Import, folder: Path) -> Preview:
    """The beginning of the upload of `job` in `folder`, read with its options. Errors that only the
    whole file or the database can show are left to the dry run. `job.options` then has what
    `reading_like_before` and `propose` propose, which is not saved.

    Raises `UnreadableFile` if the file has no columns.
    """
    source, encodings = head_of(job, folder)
    if is_open(job, source.header) and (known := reading_like_before(job, source, encodings)):
        job.options = job.options | known
        source, encodings = head_of(job, folder)
    records, problem = first_records(source)
    proposal = propose(job, source, records)
    job.options = proposal.options
    titles = dict(zip(source.header, source.titles, strict=True))
    shown = preview_of(job, source, records, doubt(encodings) or problem)
    return shown._replace(
        first_rows=first_rows(job, source),
        encodings=encodings,
        proposal=proposal,
        last_first=last_first(titles, shown.fields, records),
    )


def preview_of(job: Import, source: FileHead, records: list[Record], problem: str) -> Preview:
    """`problem`: why the import cannot begin, if that is known already."""
    header = source.header
    given = {column: field for column, field in job.options["map"].items() if column in header}
    read_with, defined = job.options | {"map": given}, fields_of(job.tenant)
    try:
        options = read_options(source, read_with, job.tenant.default_region, defined)
    except (NoPhone, NoConsentDate) as error:
        fields = matched(source, read_with, defined).fields
        rows = [row_of(source, record, "") for record in records]
        lacking = _(NO_PHONE) if isinstance(error, NoPhone) else error.sentence
        return Preview(source, given, fields, rows, problem or lacking)
    rows = [
        row_of(source, record, error, warning_of(record, options))
        for record, error in with_errors(job, records, options)
    ]
    return Preview(source, given, options.fields, rows, problem, hint(records, options))


def doubt(encodings: dict[str, list[str]]) -> str:
    if not encodings:
        return ""
    shown = "; ".join(f"{name}: {', '.join(words)}" for name, words in encodings.items())
    return _(
        "The encoding of the file is not certain. Choose the one in which the names are right:"
        " %(encodings)s."
    ) % {"encodings": shown}


def first_rows(job: Import, source: FileHead) -> list[FirstRow]:
    """The rows among which the header is. A row with the phone of an erased person has no cells."""
    rows = [(row, phones_in(job, row.cells)) for row in source.first_rows]
    gone = erased(job.tenant, set().union(*(found for _, found in rows)))
    return [row if found.isdisjoint(gone) else row._replace(cells=[]) for row, found in rows]


def phones_in(job: Import, cells: list[str]) -> set[str]:
    """The phones in any of the `cells`: before the header is known, no column is the phone."""
    region = job.options["region"] or job.tenant.default_region
    has_code = job.options["phones_have_country_code"]
    found = set()
    for cell in filter(looks_like_phone, cells):
        with suppress(ValueError):
            found.add(phones.normalise(cell, region, has_country_code=has_code))
    return found


def first_records(source: FileHead) -> tuple[list[Record], str]:
    """The first records, and the reason why the next one cannot be read, if there is one."""
    found: list[Record] = []
    try:
        found.extend(islice(source.records(), SHOWN))
    except UnreadableFile as error:
        return found, str(error)
    return found, ""


def with_errors(
    job: Import, records: list[Record], options: ReadOptions
) -> list[tuple[Record, str]]:
    """`records`, each with its error, which may be empty. The records of erased people have no
    cells."""
    phones = [phone_of(record.cells, options) for record in records]
    reasons = erased(job.tenant, filter(None, phones))
    found = [
        (record, error_of(record, options) or reasons.get(phone, ""))
        for record, phone in zip(records, phones, strict=True)
    ]
    return [*without_erased(job, iter(found), options)]


def error_of(record: Record, options: ReadOptions) -> str:
    try:
        clean(record.cells, options)
    except BadRecord as error:
        return str(error)
    return ""


def warning_of(record: Record, options: ReadOptions) -> str:
    try:
        return " ".join(clean(record.cells, options).warnings)
    except BadRecord:
        return ""


def row_of(source: FileHead, record: Record, error: str, warning: str = "") -> Row:
    cells: dict[Any, Any] = record.cells
    shown = [as_cell(cells.get(column)) for column in source.header]
    return Row(record.line, shown, rest_of(cells), error, warning)
