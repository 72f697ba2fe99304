"""The file of a request while it is received."""

from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.files.uploadedfile import UploadedFile

from contacts.jobs.files import data_folder


class Incoming(UploadedFile):
    """A file that is being received. It is on the disk of `DATA_DIR`, so that an import can take
    it by moving it, without a copy. Closing it deletes it, unless it was moved."""

    def __init__(self, name: str = "upload", content_type: str = "") -> None:
        file = NamedTemporaryFile(dir=data_folder("uploads"))  # noqa: SIM115 - lives as long as the request
        self.path = Path(file.name)
        super().__init__(file, name, content_type)

    def close(self) -> None:
        with suppress(FileNotFoundError):  # the file was moved
            super().close()
