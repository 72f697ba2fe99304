"""The files of an export in the store, which the servers and workers of an installation share.

`exports/ID/`, the folder that a worker locks, is there while the export runs, and has:

- `ids`: which contacts, as `select_ids` returns them;
- `fields`: the fields that the tenant had defined, see `background.defined_in`;
- `part`: the file so far (of a workbook, its rows), and `position`: how far it is.

`exports/ID.file` is the finished file, until the export expires.
"""

from pathlib import Path
from typing import NamedTuple

from contacts.jobs.files import data_folder, read_json
from contacts.models import Export


class Position(NamedTuple):
    """How far a file was written when the turn ended: `read` bytes of the ids, `size` bytes of the
    file, and `contacts`: those that were deleted meanwhile are not in the file."""

    read: int = 0
    size: int = 0
    contacts: int = 0

    @classmethod
    def of(cls, folder: Path) -> "Position":
        """The beginning if there is no position, or if the file is shorter than it says."""
        part = folder / "part"
        position = cls(*read_json(folder / "position", (0, 0)))
        is_there = part.exists() and part.stat().st_size >= position.size
        return position if is_there else cls()


def folder_of(job: Export) -> Path:
    return data_folder("exports") / str(job.pk)


def file_of(job: Export) -> Path:
    return folder_of(job).with_suffix(".file")
