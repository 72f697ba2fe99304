"""Files of jobs in a bucket of S3 or of a server that speaks its protocol, such as MinIO or R2.

An object appears when its upload is complete, so nobody sees a file that is half written. What runs
on files (SQLite, readers of workbooks, spools that grow line by line) needs a disk: it works on a
copy in the data folder of its machine, which is removed afterwards.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from storages.backends.s3 import S3Storage

from .files import StoreUnavailable, data_folder, name_of
from .lock import JobIsRunning, locked_on_this_machine

MISSING = {"404", "NoSuchKey"}
LEFTOVER_AGE = 3600  # seconds; a request may still fill a younger folder
PER_DELETION = 1000  # objects, a limit of S3
Stamp = tuple[int, int]  # of a local file: when it was changed, and its size


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the store as errors of files. Messages show no key: botocore's have none, and of
    answers only the code is shown."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in MISSING:
            raise FileNotFoundError(f"The store has no such file: {code}") from error
        raise StoreUnavailable(
            f"The store of the files has refused {error.operation_name}: {code}"
        ) from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreUnavailable(f"The store of the files has failed: {error}") from error


class StoredObject(File):
    """An object that is read block by block, never whole in memory."""

    def __init__(self, body: Any, size: int) -> None:
        super().__init__(body, name="")
        self.body, self.size = body, size

    def read(self, size: int = -1) -> bytes:
        with translated():
            content: bytes = self.body.read(None if size < 0 else size)
        return content


class ObjectStore(S3Storage):
    """Does for a bucket what `contacts.jobs.files.Disk` does for a disk, by the same names.

    Without timeouts of its own, boto3 waits a minute for a store that does not answer. Checksums in
    trailers are unknown to older servers of the protocol.
    """

    is_shared = True

    def __init__(self, *, addressing_style: str, **options: Any) -> None:
        config = Config(
            connect_timeout=3,
            read_timeout=20,
            retries={"mode": "standard", "max_attempts": 3},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": addressing_style},
        )
        super().__init__(client_config=config, **options)

    @cached_property
    def client(self) -> Any:
        """One for all threads, which boto3 allows: each takes memory and a tenth of a second."""
        with translated():
            return self.connection.meta.client

    def key(self, path: Path) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": self.key_of(name_of(path))}

    def key_of(self, name: str) -> str:
        return f"{self.location.strip('/')}/{name}".lstrip("/")

    def address(self, path: Path) -> str:
        key = self.key(path)
        return f"s3://{key['Bucket']}/{key['Key']}"

    # Files

    def has(self, path: Path) -> bool:
        try:
            with translated():
                self.client.head_object(**self.key(path))
        except FileNotFoundError:
            return False
        return True

    def read(self, path: Path) -> File:
        with translated():
            found = self.client.get_object(**self.key(path))
        return StoredObject(found["Body"], found["ContentLength"])

    def take(self, file: Path, path: Path) -> None:
        self.upload(file, path)
        file.unlink()

    def upload(self, file: Path, path: Path) -> None:
        key = self.key(path)
        with translated():
            self.client.upload_file(str(file), key["Bucket"], key["Key"])

    def fetch(self, path: Path, file: Path) -> None:
        """The object at `path` → the local `file`. Raises `FileNotFoundError`."""
        key = self.key(path)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with translated():
            self.client.download_file(key["Bucket"], key["Key"], str(file))

    def remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        self.remove_objects([self.key(path)["Key"], *self.keys_in(path)])

    def remove_objects(self, keys: list[str]) -> None:
        for start in range(0, len(keys), PER_DELETION):
            chosen = [{"Key": key} for key in keys[start : start + PER_DELETION]]
            with translated():
                done = self.client.delete_objects(
                    Bucket=self.bucket_name, Delete={"Objects": chosen, "Quiet": True}
                )
            if errors := done.get("Errors"):
                code = errors[0]["Code"]
                raise StoreUnavailable(f"The store of the files has refused DeleteObjects: {code}")

    # Folders

    def prefix_of(self, folder: Path) -> str:
        return self.key(folder)["Key"] + "/"

    def keys_in(self, folder: Path) -> list[str]:
        pages = self.pages(self.prefix_of(folder))
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        with translated():
            yield from self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_name, Prefix=prefix
            )

    def entries(self, folder: str) -> Iterator[tuple[Path, float]]:
        parent, newest = data_folder(folder), dict[str, float]()
        prefix = self.prefix_of(parent)
        for page in self.pages(prefix):
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(prefix).partition("/")[0]
                newest[name] = max(newest.get(name, 0), each["LastModified"].timestamp())
        yield from ((parent / name, changed) for name, changed in newest.items())

    @contextmanager
    def working_copy(self, folder: Path) -> Iterator[None]:
        """Stores the changes when the block ends, also by an exception: the next turn of the job
        continues from there, on any machine."""
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir(mode=0o700)
        try:
            self.fetch_folder(folder, folder)
            before = stamps(folder)
            try:
                yield
            finally:
                self.store_changes(folder, before)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fetch_folder(self, folder: Path, into: Path) -> None:
        prefix = self.prefix_of(folder)
        for key in self.keys_in(folder):
            name = key.removeprefix(prefix)
            self.fetch(folder / name, into / name)

    def store_changes(self, folder: Path, before: dict[str, Stamp]) -> None:
        """Objects are deleted first, and files stored in the order in which they were written: a
        position, say, is never newer than the file that it belongs to."""
        now = stamps(folder)
        self.remove_objects([self.key(folder / name)["Key"] for name in before if name not in now])
        changed = [name for name, stamp in now.items() if before.get(name) != stamp]
        for name in sorted(changed, key=lambda name: (now[name][0], -now[name][1])):
            self.upload(folder / name, folder / name)

    def keep(self, folder: Path) -> None:
        self.store_changes(folder, {})
        shutil.rmtree(folder)

    @contextmanager
    def local_file(self, path: Path, *, is_changed: bool = False) -> Iterator[Path]:
        with TemporaryDirectory(dir=data_folder("uploads")) as temporary:
            copy = Path(temporary) / path.name
            self.fetch(path, copy)
            yield copy
            if is_changed:
                self.upload(copy, path)

    @contextmanager
    def local_folder(self, folder: Path) -> Iterator[Path]:
        with TemporaryDirectory(dir=data_folder("uploads")) as temporary:
            self.fetch_folder(folder, Path(temporary))
            yield Path(temporary)

    def delete_leftovers(self) -> None:
        for kind in ("imports", "exports", "uploads"):
            for path in data_folder(kind).iterdir():
                with suppress(JobIsRunning, FileNotFoundError):
                    if path.stat().st_mtime < time.time() - LEFTOVER_AGE:
                        self.delete_leftover(path)

    def delete_leftover(self, path: Path) -> None:
        if path.is_dir():
            with locked_on_this_machine(path):
                shutil.rmtree(path)
        elif path.suffix != ".lock":
            path.unlink()

    # Times

    def record_time(self, path: Path) -> None:
        with translated():
            self.client.put_object(**self.key(path), Body=str(time.time_ns()).encode())

    def recorded_time(self, path: Path) -> int:
        try:
            return int(self.read(path).read())
        except FileNotFoundError:
            return 0


def stamps(folder: Path) -> dict[str, Stamp]:
    """The files of a folder on this machine, by name."""
    files = [path for path in folder.glob("*") if path.is_file()]  # none if the folder is gone
    return {path.name: stamp_of(path) for path in files}


def stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
