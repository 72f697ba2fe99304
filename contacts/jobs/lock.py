"""A lock for a job: one process at a time runs the job."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from contacts.db.job_locks import lock_of_all_machines

from .files import name_of, store


class JobIsRunning(RuntimeError):
    """Another process is running the job."""

    def __init__(self) -> None:
        super().__init__("Another process is running this job.")


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """`locked`, with the folder on this machine: created if missing, and stored at the end."""
    with locked(folder), store().working_copy(folder):
        yield folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the folder of a job. The lock is released if the process is
    killed. Raises `JobIsRunning` without waiting.

    A lock of a file reaches the machines that share a disk; if the files are in an object store,
    the database holds a second lock.
    """
    with locked_on_this_machine(folder):
        if not store().is_shared:
            yield
            return
        with lock_of_all_machines(name_of(folder)) as is_ours:
            if not is_ours:
                raise JobIsRunning
            yield


@contextmanager
def locked_on_this_machine(folder: Path) -> Iterator[None]:
    """`locked`, as far as the lock of a file reaches.

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
                raise JobIsRunning from error
            if not is_at(file, lock):
                continue
            try:
                yield
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
