"""The files of jobs: where they are stored, and how they are read and replaced.

A file has one name on every machine: its path in the data folder, such as `imports/ID/upload`. The
storage `files` of Django's STORAGES holds the file: `Disk` in the data folder itself, `ObjectStore`
in a bucket, for servers and workers that share no disk.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, storages
from django.http import FileResponse

UNPACKED = 4  # times IMPORT_MAX_MB


class StoreUnavailable(OSError):
    """The store of the files cannot be reached, or has refused. The same call may succeed later,
    and nothing is half written."""


class MovedFile(File):
    """A file on this machine that a storage takes over. `FileSystemStorage` moves a file that has
    `temporary_file_path`, so that nobody sees a file that is half written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"))
        self.path = path

    def temporary_file_path(self) -> str:
        return str(self.path)


class Disk(FileSystemStorage):
    """Files in the data folder of this machine, or on a disk that the machines share."""

    is_shared = False  # whether it is no disk, so that the locks of files do not reach all machines

    def __init__(self) -> None:
        super().__init__(allow_overwrite=True)

    @property
    def base_location(self) -> str:
        """Not kept: tests change DATA_DIR."""
        return str(settings.DATA_DIR)

    @property
    def location(self) -> str:
        return self.base_location

    def address(self, path: Path) -> str:
        """Where people find the file."""
        return str(path)

    def has(self, path: Path) -> bool:
        return path.exists()

    def read(self, path: Path) -> File:
        """The open file. Raises `FileNotFoundError`."""
        return self.open(name_of(path))

    def take(self, file: Path, path: Path) -> None:
        """Moves the local `file` to `path`, whole or not at all."""
        with MovedFile(file) as content:
            self.save(name_of(path), content)

    def remove(self, path: Path) -> None:
        """Deletes the file or the folder, if it is there."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def entries(self, folder: str) -> Iterator[tuple[Path, float]]:
        """The files and folders in a folder of the data folder, each with the time of its last
        change, in seconds since the epoch."""
        for path in data_folder(folder).iterdir():
            try:
                yield path, path.stat().st_mtime
            except FileNotFoundError:  # a request has just ended and removed its upload
                continue

    @contextmanager
    def working_copy(self, folder: Path) -> Iterator[None]:
        """`folder` on this machine, for the process that has locked the folder."""
        folder.mkdir(mode=0o700, exist_ok=True)
        yield

    def keep(self, folder: Path) -> None:
        """Stores a new folder that is complete."""

    @contextmanager
    def local_file(self, path: Path, *, is_changed: bool = False) -> Iterator[Path]:
        """The file on this machine, for code that needs a path. `is_changed`: whether the code
        changes the file. Raises `FileNotFoundError`, now or when the file is opened."""
        yield path

    @contextmanager
    def local_folder(self, folder: Path) -> Iterator[Path]:
        """The files of a folder on this machine, for reading; an empty folder if it is gone."""
        yield folder

    def record_time(self, path: Path) -> None:
        """Remembers that something happened now, see `recorded_time`."""
        path.touch(mode=0o600)
        now = time.time_ns()
        os.utime(path, ns=(now, now))  # the time of `touch` may be coarser

    def recorded_time(self, path: Path) -> int:
        """In nanoseconds since the epoch; 0 if nothing was recorded."""
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def delete_leftovers(self) -> None:
        """Deletes working copies of processes that were killed; the disk has no copies."""


def store() -> Disk:
    """The storage that the setting FILES_URL names. `ObjectStore` is loaded only if it is named:
    boto3 takes memory."""
    chosen: Any = storages["files"]
    return chosen


def remove_if_possible(folder: Path) -> None:
    """Deletes the folder after a failure. It is no second error if the store does not answer: the
    user sees the first error. What is left is deleted with the old files."""
    with suppress(StoreUnavailable):
        store().remove(folder)


def name_of(path: Path) -> str:
    """The name under which the storage knows a path of the data folder."""
    return path.relative_to(settings.DATA_DIR).as_posix()


def download(path: Path, **options: Any) -> FileResponse:
    """The stored file as a download, block by block through this server: who may read the file is
    decided here, and nobody gets an address of the store. `options`: of `FileResponse`. Raises
    `FileNotFoundError`."""
    file = store().read(path)
    response = FileResponse(file, as_attachment=True, **options)
    response.headers.setdefault("Content-Length", str(file.size))
    return response


def max_unpacked_bytes() -> int:
    """How large a gzip file may be when it is unpacked. Without a limit, a small upload could fill
    the disk."""
    return UNPACKED * int(settings.IMPORT_MAX_BYTES)


def data_folder(name: str) -> Path:
    """A folder inside the data folder; created if missing, readable by nobody else."""
    folder = Path(settings.DATA_DIR) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read_json(path: Path, default: Any) -> Any:
    """The value that `replace_json` has written; `default` if there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


def replace_json(path: Path, value: Any) -> None:
    replace_bytes(path, json.dumps(value).encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a process that is killed meanwhile leaves the old file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
