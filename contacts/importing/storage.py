"""Where an import keeps its files."""

import shutil
from pathlib import Path
from typing import NamedTuple

from contacts.jobs.files import data_folder, read_json
from contacts.models import Import


class Position(NamedTuple):
    """How far a file has been read: the line on which the last record begins; the bytes and the
    rows of its spool."""

    line: int
    size: int
    rows: int

    @classmethod
    def of(cls, folder: Path) -> "Position":
        spool = folder / "reading"
        place = cls(*read_json(folder / "position", (0, 0, 0)))
        is_there = spool.exists() and spool.stat().st_size >= place.size
        return place if is_there else cls(0, 0, 0)


# Where an import is kept while it runs


def spool_folder(job: Import) -> Path:
    return data_folder("imports") / str(job.pk)


def clear(job: Import, folder: Path) -> None:
    """Removes what an import leaves of itself; a draft keeps its upload, to be run again."""
    if not job.is_draft:
        shutil.rmtree(folder)
        return
    for name in ("head", "reading", "position", "rows", "last", "tried"):
        (folder / name).unlink(missing_ok=True)


def upload_of(job: Import) -> Path:
    return spool_folder(job) / "upload"


def errors_of(job: Import) -> Path:
    """The error file: a CSV, there when the import is done."""
    return spool_folder(job).with_suffix(".errors.csv")
