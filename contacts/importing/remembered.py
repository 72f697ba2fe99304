"""Which fields the columns of a file had in an earlier import of the tenant.

Nothing is stored for this but a digest: the earlier import has the fields. So one tenant never gets
the columns of another, and `prune_imports` forgets what it deletes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from contacts.models import Import
from contacts.values import rules

from .columns import is_error_file, is_field
from .formats.header import titles_of, unique
from .options import OPTIONS
from .record_file import FileHead, RecordFile

# How cells are read: the corrected error file must be read as the file was.
REMEMBERED = (
    "region", "phones_have_country_code", "tags", "dates", "timezone", "clear_marker",
    "rest_to_metadata", "names_last_first",
)  # fmt: skip
# Only the people in the error file have given their consent on the same date.
OF_SAME_PEOPLE = ("consent_since",)


def digest_of(options: Mapping[str, Any], source: RecordFile, head: Callable[[], FileHead]) -> str:
    """What `Import.columns_digest` stores: empty if nobody has given the fields of the columns,
    because then their names alone decide.

    `head`: opens the beginning of the same file. Without a header, the columns are the keys of all
    records; a preview reads only the first records and must get the same digest.
    """
    if not options["map"]:
        return ""
    return digest(source.header if source.format.has_header else head().header)


def digest(header: Sequence[str]) -> str:
    """SHA-256 of the names in `header`, the same in any order and for the error file of a file."""
    names = header[:-2] if is_error_file([*header]) else header
    return sha256(rules.spelled(sorted(filter(None, names))).encode()).hexdigest()


def like(job: Import, digests: Iterable[str]) -> Import | None:
    """The last import of the tenant of `job` that has one of these digests of its columns."""
    same = Import.objects.begun().filter(tenant=job.tenant_id, columns_digest__in=[*digests])
    return same.order_by("-pk").first()


def reading_like_before(
    job: Import, source: RecordFile, encodings: Collection[str]
) -> dict[str, Any]:
    """The options that an earlier import with the same columns decides where reading the file
    alone does not. The row with these columns is the header, even if a row above it looks like one.
    The encoding is the one that the earlier import had, if it is among the possible `encodings`."""
    rows = {digest(unique(titles_of(row.cells))): row.line for row in source.first_rows}
    detected = digest(source.header)
    earlier = like(job, {detected, *rows})
    if not earlier:
        return {}
    found: dict[str, Any] = {}
    if earlier.columns_digest != detected and job.options.get("header_line") is None:
        found["header_line"] = rows[earlier.columns_digest]
    if earlier.options["encoding"] in encodings:
        found["encoding"] = earlier.options["encoding"]
    return found


def options_like(
    earlier: Import, given: Mapping[str, Any], header: Sequence[str]
) -> dict[str, Any]:
    """The options `given`, with the columns of `earlier` and with its way to read cells. What
    somebody has chosen in `given` stays."""
    names = (*REMEMBERED, *OF_SAME_PEOPLE) if is_error_file([*header]) else REMEMBERED
    read_so = {
        name: earlier.options[name]
        for name in names
        if name in earlier.options and given.get(name) == OPTIONS[name].default
    }
    return {**given, **read_so, "map": map_like(earlier, header)}


def map_like(earlier: Import, header: Sequence[str]) -> dict[str, str]:
    """The field of each column in `header`; empty for those that `earlier` has left out, and for a
    field that no longer exists."""
    # `fields` has the recognised columns too, but only once a worker has begun with the file.
    stored = earlier.options.get("fields", earlier.options["map"])
    fields = {column: field for column, field in stored.items() if is_field(field)}
    return {column: fields.get(column, "") for column in header if column}
