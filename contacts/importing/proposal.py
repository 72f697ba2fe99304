"""What a preview begins with, until a person has chosen the fields of the columns."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from contacts.models import Import, fields_of

from . import columns
from .guesses import guesses, last_first
from .record_file import RecordFile
from .records import Record
from .remembered import digest, like, options_like


class Proposal(NamedTuple):
    """What a preview shows, and where it comes from.

    `options`: of the import. `is_open`: whether nobody has chosen the columns yet. `earlier`: the
    import that the options come from. `guessed`: the columns with fields guessed from values.
    """

    options: dict[str, Any]
    is_open: bool = False
    earlier: Import | None = None
    guessed: Collection[str] = ()


def is_open(job: Import, header: Sequence[str]) -> bool:
    """Whether nobody has chosen the field of a column in `header` for `job`."""
    return job.options["map"].keys().isdisjoint(header)


def propose(job: Import, source: RecordFile, records: Sequence[Record]) -> Proposal:
    """The options of `job`, if its map has a column of `source`; else those of the last import with
    these columns; else with what `records`, the first of the file, let guess."""
    header = source.header
    if not is_open(job, header):
        return Proposal(job.options)
    if earlier := like(job, [digest(header)]):
        return Proposal(options_like(earlier, job.options, header), True, earlier)
    titles = dict(zip(header, source.titles, strict=True))
    defined = fields_of(job.tenant)
    known = columns.match(
        header, {}, rest_to_metadata=False, titles=source.titles, defined=defined
    ).fields
    guessed = guesses(
        {column: title for column, title in titles.items() if column and column not in known},
        known.values(),
        records,
        region=job.options["region"] or job.tenant.default_region,
        has_country_code=job.options["phones_have_country_code"],
    )
    turns = bool(last_first(titles, known | guessed, records))
    options = {**job.options, "map": guessed, "names_last_first": turns}
    return Proposal(options, True, guessed=guessed)
