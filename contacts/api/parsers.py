"""Parsers for the file of an import: the file is the body of the request, or a part of a form.

The file is written to the disk block by block. Reading stops at the largest allowed size.
"""

from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser

from contacts.importing.formats import FORMATS
from contacts.importing.formats.gzipped import is_gzip
from contacts.importing.incoming import Incoming

BLOCK = 64 * 1024  # bytes


class PayloadTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit:,} bytes; send less at a time.")


class BrokenBody(ParseError):
    contract_code = "bad_request"


class LengthRequired(APIException):
    status_code = HTTPStatus.LENGTH_REQUIRED
    default_detail = (
        "Send Content-Length, a form, or a gzipped file; otherwise a truncated upload cannot be "
        "detected."
    )


class AtMost:
    """`stream`, up to the largest allowed body. Raises `PayloadTooLarge`."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.left = settings.IMPORT_MAX_BYTES

    def read(self, size: int) -> bytes:
        block: bytes = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise PayloadTooLarge(settings.IMPORT_MAX_BYTES)
        return block


class FileBody(BaseParser):
    """The body is the file. Its format is detected from its content, not from Content-Type."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        file = Incoming(content_type=media_type or "")
        body = AtMost(stream)
        try:
            while block := body.read(BLOCK):
                file.write(block)
        except BaseException:
            file.close()
            raise
        file.size = file.tell()
        file.flush()
        try:
            self.refuse_truncated(file, parser_context["request"].META)
        except APIException:
            file.close()
            raise
        return DataAndFiles({}, {"file": file})

    def refuse_truncated(self, file: Incoming, meta: dict[str, Any]) -> None:
        if meta.get("qyvo.unknown_length"):
            if not is_gzip(file.path):  # a gzip file shows where it ends
                raise LengthRequired
        elif file.size != int(meta["CONTENT_LENGTH"]):
            raise BrokenBody("The body has ended early; send it again.")


def body_of(media_type: str) -> type[BaseParser]:
    return type("FileBody", (FileBody,), {"media_type": media_type})


class OnDisk(FileUploadHandler):
    """Django's upload handler for the files of all forms. Raises `RequestDataTooBig`."""

    file: Incoming | None = None

    def handle_raw_input(self, input_data: Any, *args: Any, **kwargs: Any) -> None:
        _, content_length, *_ = args
        # For a body of unknown length, qyvo/wsgi.py gives a length of the limit plus one.
        if content_length > settings.IMPORT_MAX_BYTES + 1:
            raise RequestDataTooBig("The form is too large.")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = Incoming(self.file_name or "", self.content_type or "")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        cast("Incoming", self.file).write(raw_data)

    def file_complete(self, file_size: int) -> Incoming:
        file = cast("Incoming", self.file)
        file.seek(0)
        file.size = file_size
        return file

    def upload_interrupted(self) -> None:
        if self.file:
            self.file.close()


class FileForm(MultiPartParser):
    """A form with the file in its field `file`."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(cast("Any", AtMost(stream)), media_type, parser_context)
        except BaseException as error:
            for handler in parser_context["request"].upload_handlers:
                handler.upload_interrupted()
            if isinstance(error, RequestDataTooBig):
                raise PayloadTooLarge(settings.IMPORT_MAX_BYTES) from error
            if isinstance(error, ParseError):
                sentence = "Let your HTTP client make the form and its Content-Type."
                raise BrokenBody(f"{error}. {sentence}") from error
            raise


MEDIA_TYPES = [*(kind for each in FORMATS for kind in each.media_types), "application/gzip"]
FILE_PARSERS: list[type[BaseParser]] = [FileForm, *map(body_of, MEDIA_TYPES), FileBody]
