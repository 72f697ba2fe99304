"""Moves a hosted account into a tenant: an import whose file is downloaded first.

So contacts are written, counted, logged and undone as in any import. A move that is killed goes on
when it is started again; once the file is complete, a worker that starts goes on, too.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from contacts.change_log.difference import CONSENT
from contacts.importing import uploads
from contacts.importing.engine import Importer
from contacts.importing.options import STORED, clean
from contacts.importing.record_file import RecordFile
from contacts.importing.storage import UPLOAD, spool_folder
from contacts.jobs.lock import locked_folder
from contacts.models import Import
from tenants.models import Tenant

from .account import Account
from .download import POSITION, Downloaded, download
from .mcp import Refused

ACTOR = "command:move_from_qyvo"
# The file, before the job has stored what the account had. Afterwards it is called `UPLOAD`, the
# name that a worker knows.
COMPLETE = "contacts"


class Moved(NamedTuple):
    """`downloaded`: what the account had. `importer`: None for an account without contacts."""

    downloaded: Downloaded
    importer: Importer | None


def job_of(tenant: Tenant, source: str, *, dry_run: bool, allow_erased: bool) -> Import:
    """The move from `source` into the tenant that was interrupted, or else a new one."""
    # Without the column of ids, which a tenant may have defined a field for.
    mapped = [*(f"{name}={name}" for name in CONSENT), "id="]
    given = clean({"map": mapped, "clear_marker": ""})
    options = {name: given[name] for name in STORED} | {"allow_erased": allow_erased}
    new = Import(
        tenant=tenant, actor=ACTOR, file_name=source[:255], options=options,
        dry_run=dry_run, state=Import.State.QUEUED,
    )  # fmt: skip
    if dry_run:
        return new
    begun = Import.objects.filter(tenant=tenant, actor=ACTOR, file_name=new.file_name)
    return begun.unfinished().order_by("pk").last() or new


def move(job: Import, account: Account, digest: str, progress: Callable[[str, int], Any]) -> Moved:
    """Downloads the contacts of the account and imports them. A dry run does the same, and leaves
    nothing behind.

    `digest`: of the account, see `download`. `progress`: see `Importer`; the first stage is
    "downloading".

    Raises `Refused` if the account cannot be read; the next move goes on. Raises `JobIsRunning`.
    """
    if job.dry_run:
        with TemporaryDirectory(prefix="qyvo-move-") as temporary:
            return move_in(Path(temporary), job, account, digest, progress)
    with locked_folder(spool_folder(job)) as folder:
        job.save() if job._state.adding else job.refresh_from_db()
        try:
            return move_in(folder, job, account, digest, progress)
        except Refused:
            if not any((folder / name).exists() for name in (POSITION, UPLOAD)):
                forget(job, folder)  # nothing to go on with, such as after a mistyped token
            raise


def move_in(
    folder: Path, job: Import, account: Account, digest: str, progress: Callable[[str, int], Any]
) -> Moved:
    upload = folder / UPLOAD
    if not upload.exists():
        complete = folder / COMPLETE
        found = download(account, folder, digest, complete, partial(progress, "downloading"))
        job.options["account"] = found._asdict()
        if not job.dry_run:
            job.save(update_fields=["options"])
        complete.replace(upload)
    downloaded = Downloaded(**job.options["account"])
    if downloaded.read:
        return Moved(downloaded, write(folder, job, progress))
    if not job.dry_run:
        forget(job, folder)
    return Moved(downloaded, None)


def write(folder: Path, job: Import, progress: Callable[[str, int], Any]) -> Importer:
    source = RecordFile(folder / UPLOAD, "utf-8")
    importer = Importer(job, source, uploads.match_columns(job, source), progress=progress)
    if job.dry_run:
        importer.read_and_write(folder)
        return importer
    job.save(update_fields=["options"])
    importer.errors = uploads.stored_errors(job, source, importer.options, folder)
    importer.run_in(folder)
    return importer


def forget(job: Import, folder: Path) -> None:
    shutil.rmtree(folder)
    job.delete()
