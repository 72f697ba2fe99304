"""One process at a time does a job."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class JobIsRunning(RuntimeError):
    """Another process does the same import at this moment."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Keeps other processes of this machine out of `folder`, which is made. Raises `JobIsRunning`.

    The lock stands beside it, and goes when the folder has gone: whoever has opened it before
    that sees that it is another file by then.
    """
    lock = folder.with_suffix(".lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise JobIsRunning("This import is running.") from error
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
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
