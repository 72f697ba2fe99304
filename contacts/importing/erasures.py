"""People who asked to be forgotten."""

import csv
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from contacts.jobs.lock import ImportRuns, alone_in
from contacts.models import Import
from contacts.values import phones
from contacts.values.digests import phone_digest
from contacts.values.formulas import original
from tenants.models import Tenant

from .records import Record
from .row import Options, phone_of
from .storage import errors_of, spool_folder, upload_of

logger = logging.getLogger(__name__)

ERASED = "Erased"  # how the errors of people begin who asked to be forgotten


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


def erase_from_error_file(path: Path, phone: str, options: Options, delimiter: str) -> None:
    """Takes the records that show this phone, in any spelling, out of the CSV at `path`, which
    was written with these `options` and this `delimiter`."""
    options = options._replace(is_csv=True)
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
            names = [*map(original, header)]
            for row in rows:
                is_theirs = phone_of(dict(zip(names, row, strict=False)), options) == phone
                if not is_theirs and not any(national in phones.digits(cell) for cell in row):
                    writer.writerow(row)
        kept.replace(path)
    finally:
        kept.unlink(missing_ok=True)


def erased(tenant: Tenant, phones: Iterable[str]) -> dict[str, str]:
    """Why the phones of people who asked to be forgotten are not brought back."""
    if not tenant.erasures.exists():
        return {}
    digests = {phone_digest(phone): phone for phone in phones}
    found = tenant.erasures.filter(digest__in=digests).values_list("digest", "erased_at")
    return {
        digests[digest]: f"{ERASED} on {erased_at:%Y-%m-%d}; --allow-erased brings it back."
        for digest, erased_at in found
    }


def erase_from_spool(job: Import, phone: str) -> None:
    """Takes the rows with this phone out of an import that was interrupted.

    One that runs refuses the phone when it writes, and removes its spool.
    """
    folder = spool_folder(job)
    if folder.exists():
        with suppress(ImportRuns), alone_in(folder):
            for name in ("reading", "position", "last"):  # made anew
                (folder / name).unlink(missing_ok=True)
            if job.is_over:
                shutil.rmtree(folder)
            elif (folder / "rows").exists():
                erase_from_rows(folder / "rows", phone)


def erase_from_rows(spool: Path, phone: str) -> None:
    kept = spool.with_name("kept")
    with (
        spool.open(encoding="utf-8", newline="\n") as texts,
        kept.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for text in texts:
            line, _, found, _ = text.split("\t", 3)
            file.write(f'{line}\t\t\t\t"{ERASED}."\n' if found == phone else text)
    kept.replace(spool)


class Erased(NamedTuple):
    """`waiting`: imports whose upload has not been brought in, and is removed when it is; or when
    it is deleted, where it is a draft.
    `failed`: error files that could not be read."""

    waiting: list[Import]
    failed: list[Path]


def erase(tenant: Tenant, phone: str) -> Erased:
    """Takes the rows with this phone out of what imports have left. Their tenant must have
    forgotten the phone already: what still runs leaves it out by itself."""
    found = Erased([], [])
    for job in tenant.imports.order_by("pk"):
        erase_from_spool(job, phone)
        if upload_of(job).exists():
            found.waiting.append(job)
        if (path := errors_of(job)).exists() and not erase_from_errors(job, path, phone):
            found.failed.append(path)
    return found


def erase_from_errors(job: Import, path: Path, phone: str) -> bool:
    given = job.options
    options = Options(given["fields"], given["region"], given["clear_marker"])
    try:
        erase_from_error_file(path, phone, options, given["parted_by"])
    except Exception:
        logger.exception("The error file of import %s could not be read", job.pk)
        return False
    return True
