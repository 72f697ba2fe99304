"""People who asked to be forgotten: imports must not bring them back, and the files that imports
keep must not contain them."""

import csv
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from contacts.jobs.files import StoreUnavailable, store
from contacts.jobs.lock import JobIsRunning, locked
from contacts.models import Import
from contacts.values import phones
from contacts.values.digests import phone_digest
from contacts.values.formulas import original
from contacts.values.numbering_plans import forms
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop
from tenants.models import Tenant

from .formats.header import unique
from .former import former_of
from .records import Record
from .row import ReadOptions, phones_of, stored_read_options
from .spool import parse
from .storage import errors_of, spool_folder, upload_of

logger = logging.getLogger(__name__)

ERASED = "Erased"  # the errors of rows of erased people begin so: they are stored in English
ERASED_ON = gettext_noop("Erased on %(date)s; --allow-erased imports it all the same.")
STORED_ERROR = re.compile(ERASED_ON.replace(".", r"\.") % {"date": r"(\d{4}-\d\d-\d\d)"})
# Files of a spool folder; the last ones are the pages of a move, see `contacts.moving`.
MADE_AGAIN = (
    "reading", "position", "combining", "settling", "errors", "errors.place", "download",
    "downloaded", "contacts",
)  # fmt: skip


# Rows of erased people


def erased(tenant: Tenant, numbers: Iterable[str]) -> dict[str, str]:
    """The phones of erased people among `numbers`, each with the error for its row. It is English,
    because `without_erased` recognises it; see `in_words`."""
    if not tenant.erasures.exists():
        return {}
    return {
        phone: ERASED_ON % {"date": f"{erased_at:%Y-%m-%d}"}
        for phone, erased_at in tenant.erasures.of(numbers).items()
    }


def in_words(error: str) -> str:
    """The error of a row, for people: with what `erased` has returned in their language."""
    return STORED_ERROR.sub(lambda found: _(ERASED_ON) % {"date": found[1]}, error)


def without_erased(
    job: Import, records: Iterator[tuple[Record, str]], options: ReadOptions
) -> Iterator[tuple[Record, str]]:
    """`records` with their errors, for people; the records of erased people have no cells any
    more."""
    digests = {*job.tenant.erasures.values_list("digest", flat=True)}
    for record, error in records:
        is_erased = error.startswith(ERASED) or (
            digests and not digests.isdisjoint(digests_of(phones_of(record.cells, options)))
        )
        yield (record._replace(cells={}) if is_erased else record), in_words(error)


def digests_of(numbers: Iterable[str]) -> set[str]:
    return {*map(phone_digest, forms(numbers))}


# Erasing a person from the files of imports


class ErasedFromImports(NamedTuple):
    """`waiting`: imports that have not run yet. Their uploads may contain the person; an upload is
    deleted when its import has run or is deleted. `failed`: error files that cannot be read."""

    waiting: list[Import]
    failed: list[Path]


def erase(tenant: Tenant, phone: str) -> ErasedFromImports:
    """Removes the rows with this phone from the files of the tenant's imports.

    The tenant must have an erasure for the phone already, so that imports which run now leave the
    phone out by themselves.
    """
    found = ErasedFromImports([], [])
    stored = {path.name for path, _ in store().entries("imports")}
    for job in tenant.imports.order_by("pk"):
        if job.pk in stored:
            erase_from_spool(job, phone)
            if store().has(upload_of(job)):
                found.waiting.append(job)
        path = errors_of(job)
        if path.name in stored and not erase_from_errors_of(job, path, phone):
            found.failed.append(path)
    return found


def erase_from_spool(job: Import, phone: str) -> None:
    """Removes the rows with this phone from the spool of an import that was interrupted.

    An import that runs refuses the phone when it writes, and then removes its spool.
    """
    folder = spool_folder(job)
    with suppress(JobIsRunning), locked(folder):
        if job.is_over:
            store().remove(folder)
            return
        for name in MADE_AGAIN:
            store().remove(folder / name)
        with (
            suppress(FileNotFoundError),
            store().local_file(folder / "rows", is_changed=True) as rows,
        ):
            erase_from_rows(rows, phone)


def erase_from_rows(spool: Path, phone: str) -> None:
    """Replaces the rows with this phone by rows that have only a line number and an error."""
    kept = spool.with_name("kept")
    with (
        spool.open(encoding="utf-8", newline="\n") as texts,
        kept.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for text in texts:
            line = parse(text)
            is_erased = not {line.phone, *former_of(line)}.isdisjoint(forms([phone]))
            file.write(f'{line.line}\t\t\t\t"{ERASED}."\n' if is_erased else text)
    kept.replace(spool)


def erase_from_errors_of(job: Import, path: Path, phone: str) -> bool:
    """Returns whether the error file could be read."""
    options = stored_read_options(job.options, has_apostrophes=True)
    try:
        with store().local_file(path, is_changed=True) as file:
            erase_from_error_file(file, phone, options, job.options["parted_by"])
    except StoreUnavailable:
        raise
    except Exception:
        logger.exception("The error file of import %s could not be read", job.pk)
        return False
    return True


def erase_from_error_file(path: Path, phone: str, options: ReadOptions, delimiter: str) -> None:
    """Removes the rows that contain this phone, in any spelling and in any column, from the CSV at
    `path`, which was written with these `options` and this `delimiter`."""
    nationals = [*map(phones.national, forms([phone]))]
    kept = path.with_name(f"{path.name}.kept")
    try:
        with (
            path.open(encoding="utf-8", newline="") as file,
            kept.open("w", encoding="utf-8", newline="") as rest,
        ):
            rows = csv.reader(file, delimiter=delimiter)
            writer = csv.writer(rest, delimiter=delimiter)
            header = next(rows)
            writer.writerow(header)
            names = unique([*map(original, header)])
            for row in rows:
                has_phone = phone in phones_of(dict(zip(names, row, strict=False)), options)
                found = (national in phones.digits(cell) for cell in row for national in nationals)
                if not has_phone and not any(found):
                    writer.writerow(row)
        kept.replace(path)
    finally:
        kept.unlink(missing_ok=True)
