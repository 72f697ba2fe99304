"""The files of an import in the store, which the servers and workers of an installation share.

`imports/ID/`, the spool folder, is there while the import runs, and has:

- `upload`: the file, if it came over HTTP;
- `sheets`: the first rows of each sheet of the upload, if it is a workbook;
- `sheet`: all rows of the sheet that is read, if there are more of them;
- `head`: what was found out about the file (`RecordFile.found`);
- `reading`: the clean rows so far, and `position`: how far the file was read;
- `rows`: all clean rows, once the whole file was read;
- `combining`, `settling`: `rows` while it is rewritten, see `repeats` and `former`;
- `combined`: an empty file, once the rows of repeated phones in `rows` are combined;
- `tried`: how many rows a dry run has tried;
- `errors`: the error file so far, and `errors.place`: how far it is;
- `download`, `downloaded`, `contacts`: the pages of a move so far, see `contacts.moving.download`.

`imports/ID.errors.csv`, the error file, stays after the import.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from contacts.jobs.files import data_folder, read_json
from contacts.models import Import

UPLOAD = "upload"


class ReadingPosition(NamedTuple):
    """How far a file was read: the line on which the last record begins, and the bytes and the rows
    that the spool has up to and including this record."""

    line: int
    size: int
    rows: int

    @classmethod
    def of(cls, folder: Path) -> "ReadingPosition":
        """The position that the last turn has stored; the beginning of the file if there is none,
        or if the spool is shorter than the position says."""
        spool = folder / "reading"
        position = cls(*read_json(folder / "position", (0, 0, 0)))
        is_there = spool.exists() and spool.stat().st_size >= position.size
        return position if is_there else cls(0, 0, 0)


def spool_folder(job: Import) -> Path:
    return data_folder("imports") / str(job.pk)


def upload_of(job: Import) -> Path:
    return spool_folder(job) / UPLOAD


def errors_of(job: Import) -> Path:
    """The error file: a CSV, which exists once the import is done."""
    return spool_folder(job).with_suffix(".errors.csv")


def clear(job: Import, folder: Path) -> None:
    """Removes the spool folder of `job`. A draft keeps its upload, so that it can run again."""
    if not job.is_draft:
        shutil.rmtree(folder)
        return
    made = (
        "head", "reading", "position", "rows", "combining", "settling", "combined", "tried",
        "errors", "errors.place",
    )  # fmt: skip
    for name in made:
        (folder / name).unlink(missing_ok=True)
