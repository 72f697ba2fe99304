"""An upload while it is read from the request."""

from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.files.uploadedfile import UploadedFile

from contacts.jobs.files import data_folder


class Incoming(UploadedFile):
    """A file that comes in, on the disk from which an import takes it without copying."""

    def __init__(self, name: str = "upload", content_type: str = "") -> None:
        file = NamedTemporaryFile(dir=data_folder("uploads"))  # noqa: SIM115 - lives as long as the request
        self.path = Path(file.name)
        super().__init__(file, name, content_type)

    def close(self) -> None:
        with suppress(FileNotFoundError):  # it was moved
            super().close()
