"""A lock for a job: one process of this machine at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class JobIsRunning(RuntimeError):
    """Another process is running the job."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Creates `folder` if missing, and keeps other processes of this machine out of it. The system
    releases the lock if the process is killed. Raises `JobIsRunning` without waiting.

    The lock is a file beside the folder. If the folder is gone at the end, so is the file. A
    process that opened the file before that has locked a file that nobody else can open any more;
    it notices this, and tries again with the new file.
    """
    lock = folder.with_suffix(".lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise JobIsRunning("Another process is running this job.") from error
            if not is_at(file, lock):
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            try:
                yield folder
            finally:
                if not folder.exists():
                    lock.unlink()
            return


def is_at(file: IO[str], path: Path) -> bool:
    """Whether `path` still is the open `file`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
